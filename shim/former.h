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

#include "shim/numbers.h"
#include "shim/peak.h"
#include "shim/shim.h"

#include <stdbool.h>
#include <stdint.h>

struct former_line {
    uint32_t frame;    // as long as its record is that frame's: it may have been forgotten
    uint32_t function; // 0: no line is remembered
};

#define FORMER_EPOCH_BITS 21
#define FORMER_EPOCHS ((1u << FORMER_EPOCH_BITS) - 1)

// There are as many as owners, hundreds of thousands in a large program: one word each. Frames and functions
// are no more than NUMBERS_MOST.
struct former {
    uint64_t frame : NUMBERS_BITS; // as in struct former_line
    uint64_t function : NUMBERS_BITS;
    uint64_t outermost : 2; // RECORD_NODE_OUTERMOST_FRAME, RECORD_NODE_OUTERMOST_FUNCTION
    uint64_t other : 1;     // the innermost frame of the other language is in shim.former_others
    uint64_t epoch
        : FORMER_EPOCH_BITS; // former_epoch when it was noted: frames that were made later are others
};

_Static_assert(sizeof(struct former) == 8, "one word");
_Static_assert((RECORD_NODE_OUTERMOST_FRAME | RECORD_NODE_OUTERMOST_FUNCTION) == 3,
               "struct former.outermost");

// Foldings so far, but no more than FORMER_EPOCHS. From then on no line is forgotten, so none has the record
// of another one.
static inline uint32_t former_epoch(void) {
    return shim.tree_epoch < FORMER_EPOCHS ? shim.tree_epoch : FORMER_EPOCHS;
}

static inline bool former_may_forget(void) {
    return shim.tree_epoch < FORMER_EPOCHS;
}

// False: no memory.
bool former_open(uint32_t owners);

// The node, which has a frame, is about to go: what `owner` has was allocated there or further in.
void former_note(uint32_t owner, const struct record_node *node);

// The same, but the line is not remembered: of no block's own owner, and what `owner` has counts as gone for
// the line.
void former_skip(uint32_t owner);

// A new owner. Its memory is there from now on, not from its first line on: no x86 processor remembers that a
// page is missing, so to fetch from one takes a walk through the page tables each time, longer than all the
// rest of a free.
static inline void former_begin(uint32_t owner) {
    shim.formers[owner] = (struct former){.epoch = 0};
}

// Has the processor fetch what former_free will look at first.
static inline __attribute__((always_inline)) void former_fetch(uint32_t owner) {
    __builtin_prefetch(&shim.formers[owner]);
}

// Whether an owner that has outlived its node remembers its line.
static inline bool former_remembers(uint32_t owner) {
    return shim.formers[owner].function;
}

// A block of an owner that has outlived its node is freed, of so many bytes; `temporary` counts it as that,
// `frees` as freed by the very lines that had allocated it. The node that it counts for is the current one.
void former_free(const struct peak_books *books, uint32_t owner, int64_t bytes, uint64_t temporary,
                 uint64_t frees);

// Whether a chain names the frame, or any of the function.
bool former_holds_frame(uint32_t owner, uint32_t frame);
bool former_holds_function(uint32_t owner, uint32_t function);

// The frame that `owner`, which has outlived its node, is of; 0: it has been forgotten.
uint32_t former_frame(uint32_t owner);

#endif
