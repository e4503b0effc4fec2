// SPDX-License-Identifier: MIT
//
// A small allocator that a program may call from a signal handler, even one that interrupted it. It has
// neither malloc_usable_size nor the rarer functions, as hand-made allocators usually have not.
//
// cflags: -shared -fPIC
//
// output: libbump.so
//
// also: libbump_sized.so -DWITH_USABLE_SIZE

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static _Alignas(16) char pool[256 << 20];
static atomic_size_t used;

void *malloc(size_t size) {
    size_t whole = (size + 31) & ~(size_t)15;
    size_t at;

    if (size > sizeof pool) {
        errno = ENOMEM;
        return NULL;
    }
    at = atomic_fetch_add(&used, whole);
    if (at + whole > sizeof pool) {
        errno = ENOMEM;
        return NULL;
    }
    *(size_t *)(void *)(pool + at) = size;
    return pool + at + 16;
}

void free(void *block) {
    (void)block;
}

void *calloc(size_t count, size_t size) {
    size_t whole;

    if (__builtin_mul_overflow(count, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return malloc(whole); // the pool is never reused, so it is zero
}

void *realloc(void *block, size_t size) {
    void *copy = malloc(size);

    if (copy != NULL && block != NULL) {
        size_t old = *(size_t *)(void *)((char *)block - 16);

        memcpy(copy, block, old < size ? old : size);
    }
    return copy;
}

#ifdef WITH_USABLE_SIZE
size_t malloc_usable_size(void *block);

size_t malloc_usable_size(void *block) {
    return block == NULL ? 0 : *(size_t *)(void *)((char *)block - 16);
}
#endif
