// SPDX-License-Identifier: MIT
//
// Hash tables of records' numbers: the keys are in the records. Open addressing with linear probing (Knuth,
// TAOCP vol. 3, 6.4, algorithm L), never more than half full. Nothing is taken out: where records go, many do
// at once, and the table is filled anew.
//
// Numbers are 1 to NUMBERS_MOST. Callers hold shim.lock.

#ifndef PEAKLINE_NUMBERS_H
#define PEAKLINE_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

// An entry: a number, and above it some bits of the hash, which spare a look at most of the records that are
// not the one.
#define NUMBERS_BITS 20
#define NUMBERS_MOST ((1u << NUMBERS_BITS) - 1)

// All zero is the empty one, with no room.
struct numbers {
    uint32_t *entries;
    uint32_t places; // a power of two
    uint32_t used;
};

// Makes an empty table. False: no memory.
bool numbers_open(struct numbers *table, uint32_t places);

// Adds all numbers (by numbers_add) to a table that is empty and has room for them.
typedef void numbers_fill(struct numbers *table);

// Room for one more. False: there is no memory, and the table is nearly full.
bool numbers_grow(struct numbers *table, numbers_fill *fill);

// Forgets all and fills it again.
void numbers_refill(struct numbers *table, numbers_fill *fill);

static inline uint32_t numbers_tag(uint64_t hash) {
    return (uint32_t)hash & ~NUMBERS_MOST;
}

// Whether the record with this number has the key.
typedef bool numbers_same(uint32_t number, const void *key);

// The number of the record with the key, whose hash that is; 0: there is none.
static inline __attribute__((always_inline)) uint32_t numbers_find(const struct numbers *table, uint64_t hash,
                                                                   numbers_same *same, const void *key) {
    for (uint32_t at = (uint32_t)(hash >> 32);; at++) {
        const uint32_t entry = table->entries[at & (table->places - 1)], number = entry & NUMBERS_MOST;
        if (!entry)
            return 0;
        if ((entry & ~NUMBERS_MOST) == numbers_tag(hash) && __builtin_expect(same(number, key), 1))
            return number;
    }
}

// With room, and not there yet.
static inline void numbers_add(struct numbers *table, uint64_t hash, uint32_t number) {
    uint32_t at = (uint32_t)(hash >> 32);
    while (table->entries[at & (table->places - 1)])
        at++;
    table->entries[at & (table->places - 1)] = numbers_tag(hash) | number;
    table->used++;
}

#endif
