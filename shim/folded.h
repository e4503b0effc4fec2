// SPDX-License-Identifier: MIT
//
// What folded nodes held, kept for their frames and functions (struct record_folded). Callers hold shim.lock.

#ifndef PEAKLINE_FOLDED_H
#define PEAKLINE_FOLDED_H

#include "shim/record_format.h"
#include "shim/shim.h"

#include <stdbool.h>

#define FOLDED_RECORDS 2 // the most that one call of folded_add makes

// Whether so many new records find room.
bool folded_room(uint32_t records);

// Adds a node that is about to be folded to the records *self and *total of its frame or function, which are
// made where they are needed. `beneath` is the node's own folded child, or NULL; `outermost` says that
// nothing above the node counts it for total. What finds no room is dropped: ask folded_room before.
void folded_add(uint32_t *self, uint32_t *total, const struct record_node *node,
                const struct record_node *beneath, bool outermost);

// Of the blocks that the nodes had, one of so many bytes is freed; `temporary` counts it as that, `frees` as
// freed by the same nodes. 0 is none.
void folded_free(uint32_t number, int64_t bytes, uint64_t temporary, uint64_t frees);

// So many of its live bytes are no longer remembered. 0 is none.
void folded_unsee(uint32_t number, int64_t bytes);

// The records are free; 0 is none.
void folded_drop(uint32_t self, uint32_t total);

static inline struct record_folded *folded_entry(uint32_t number) {
    return (struct record_folded *)shim.tables[RECORD_FOLDED].base + number;
}

// Has the processor fetch the record. (Inline in any case: a function that only prefetches is thought to do
// nothing, and left out.)
static inline __attribute__((always_inline)) void folded_fetch(uint32_t number) {
    __builtin_prefetch(folded_entry(number), 1);
}

static inline bool folded_is_empty(const struct record_node *node) {
    return !node || !(node->allocations || node->frees || node->live);
}

#endif
