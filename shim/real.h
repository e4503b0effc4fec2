// SPDX-License-Identifier: MIT
//
// The functions that the shim stands in front of, as the dynamic loader would have found them without it: the
// next definition in search order, so an allocator that is linked or preloaded after us stays in charge.
//
// Before real_resolve has finished (the loader may ask the C library for memory while it looks symbols up),
// allocations come from a small static buffer, which real_owns recognises; such blocks are never freed.

#ifndef PEAKLINE_REAL_H
#define PEAKLINE_REAL_H

#include "shim/own.h"

#include <pthread.h>
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
    bool glibc;               // and that object is glibc
    uint32_t glibc_checks;    // how many more of its blocks are compared with malloc_usable_size
};

extern SHIM_OWN struct real real;

#define HOOK(result, name, parameters) extern __attribute__((visibility("default"))) result name parameters;
#include "shim/hooks.def"
#undef HOOK

// Idempotent; may be entered again while it runs (returns false then). Preserves errno.
bool real_resolve(void);

// Whether there is a pthread_create: before glibc 2.34 it is in a library of its own, which may come after
// the process's first allocation. Preserves errno.
bool real_starts_threads(void);

// What malloc_usable_size says, where it says the same as glibc's; else glibc is no longer trusted.
size_t real_usable_size_checked(void *block);

// Usable bytes by the word before a block of glibc's: the chunk's size, in multiples of 16, with flags in its
// low bits; chunks that are mappings of their own have the flag 2 and two words of overhead instead of one
// (malloc/malloc.c, "struct malloc_chunk"; unchanged since glibc 2.3).
static inline size_t real_chunk_usable(size_t word) {
    return (word & ~(size_t)7) - (word & 2 ? 16 : 8);
}

// malloc_usable_size. That glibc's word still says it is checked on the process's own first blocks.
static inline size_t real_usable_size(void *block) {
    if (__builtin_expect(!real.glibc, 0))
        return real.malloc_usable_size(block);
    if (__builtin_expect(real.glibc_checks != 0, 0))
        return real_usable_size_checked(block);
    return real_chunk_usable(((const size_t *)block)[-1]);
}

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
