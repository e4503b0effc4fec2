// SPDX-License-Identifier: MIT
//
// What programs need that deal with an interpreter's C interface without its headers.

#ifndef PEAKLINE_TESTS_PYTHON_API_H
#define PEAKLINE_TESTS_PYTHON_API_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct allocator { // PyMemAllocatorEx
    void *ctx;
    void *(*malloc)(void *ctx, size_t size);
    void *(*calloc)(void *ctx, size_t count, size_t size);
    void *(*realloc)(void *ctx, void *block, size_t size);
    void (*free)(void *ctx, void *block);
};

// Ends the program when it is not there.
static inline void *symbol(void *library, const char *name) {
    void *address = dlsym(library, name);
    if (!address) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    return address;
}

#endif
