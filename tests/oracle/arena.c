// SPDX-License-Identifier: MIT
//
// Stands in for shim/arena.c where the unwinder is tested by itself.

#include "shim/arena.h"

#include <sys/mman.h>

static void *arena_map(size_t size) {
    void *block =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

void *arena_alloc(size_t size) {
    return arena_map(size);
}

void arena_free(void *block, size_t size) {
    if (block)
        munmap(block, size);
}

void *arena_reserve(size_t size) {
    return arena_map(size);
}

uint64_t arena_bytes(void) {
    return 0;
}
