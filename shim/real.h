// SPDX-License-Identifier: MIT
//
// The functions that the shim stands in front of, as the dynamic loader would have found them without it: the
// next definition in search order, so an allocator that is linked or preloaded after us stays in charge.
//
// Before real_resolve has finished (the loader may ask the C library for memory while it looks symbols up),
// allocations come from a small static buffer, which real_owns recognises; such blocks are never freed.

#ifndef PEAKLINE_REAL_H
#define PEAKLINE_REAL_H

#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>

struct real {
#define HOOK(result, name, parameters) result(*name) parameters;
#include "shim/hooks.def"
#undef HOOK
    size_t (*malloc_usable_size)(void *block);
    bool resolved;
    bool usable_size_matches; // malloc_usable_size comes from the same object as malloc
};

extern struct real real;

#define HOOK(result, name, parameters) extern __attribute__((visibility("default"))) result name parameters;
#include "shim/hooks.def"
#undef HOOK

// Idempotent; may be entered again while it runs (returns false then). Preserves errno.
bool real_resolve(void);

// From the static buffer; NULL when it is used up.
void *real_early_alloc(size_t size, size_t alignment);

#define REAL_EARLY_BYTES 65536 // glibc asks for a few hundred bytes at most while symbols are looked up

extern char real_early[REAL_EARLY_BYTES];

static inline bool real_early_owns(const void *block) {
    return (uintptr_t)block - (uintptr_t)real_early < REAL_EARLY_BYTES;
}

// Bytes that may be read from `block`, which real_early_owns.
size_t real_early_size(const void *block);

#endif
