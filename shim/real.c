// SPDX-License-Identifier: MIT
//
// Finding the real functions.

#include "shim/real.h"
#include "shim/sys.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

struct real real;

#define REAL_GLIBC_CHECKS 256

_Alignas(4096) char real_early[REAL_EARLY_BYTES];
static size_t real_early_used;

// GCC warns about object pointers that become function pointers; POSIX requires dlsym's to be valid.
static void real_find(void *slot, const char *name) {
    void *symbol = dlsym(RTLD_NEXT, name);
    __builtin_memcpy(slot, &symbol, sizeof symbol);
}

bool real_resolve(void) {
    static bool resolving;
    if (real.resolved)
        return true;
    if (resolving)
        return false;
    resolving = true;
    int saved_errno = errno;
#define HOOK(result, name, parameters) real_find(&real.name, #name);
#include "shim/hooks.def"
#undef HOOK
    real_find(&real.malloc_usable_size, "malloc_usable_size");
    Dl_info of_malloc, of_size;
    void *malloc_address, *size_address;
    __builtin_memcpy(&malloc_address, &real.malloc, sizeof malloc_address);
    __builtin_memcpy(&size_address, &real.malloc_usable_size, sizeof size_address);
    real.usable_size_matches = size_address && dladdr(malloc_address, &of_malloc) &&
                               dladdr(size_address, &of_size) && of_malloc.dli_fbase == of_size.dli_fbase;
    const char *slash = real.usable_size_matches ? strrchr(of_malloc.dli_fname, '/') : NULL;
    real.glibc = slash && strcmp(slash, "/libc.so.6") == 0;
    real.glibc_checks = REAL_GLIBC_CHECKS;
    __atomic_store_n(&real.resolved, true, __ATOMIC_RELEASE);
    errno = saved_errno;
    return true;
}

bool real_starts_threads(void) {
    int saved_errno = errno;
    if (!real.pthread_create)
        real_find(&real.pthread_create, "pthread_create");
    errno = saved_errno;
    return real.pthread_create;
}

size_t real_usable_size_checked(void *block) {
    size_t usable = real.malloc_usable_size(block);
    if (real_chunk_usable(((const size_t *)block)[-1]) != usable)
        __atomic_store_n(&real.glibc, false, __ATOMIC_RELAXED);
    uint32_t checks = __atomic_load_n(&real.glibc_checks, __ATOMIC_RELAXED);
    if (checks)
        __atomic_store_n(&real.glibc_checks, checks - 1, __ATOMIC_RELAXED);
    return usable;
}

void *real_early_alloc(size_t size, size_t alignment) {
    if (alignment < 16)
        alignment = 16;
    if (size > REAL_EARLY_BYTES || alignment > 4096)
        return NULL;
    size_t old = __atomic_load_n(&real_early_used, __ATOMIC_RELAXED), start;
    do {
        start = (old + alignment - 1) & ~(alignment - 1);
        if (start + size > REAL_EARLY_BYTES)
            return NULL;
    } while (!__atomic_compare_exchange_n(&real_early_used, &old, start + size, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return real_early + start; // zero: never handed out twice
}

size_t real_early_size(const void *block) {
    return (size_t)(real_early + REAL_EARLY_BYTES - (const char *)block);
}
