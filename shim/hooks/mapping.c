// SPDX-License-Identifier: MIT
//
// Anonymous mappings. Python is built with 64-bit file offsets and calls mmap64: both names are hooked.
// Allocators inside the C library map memory without passing here, so heap bytes are not met twice.

#include "shim/guard.h"
#include "shim/real.h"
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

static void mapping_made(void *address, size_t length, int flags, const void *frame) {
    if (address == MAP_FAILED)
        return;
    struct thread *thread = guard_enter();
    if (!thread)
        return;
    if ((flags & MAP_ANONYMOUS) && !thread->off_books)
        track_map(thread, address, mapping_round(length), frame);
    else if (flags & MAP_FIXED)
        track_unmap(thread, address, mapping_round(length)); // it may have replaced anonymous memory
    guard_leave(thread);
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
    void *result = real.mmap(address, length, protection, flags, fd, offset);
    mapping_made(result, length, flags, HERE);
    return result;
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
    if (shim_unlikely(!real.mmap64) && !real_resolve())
        return mapping_raw(address, length, protection, flags, fd, offset);
    void *result = real.mmap64(address, length, protection, flags, fd, offset);
    mapping_made(result, length, flags, HERE);
    return result;
}

int munmap(void *address, size_t length) {
    // Before the call: afterwards another thread may own the range.
    struct thread *thread = (uintptr_t)address % MAPPING_PAGE == 0 && length ? guard_enter() : NULL;
    if (thread) {
        track_unmap(thread, address, mapping_round(length));
        guard_leave(thread);
    }
    if (shim_unlikely(!real.munmap) && !real_resolve()) {
        long result = sys_munmap(address, length);
        if (sys_failed(result))
            errno = (int)-result;
        return sys_failed(result) ? -1 : 0;
    }
    return real.munmap(address, length);
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
    void *result = real.mremap(address, old_length, new_length, flags, target);
    struct thread *thread = result != MAP_FAILED ? guard_enter() : NULL;
    if (thread) {
        // With MREMAP_DONTUNMAP the old range stays mapped, empty.
        track_remap(thread, address, mapping_round(old_length), result, mapping_round(new_length),
                    flags & MREMAP_DONTUNMAP);
        guard_leave(thread);
    }
    return result;
}
