// SPDX-License-Identifier: MIT
//
// Finding the real functions.

#include "shim/real.h"
#include "shim/sys.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>

struct real real;

#define REAL_GLIBC_CHECKS 256

_Alignas(4096) char real_early[REAL_EARLY_BYTES];
static size_t real_early_used;

// Not in every C library. dladdr goes through all symbols of a library, a tenth of what a short program pays.
extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));

// The object that the function is in: where it starts, and its path. False: not known.
static bool real_find_object(void *function, const void **start, const char **path) {
    struct dl_find_object found;
    if (_dl_find_object && _dl_find_object(function, &found) == 0) {
        *start = found.dlfo_map_start;
        *path = found.dlfo_link_map->l_name;
        return true;
    }
    Dl_info information;
    if (!dladdr(function, &information))
        return false;
    *start = information.dli_fbase;
    *path = information.dli_fname;
    return true;
}

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
    void *malloc_address, *size_address;
    const void *of_malloc, *of_size;
    const char *malloc_path, *size_path;
    __builtin_memcpy(&malloc_address, &real.malloc, sizeof malloc_address);
    __builtin_memcpy(&size_address, &real.malloc_usable_size, sizeof size_address);
    real.usable_size_matches = size_address && real_find_object(malloc_address, &of_malloc, &malloc_path) &&
                               real_find_object(size_address, &of_size, &size_path) && of_malloc == of_size;
    const char *slash = real.usable_size_matches ? strrchr(malloc_path, '/') : NULL;
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
