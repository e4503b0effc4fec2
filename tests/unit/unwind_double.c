// SPDX-License-Identifier: MIT
//
// The arena is mmap: a block that is used after it was freed faults.

#include "tests/unit/unwind_double.h"
#include "shim/arena.h"

#include <sys/mman.h>

unsigned unwind_double_blocks = UINT32_MAX;
int64_t unwind_double_live;
struct unwind_state unwind_double_state;

static void *arena_give(size_t size) {
    if (unwind_double_blocks == 0)
        return NULL;
    if (unwind_double_blocks != UINT32_MAX)
        unwind_double_blocks--;
    void *block =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

void *arena_alloc(size_t size) {
    void *block = arena_give(size);
    __atomic_fetch_add(&unwind_double_live, block ? (int64_t)size : 0, __ATOMIC_RELAXED);
    return block;
}

void arena_free(void *block, size_t size) {
    if (!block)
        return;
    __atomic_fetch_sub(&unwind_double_live, (int64_t)size, __ATOMIC_RELAXED);
    munmap(block, size);
}

void *arena_reserve(size_t size) {
    return arena_give(size);
}

uint64_t arena_bytes(void) {
    return 0;
}

int unwind_double_fresh(void **unused) {
    (void)unused;
    unwind_double_state = (struct unwind_state){0};
    unwind_init(&unwind_double_state);
    unwind_double_blocks = UINT32_MAX;
    return 0;
}

unsigned unwind_double_pick(unsigned below) {
    static unsigned seed = 1;
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % below;
}
