// SPDX-License-Identifier: MIT
//
// Lines and functions that live blocks are still of when the nodes on their path have been folded. An owner
// that has outlived its node (owner.h) remembers the frame of that node; so the chain from a block's owner to
// the first that has a node names what the path to that node lacks, innermost first.
//
//   block ──> owner 9, line f:12 ──> owner 4, line main:7 ──> owner 17 ──> node 203
//
// When such a block is freed, these accounts are changed at once. That is exact: the free moves the active
// path to the node that the block counts for, and what a chain has to change is not on that node's path, so
// nothing is pending for it. Such blocks are never allocated, only freed: peaks are not raised here.
//
// Callers hold shim.lock.

#ifndef PEAKLINE_FORMER_H
#define PEAKLINE_FORMER_H

#include "shim/peak.h"
#include "shim/shim.h"

#include <stdbool.h>
#include <stdint.h>

struct former_line {
    uint32_t frame;    // as long as its record is that frame's: it may have been forgotten
    uint32_t function; // 0: no line is remembered
};

struct former {
    struct former_line line;
    uint32_t flags; // as in struct record_node
    uint32_t epoch; // the tree_epoch when it was noted: frames that were made later are others
};

// False: no memory.
bool former_open(uint32_t owners);

// The node, which has a frame, is about to go: what `owner` has was allocated there or further in.
void former_note(uint32_t owner, const struct record_node *node);

// The same, but the line is not remembered: of no block's own owner, and what `owner` has counts as gone for
// the line.
void former_skip(uint32_t owner);

// Whether an owner that has outlived its node remembers its line.
static inline bool former_remembers(uint32_t owner) {
    return shim.formers[owner].line.function;
}

// A block of an owner that has outlived its node is freed, of so many bytes; `temporary` counts it as that.
// The node that it counts for is the current one.
void former_free(const struct peak_books *books, uint32_t owner, int64_t bytes, uint64_t temporary);

// Whether a chain names the frame, or any of the function.
bool former_holds_frame(uint32_t owner, uint32_t frame);
bool former_holds_function(uint32_t owner, uint32_t function);

// The frame that `owner`, which has outlived its node, is of; 0: it has been forgotten.
uint32_t former_frame(uint32_t owner);

#endif
