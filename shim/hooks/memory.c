// SPDX-License-Identifier: MIT
//
// The malloc family. Each hook calls the real function and tells track.c, in the order that keeps the live
// table right under threads: a block is detached before the real free or realloc can hand it to somebody
// else.

#include "shim/guard.h"
#include "shim/real.h"
#include "shim/track.h"

#include <errno.h>

#define HERE __builtin_frame_address(0)

// The guard was taken already: a signal handler allocates that has interrupted us. It is not on the books.
static void memory_missed(const void *block) {
    if (block && thread_self.busy && thread_self.generation == shim.generation)
        shim_lose(RECORD_LOST_REENTRANT);
}

void *malloc(size_t size) {
    if (shim_unlikely(!real.malloc) && !real_resolve())
        return real_early_alloc(size, 16);
    void *block = real.malloc(size);
    struct thread *thread = guard_enter();
    if (shim_likely(thread)) {
        track_alloc(thread, block, size, HERE);
        guard_leave(thread);
    } else {
        memory_missed(block);
    }
    return block;
}

void *calloc(size_t count, size_t size) {
    if (shim_unlikely(!real.calloc) && !real_resolve())
        return size && count > SIZE_MAX / size ? NULL : real_early_alloc(count * size, 16);
    void *block = real.calloc(count, size);
    struct thread *thread = guard_enter();
    if (shim_likely(thread)) {
        track_alloc(thread, block, count * size, HERE); // no overflow where there is a block
        guard_leave(thread);
    } else {
        memory_missed(block);
    }
    return block;
}

void free(void *block) {
    if (!block || shim_unlikely(real_early_owns(block)))
        return;
    if (shim_unlikely(!real.free) && !real_resolve())
        return;
    struct thread *thread = guard_enter();
    if (shim_likely(thread)) {
        track_free(thread, block, HERE);
        guard_leave(thread);
    } else if (thread_self.busy) {
        track_free_nested(&thread_self, block);
    }
    real.free(block);
}

// A block of the static buffer moves to the real allocator.
static void *memory_move_early(void *block, size_t size) {
    void *moved = malloc(size);
    if (moved) {
        size_t old = real_early_size(block);
        __builtin_memcpy(moved, block, old < size ? old : size);
    }
    return moved;
}

void *realloc(void *block, size_t size) {
    if (!block)
        return malloc(size);
    if (shim_unlikely(real_early_owns(block)))
        return memory_move_early(block, size);
    if (shim_unlikely(!real.realloc) && !real_resolve())
        return NULL;
    struct thread *thread = guard_enter();
    if (shim_unlikely(!thread)) {
        if (thread_self.busy)
            track_free_nested(&thread_self, block);
        void *moved = real.realloc(block, size);
        memory_missed(moved);
        return moved;
    }
    struct live_block old;
    bool known = track_detach(thread, block, &old);
    void *moved = real.realloc(block, size);
    if (moved || size == 0) { // glibc's realloc(block, 0) frees
        if (known)
            track_realloc(thread, &old, moved, size, HERE);
        else
            track_alloc(thread, moved, size, HERE);
    } else if (known) {
        track_restore(thread, block, &old);
    }
    guard_leave(thread);
    return moved;
}

void *reallocarray(void *block, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, total);
}

// The aligned allocators have one shape.
static inline void *memory_aligned(void *block, size_t size, const void *frame) {
    struct thread *thread = guard_enter();
    if (shim_likely(thread)) {
        track_alloc(thread, block, size, frame);
        guard_leave(thread);
    } else {
        memory_missed(block);
    }
    return block;
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    if (shim_unlikely(!real.posix_memalign) && !real_resolve())
        return ENOMEM;
    int result = real.posix_memalign(out, alignment, size);
    if (result == 0)
        memory_aligned(*out, size, HERE);
    return result;
}

void *aligned_alloc(size_t alignment, size_t size) {
    if (shim_unlikely(!real.aligned_alloc) && !real_resolve())
        return real_early_alloc(size, alignment);
    return memory_aligned(real.aligned_alloc(alignment, size), size, HERE);
}

void *memalign(size_t alignment, size_t size) {
    if (shim_unlikely(!real.memalign) && !real_resolve())
        return real_early_alloc(size, alignment);
    return memory_aligned(real.memalign(alignment, size), size, HERE);
}

void *valloc(size_t size) {
    if (shim_unlikely(!real.valloc) && !real_resolve())
        return real_early_alloc(size, 4096);
    return memory_aligned(real.valloc(size), size, HERE);
}

void *pvalloc(size_t size) {
    if (shim_unlikely(!real.pvalloc) && !real_resolve())
        return NULL;
    return memory_aligned(real.pvalloc(size), size, HERE);
}
