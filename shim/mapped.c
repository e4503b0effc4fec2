// SPDX-License-Identifier: MIT
//
// The ranges of anonymous memory.

#include "shim/mapped.h"
#include "shim/arena.h"
#include "shim/owner.h"
#include "shim/shim.h"

struct mapping {
    uintptr_t start, end;
    uint32_t owner; // owner.h
};

static void mapped_account(uint32_t owner, int64_t change) {
    struct record_node *node = shim_node(owner_node(owner));
    node->mapped_live += change;
    if (node->mapped_live > node->mapped_peak)
        node->mapped_peak = node->mapped_live;
    struct record_header *header = shim.header;
    header->mapped_live += change;
    if (header->mapped_live > header->mapped_peak)
        header->mapped_peak = header->mapped_live;
}

// First range that ends after `address`.
static size_t mapped_first(uintptr_t address) {
    size_t low = 0, high = shim.mappings_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (shim.mappings[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool mapped_insert(size_t at, struct mapping range) {
    if (shim.mappings_count == shim.mappings_capacity) {
        size_t capacity = shim.mappings_capacity ? shim.mappings_capacity * 2 : 64;
        struct mapping *more = arena_alloc(capacity * sizeof *more);
        if (!more)
            return false;
        if (shim.mappings_count)
            __builtin_memcpy(more, shim.mappings, shim.mappings_count * sizeof *more);
        arena_free(shim.mappings, shim.mappings_capacity * sizeof *more);
        shim.mappings = more;
        shim.mappings_capacity = capacity;
    }
    __builtin_memmove(&shim.mappings[at + 1], &shim.mappings[at],
                      (shim.mappings_count - at) * sizeof *shim.mappings);
    shim.mappings[at] = range;
    shim.mappings_count++;
    return true;
}

size_t mapped_remove(uintptr_t start, size_t length) {
    if (!shim.mappings_count)
        return 0;
    uintptr_t end = start + length;
    size_t removed = 0, at = mapped_first(start), keep = at;
    while (at < shim.mappings_count && shim.mappings[at].start < end) {
        struct mapping *range = &shim.mappings[at];
        uintptr_t from = range->start > start ? range->start : start;
        uintptr_t to = range->end < end ? range->end : end;
        removed += to - from;
        mapped_account(range->owner, -(int64_t)(to - from));
        if (range->start < from && range->end > to) {
            struct mapping rest = {
                .start = to, .end = range->end, .owner = owner_take(owner_node(range->owner))};
            range->end = from;
            if (!mapped_insert(at + 1, rest)) {
                // The rest is forgotten: it will seem to be unmapped already.
                mapped_account(rest.owner, -(int64_t)(rest.end - rest.start));
                owner_drop(rest.owner);
                shim_lose(RECORD_LOST_NO_MEMORY);
            }
            return removed;
        }
        if (range->start < from)
            range->end = from;
        else if (range->end > to)
            range->start = to;
        else {
            owner_drop(range->owner); // gone as a whole
            at++;
            continue;
        }
        shim.mappings[keep++] = *range;
        at++;
    }
    __builtin_memmove(&shim.mappings[keep], &shim.mappings[at],
                      (shim.mappings_count - at) * sizeof *shim.mappings);
    shim.mappings_count -= at - keep;
    return removed;
}

void mapped_add(uintptr_t start, size_t length, uint32_t node) {
    mapped_remove(start, length);
    struct mapping range = {.start = start, .end = start + length, .owner = owner_take(node)};
    if (mapped_insert(mapped_first(start), range))
        mapped_account(range.owner, (int64_t)length);
    else {
        owner_drop(range.owner);
        shim_lose(RECORD_LOST_NO_MEMORY);
    }
}

uint32_t mapped_find(uintptr_t address) {
    size_t at = mapped_first(address);
    return at < shim.mappings_count && shim.mappings[at].start <= address
               ? owner_node(shim.mappings[at].owner)
               : 0;
}
