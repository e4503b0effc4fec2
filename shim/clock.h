// SPDX-License-Identifier: MIT
//
// Time in nanoseconds, through the C library's vDSO path: no system call, no errno, async-signal-safe.

#ifndef PEAKLINE_CLOCK_H
#define PEAKLINE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_read(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now); // cannot fail for the clocks below
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_monotonic(void) {
    return clock_read(CLOCK_MONOTONIC);
}

// A few nanoseconds to read; resolution of the kernel's tick (1 to 10 ms).
static inline uint64_t clock_coarse(void) {
    return clock_read(CLOCK_MONOTONIC_COARSE);
}

static inline uint64_t clock_realtime(void) {
    return clock_read(CLOCK_REALTIME);
}

#endif
