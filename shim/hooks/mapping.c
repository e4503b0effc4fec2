// SPDX-License-Identifier: MIT
//
// Anonymous mappings. Python is built with 64-bit file offsets and calls mmap64: both names are hooked.
// Allocators inside the C library map memory without passing here, so heap bytes are not met twice.

#include "shim/guard.h"
#include "shim/real.h"
#include "shim/stack.h"
#include "shim/track.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#define HERE __builtin_frame_address(0)
#define MAPPING_PAGE 4096u
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4 // Linux 5.7
#endif

static size_t mapping_round(size_t length) {
    return (length + MAPPING_PAGE - 1) & ~(size_t)(MAPPING_PAGE - 1);
}

typedef void *mapping_function(void *, size_t, int, int, int, off_t);

// Where the kernel puts it, nothing is known of yet.
static inline void *mapping_anywhere(mapping_function *function, void *address, size_t length, int protection,
                                     int flags, int fd, off_t offset, const void *frame) {
    void *result = function(address, length, protection, flags, fd, offset);
    struct thread *thread = result != MAP_FAILED && (flags & MAP_ANONYMOUS) ? guard_enter() : NULL;
    if (!thread)
        return result;
    if (!thread->off_books && !stack_is_paused(thread)) {
        const struct track_hold hold = track_hold(thread, frame);
        track_mapped(&hold, result, mapping_round(length));
        track_let_go(&hold);
    }
    guard_leave(thread);
    return result;
}

// It may replace anonymous memory.
static inline void *mapping_fixed(mapping_function *function, void *address, size_t length, int protection,
                                  int flags, int fd, off_t offset, const void *frame) {
    struct thread *thread = guard_enter();
    if (!thread)
        return function(address, length, protection, flags, fd, offset);
    const bool recorded = (flags & MAP_ANONYMOUS) && !thread->off_books && !stack_is_paused(thread);
    const struct track_hold hold = track_hold(thread, recorded ? frame : NULL);
    void *result = function(address, length, protection, flags, fd, offset);
    if (result != MAP_FAILED)
        track_mapped(&hold, result, mapping_round(length));
    track_let_go(&hold);
    guard_leave(thread);
    return result;
}

static inline void *mapping_make(mapping_function *function, void *address, size_t length, int protection,
                                 int flags, int fd, off_t offset, const void *frame) {
    if (flags & MAP_FIXED)
        return mapping_fixed(function, address, length, protection, flags, fd, offset, frame);
    return mapping_anywhere(function, address, length, protection, flags, fd, offset, frame);
}

// Before the real function is known only the loader can call.
static void *mapping_raw(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    long result = sys_mmap(address, length, protection, flags, fd, (uint64_t)offset);
    if (sys_failed(result)) {
        errno = (int)-result;
        return MAP_FAILED;
    }
    return (void *)result;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    if (shim_unlikely(!real.mmap) && !real_resolve())
        return mapping_raw(address, length, protection, flags, fd, offset);
    return mapping_make(real.mmap, address, length, protection, flags, fd, offset, HERE);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
    if (shim_unlikely(!real.mmap64) && !real_resolve())
        return mapping_raw(address, length, protection, flags, fd, offset);
    return mapping_make(real.mmap64, address, length, protection, flags, fd, offset, HERE);
}

int munmap(void *address, size_t length) {
    if (shim_unlikely(!real.munmap) && !real_resolve()) {
        long result = sys_munmap(address, length);
        if (sys_failed(result))
            errno = (int)-result;
        return sys_failed(result) ? -1 : 0;
    }
    struct thread *thread = guard_enter();
    if (!thread)
        return real.munmap(address, length);
    const struct track_hold hold = track_hold(thread, NULL);
    int result = real.munmap(address, length);
    if (result == 0)
        track_mapped(&hold, address, mapping_round(length));
    track_let_go(&hold);
    guard_leave(thread);
    return result;
}

void *mremap(void *address, size_t old_length, size_t new_length, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    void *target = flags & MREMAP_FIXED ? va_arg(arguments, void *) : NULL;
    va_end(arguments);
    if (shim_unlikely(!real.mremap) && !real_resolve()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    struct thread *thread = guard_enter();
    if (!thread)
        return real.mremap(address, old_length, new_length, flags, target);
    const struct track_hold hold = track_hold(thread, NULL);
    void *result = real.mremap(address, old_length, new_length, flags, target);
    if (result != MAP_FAILED) // with MREMAP_DONTUNMAP the old range stays mapped, empty
        track_remapped(&hold, address, mapping_round(old_length), result, mapping_round(new_length),
                       flags & MREMAP_DONTUNMAP);
    track_let_go(&hold);
    guard_leave(thread);
    return result;
}
