// SPDX-License-Identifier: MIT
//
// The calling-context tree: a hash table from (parent node, frame) to node.
//
// Recursion is folded (record_format.h): tree_path steps through the outer frames of a stack, tree_leaf
// ends it. When the recording is full, a context that would be new is counted at its nearest caller that has
// a node, so totals stay exact. Callers hold shim.lock.

#ifndef PEAKLINE_TREE_H
#define PEAKLINE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#define TREE_ROOT 1u

// A Bloom filter with one hash (tree.c). With fewer bits, most frames of deep stacks would seem to be there.
struct tree_set {
    uint64_t words[2];
};

// What is kept of a node beside its record.
struct tree_link {
    uint32_t parent, frame; // frame 0: not to be found
    uint32_t function;      // of the frame
    uint32_t owner;         // owner.h
    uint32_t folded;        // the child that stands for the folded ones; 0 = none
    uint32_t depth;
    bool outermost;                    // RECORD_NODE_OUTERMOST_FRAME
    struct tree_set frames, functions; // which are on the path
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct tree_link) == 64, "one cache line");

// Makes the root. False: no memory.
bool tree_open(void);

// Makes sure that the next `frames` steps find room, and as many new frames (frame.h), by forgetting what
// matters least where that is needed. Numbers of nodes and frames that were learnt under another
// shim.tree_epoch mean nothing afterwards; place.c and python_slot have dropped theirs by then.
void tree_prepare(uint32_t frames);

// The node of a frame that calls further: `parent` itself when the frame is on its path already.
uint32_t tree_path(uint32_t parent, uint32_t frame);

// The node of the innermost frame of a stack.
uint32_t tree_leaf(uint32_t parent, uint32_t frame);

// What tree_path says of the same frame, given what tree_leaf said.
uint32_t tree_path_of_leaf(uint32_t parent, uint32_t leaf);

// Whether the path to the node, itself included, holds the frame, or any frame of the function.
bool tree_holds_frame(uint32_t node, uint32_t frame);
bool tree_holds_function(uint32_t node, uint32_t function);

// Where the paths to both meet.
uint32_t tree_common(uint32_t one, uint32_t other);

// For fold.c, in this order: the node is not to be found any more; its record is free; when all that go have
// gone, the others can be found again.
void tree_forget(uint32_t node);
void tree_release(uint32_t node);
void tree_refill(void);

#endif
