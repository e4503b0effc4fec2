// SPDX-License-Identifier: MIT
//
// See folded.h. Of most lines, self and total are the same, and of callers self is nothing: so a record is
// made only when it says something of its own.

#include "shim/folded.h"
#include "shim/peak.h"
#include "shim/recording.h"
#include "shim/shim.h"

// Before `live` changes.
static inline void folded_save(struct record_folded *entry) {
    if (entry->saved_seq != shim.header->peak_seq) {
        entry->saved = entry->live;
        entry->saved_seq = shim.header->peak_seq;
    }
}

bool folded_room(uint32_t records) {
    return shim.folded_free_count >= records ||
           recording_reserve(RECORD_FOLDED, records - shim.folded_free_count);
}

// A copy of `of` with a number of its own; 0 = there is no room.
static uint32_t folded_make(struct record_folded of) {
    uint32_t number = shim.folded_free;
    if (!number)
        return recording_append(RECORD_FOLDED, &of);
    shim.folded_free = (uint32_t)folded_entry(number)->allocated_bytes;
    shim.folded_free_count--;
    folded_fetch(shim.folded_free);
    *folded_entry(number) = of;
    return number;
}

static void folded_release(uint32_t number) {
    *folded_entry(number) = (struct record_folded){.allocated_bytes = shim.folded_free};
    shim.folded_free = number;
    shim.folded_free_count++;
}

void folded_free(uint32_t number, int64_t bytes, uint64_t temporary, uint64_t frees) {
    if (!number)
        return;
    struct record_folded *entry = folded_entry(number);
    folded_save(entry);
    entry->live -= bytes;
    entry->temporary += temporary;
    if (frees) {
        entry->freed_bytes += (uint64_t)bytes;
        entry->frees += frees;
    }
}

void folded_unsee(uint32_t number, int64_t bytes) {
    if (!number)
        return;
    struct record_folded *entry = folded_entry(number);
    folded_save(entry);
    entry->live -= bytes;
    entry->unseen_bytes += bytes;
}

void folded_drop(uint32_t self, uint32_t total) {
    if (self)
        folded_release(self);
    if (total && total != self)
        folded_release(total);
}

static void folded_sum(uint32_t *place, const struct record_node *node) {
    if (folded_is_empty(node))
        return;
    if (!*place)
        *place = folded_make((struct record_folded){0});
    if (!*place)
        return;
    struct record_folded *entry = folded_entry(*place);
    entry->allocated_bytes += node->allocated_bytes;
    entry->allocations += node->allocations;
    entry->temporary += node->temporary;
    entry->freed_bytes += node->freed_bytes;
    entry->frees += node->frees;
    folded_save(entry);
    entry->saved += peak_saved(shim.header, node);
    entry->live += node->live;
    if (node->heap_high > entry->heap_high)
        entry->heap_high = node->heap_high;
}

void folded_add(uint32_t *self, uint32_t *total, const struct record_node *node,
                const struct record_node *beneath, bool outermost) {
    if (*self == *total && outermost && folded_is_empty(beneath)) {
        folded_sum(total, node);
        *self = *total;
        return;
    }
    if (!outermost && folded_is_empty(node))
        return;
    if (outermost && *self && !*total && !folded_room(1)) {
        // Rather no self than one that is more than the total.
        folded_release(*self);
        *self = 0;
    }
    if (*self && *self == *total) // no longer the same
        *self = folded_make(*folded_entry(*total));
    folded_sum(self, node);
    if (outermost) {
        folded_sum(total, node);
        folded_sum(total, beneath);
    }
}
