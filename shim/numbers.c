// SPDX-License-Identifier: MIT
//
// See numbers.h.

#include "shim/numbers.h"
#include "shim/arena.h"

bool numbers_open(struct numbers *table, uint32_t places) {
    *table = (struct numbers){.entries = arena_alloc(places * sizeof *table->entries), .places = places};
    return table->entries != NULL;
}

void numbers_refill(struct numbers *table, numbers_fill *fill) {
    __builtin_memset(table->entries, 0, table->places * sizeof *table->entries);
    table->used = 0;
    fill(table);
}

bool numbers_grow(struct numbers *table, numbers_fill *fill) {
    if (__builtin_expect(table->used < table->places / 2, 1))
        return true;
    struct numbers larger;
    if (!numbers_open(&larger, 2 * table->places))
        return table->used < table->places - table->places / 8;
    arena_free(table->entries, table->places * sizeof *table->entries);
    *table = larger;
    fill(table);
    return true;
}
