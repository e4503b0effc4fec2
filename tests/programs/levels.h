// SPDX-License-Identifier: MIT
//
// A tower of functions, each of which calls the next one from one of two places, as a bit of the path says:
// thirteen levels have 8,192 contexts. leaf(path) is the program's; level_12(path) is the way in.

#ifndef PEAKLINE_TESTS_LEVELS_H
#define PEAKLINE_TESTS_LEVELS_H

#include <stdint.h>

#define LEVEL(n, next)                                                                                       \
    static void level_##n(uint64_t path) {                                                                   \
        if (path & (UINT64_C(1) << n))                                                                       \
            next(path);                                                                                      \
        else                                                                                                 \
            next(path);                                                                                      \
    }

#define LEVELS_0_TO_12                                                                                       \
    LEVEL(0, leaf)                                                                                           \
    LEVEL(1, level_0)                                                                                        \
    LEVEL(2, level_1)                                                                                        \
    LEVEL(3, level_2)                                                                                        \
    LEVEL(4, level_3)                                                                                        \
    LEVEL(5, level_4)                                                                                        \
    LEVEL(6, level_5)                                                                                        \
    LEVEL(7, level_6)                                                                                        \
    LEVEL(8, level_7)                                                                                        \
    LEVEL(9, level_8)                                                                                        \
    LEVEL(10, level_9)                                                                                       \
    LEVEL(11, level_10)                                                                                      \
    LEVEL(12, level_11)

#endif
