// SPDX-License-Identifier: MIT
//
// More calling contexts than a recording can hold: two to the power of eighteen, none of them by recursion.
// Afterwards, the allocations that matter. At last, half of what is left is freed.

#include <stdlib.h>

#include "levels.h"
#include "target.h"

static void *kept[1 << 16];
static unsigned kept_count;

static void leaf(uint64_t path) {
    void *block = malloc(33 + (path & 1)); // @crowd

    if (path & 2)
        free(block);
    else if (path & 4)
        kept[kept_count++] = block;
}

LEVELS_0_TO_12
LEVEL(13, level_12)
LEVEL(14, level_13)
LEVEL(15, level_14)
LEVEL(16, level_15)
LEVEL(17, level_16)

static void evaluation(void) {
    void *block = malloc(30000001); // @evaluation

    free(block);
}

static void late(void) {
    opaque(malloc(50021)); // @late
}

int main(void) {
    for (unsigned path = 0; path < 1u << 18; path++)
        level_17(path); // @call_crowd
    evaluation();       // @call_evaluation
    late();             // @call_late
    while (kept_count)
        free(kept[--kept_count]);
    return 0;
}
