// SPDX-License-Identifier: MIT
//
// For programs that need contexts which nobody has met before.

#ifndef PEAKLINE_TESTS_WANDER_H
#define PEAKLINE_TESTS_WANDER_H

#include <stdlib.h>

#include "target.h"

// Allocates in a context of its own for each path, which is read bit by bit from the lowest one.
static __attribute__((noinline)) void wander(unsigned path) {
    if (path == 0)
        free(opaque(malloc(103))); // @wandered
    else if (path & 1)
        wander(path >> 1);
    else
        wander(path >> 1);
    __asm__ volatile("");
}

#endif
