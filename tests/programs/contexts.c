// SPDX-License-Identifier: MIT
//
// More calling contexts than a recording can hold: two to the power of LEVELS, none of them by recursion.
// Afterwards, the allocations that matter. At last, half of what is left is freed.

#include <stdlib.h>

#include "target.h"

#define LEVEL(n, next)                                                                                       \
    static void level_##n(unsigned path) {                                                                   \
        if (path & (1u << n))                                                                                \
            next(path);                                                                                      \
        else                                                                                                 \
            next(path);                                                                                      \
    }

static void *kept[1 << 16];
static unsigned kept_count;

static void leaf(unsigned path) {
    void *block = malloc(33 + (path & 1)); // @crowd

    if (path & 2)
        free(block);
    else if (path & 4)
        kept[kept_count++] = block;
}

LEVEL(0, leaf)
LEVEL(1, level_0)
LEVEL(2, level_1)
LEVEL(3, level_2)
LEVEL(4, level_3)
LEVEL(5, level_4)
LEVEL(6, level_5)
LEVEL(7, level_6)
LEVEL(8, level_7)
LEVEL(9, level_8)
LEVEL(10, level_9)
LEVEL(11, level_10)
LEVEL(12, level_11)
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
