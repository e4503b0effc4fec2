// SPDX-License-Identifier: MIT
//
// What `peakline run` asked for, read from the environment of the program image. Read once, at the first
// hook, which may run before the C library knows the environment: then /proc/self/environ is read instead.
// Not wiped by fork: children keep it.

#ifndef PEAKLINE_CONFIG_H
#define PEAKLINE_CONFIG_H

#include "shim/own.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_PATH_MAX 3800

struct config {
    bool active;                  // PEAKLINE_OUTPUT names a directory, and this process is to be recorded
    bool follow;                  // PEAKLINE_FOLLOW: children are recorded too (default yes)
    bool native;                  // PEAKLINE_NATIVE
    bool frees;                   // PEAKLINE_FREES: attribute frees in native stacks too
    uint32_t root;                // PEAKLINE_ROOT: pid of the program that was started; 0 = unknown
    uint32_t objects;             // PEAKLINE_PYTHON_OBJECTS: enum record_objects
    uint64_t sampling_seed;       // PEAKLINE_SAMPLING_SEED, for tests; 0 = another one each time
    uint64_t max_size;            // PEAKLINE_MAX_SIZE: bytes, cap of a recording file
    char output[CONFIG_PATH_MAX]; // PEAKLINE_OUTPUT: absolute
    bool scarce; // address space is limited (RLIMIT_AS, RLIMIT_DATA): it is taken in small pieces, and little
                 // of it
    bool lowered;               // max_size was, as that is scarce
    bool lowered_data;          // likewise, and it was RLIMIT_DATA
    char shim[CONFIG_PATH_MAX]; // PEAKLINE_SHIM: the shim as LD_PRELOAD names it; "" = unknown
};

extern SHIM_OWN struct config config;

// Idempotent; one thread.
void config_read(void);

#endif
