// SPDX-License-Identifier: MIT
//
// Allocators that a script puts in the place of Python's by itself, with ctypes (py_replaced.py). Each is
// made from the one that was there before, and valid: every block is freed by whom it came from.
//
// cflags: -shared -fPIC
//
// output: libpython_allocator.so

#include "python_api.h"

#include <string.h>

struct before {
    struct allocator inner;
    int own; // what small blocks come from: 0 the inner allocator, 1 malloc, 2 memory of our own
};

static struct before before[3]; // by domain
static char pool[64 << 20];
static size_t pool_used;

// A header says where a block is from, and how large it is. Blocks from before have none: they are told by
// what they lie between, or are known (malloc's).
#define HEADER 16
#define KNOWN (1 << 20)

static void *known[KNOWN]; // malloc's blocks: open addressing, never shrinks

static void **known_at(void *block) {
    size_t at = (size_t)block / 16 * 0x9e3779b97f4a7c15ull >> 44;
    while (known[at & (KNOWN - 1)] && known[at & (KNOWN - 1)] != block)
        at++;
    return &known[at & (KNOWN - 1)];
}

static int is_pooled(const void *block) {
    return (const char *)block >= pool && (const char *)block < pool + sizeof pool;
}

static void *own_malloc(const struct before *b, size_t size) {
    char *block;
    if (b->own == 1) {
        block = malloc(size ? size : 1);
        if (block)
            *known_at(block) = block;
        return block;
    }
    if (size > 512 || sizeof pool - pool_used < size + 2 * HEADER)
        return b->inner.malloc(b->inner.ctx, size);
    block = pool + pool_used + HEADER;
    memcpy(block - HEADER, &size, sizeof size);
    pool_used += (size + HEADER + 15) & ~(size_t)15;
    return block;
}

static void *replaced_malloc(void *ctx, size_t size) {
    const struct before *b = ctx;
    return b->own ? own_malloc(b, size) : b->inner.malloc(b->inner.ctx, size);
}

static void *replaced_calloc(void *ctx, size_t count, size_t size) {
    const struct before *b = ctx;
    if (!b->own || (size && count > (size_t)-1 / size))
        return b->inner.calloc(b->inner.ctx, count, size);
    void *block = own_malloc(b, count * size);
    return block ? memset(block, 0, count * size) : NULL;
}

static void replaced_free(void *ctx, void *block) {
    const struct before *b = ctx;
    if (!block || is_pooled(block))
        return;
    if (*known_at(block) == block) {
        *known_at(block) = (void *)1; // a gap that is still passed over
        free(block);
    } else {
        b->inner.free(b->inner.ctx, block);
    }
}

static void *replaced_realloc(void *ctx, void *block, size_t size) {
    const struct before *b = ctx;
    if (!block)
        return replaced_malloc(ctx, size);
    size_t old = size;
    if (is_pooled(block)) {
        memcpy(&old, (char *)block - HEADER, sizeof old);
    } else if (*known_at(block) == block) {
        *known_at(block) = (void *)1;
        void *moved = realloc(block, size ? size : 1);
        *known_at(moved ? moved : block) = moved ? moved : block;
        return moved;
    } else {
        return b->inner.realloc(b->inner.ctx, block, size);
    }
    void *moved = replaced_malloc(ctx, size);
    return moved ? memcpy(moved, block, old < size ? old : size) : NULL;
}

typedef void (*exchange)(int domain, struct allocator *allocator);

// PyMem_GetAllocator, PyMem_SetAllocator: in front of, or instead of, the allocators of MEM and OBJ.
void allocator_replace(exchange get, exchange set, int own) {
    for (int domain = 1; domain <= 2; domain++) {
        get(domain, &before[domain].inner);
        before[domain].own = own;
        struct allocator ours = {&before[domain], replaced_malloc, replaced_calloc, replaced_realloc,
                                 replaced_free};
        set(domain, &ours);
    }
}

// From now on all new blocks come from the inner allocator again.
void allocator_relent(void) {
    before[1].own = before[2].own = 0;
}
