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

// ---- the guard is taken already ----
//
// By an allocator of Python's that it is lent to (struct thread), or a signal handler has interrupted us, and
// what it allocates is not on the books.

// Whether it is lent. Then it is ours until memory_lend.
static bool memory_borrow(struct thread *thread) {
    bool lent = thread->lent;
    thread->lent = 0;
    return lent;
}

static void memory_lend(struct thread *thread, bool lent) {
    thread->lent = lent;
}

static void memory_missed(void *block, size_t size, const void *frame) {
    struct thread *thread = &thread_self;
    if (!block || !thread->busy || thread->generation != shim.generation)
        return;
    if (!memory_borrow(thread)) {
        shim_lose(RECORD_LOST_REENTRANT);
        return;
    }
    if (thread->lent_block)
        track_alloc(thread, (void *)thread->lent_block, thread->lent_size, frame);
    thread->lent_block = (uintptr_t)block;
    thread->lent_size = size;
    memory_lend(thread, true);
}

// A block in which an object lies is on the books as that object, and not known here.
static void memory_free_busy(void *block, const void *frame) {
    struct thread *thread = &thread_self;
    struct live_block old;
    bool lent = memory_borrow(thread);
    if (!lent)
        track_free_nested(thread, block);
    else if ((uintptr_t)block == thread->lent_block)
        thread->lent_block = 0;
    else if (track_detach(thread, block, &old))
        track_object_freed(thread, block, &old, frame);
    memory_lend(thread, lent);
}

static void *memory_realloc_busy(void *block, size_t size, const void *frame) {
    struct thread *thread = &thread_self;
    struct live_block old;
    bool lent = memory_borrow(thread), newest = (uintptr_t)block == thread->lent_block, known = false;
    if (lent)
        known = !newest && track_detach(thread, block, &old);
    else if (thread->busy)
        track_free_nested(thread, block);
    void *moved = real.realloc(block, size);
    if (known && !moved && size)
        track_restore(thread, block, &old);
    else if (known)
        track_object_freed(thread, block, &old, frame);
    else if (lent && newest && (moved || !size))
        thread->lent_block = 0;
    memory_lend(thread, lent);
    memory_missed(moved, size, frame);
    return moved;
}

// ---- the hooks ----

void *malloc(size_t size) {
    if (shim_unlikely(!real.malloc) && !real_resolve())
        return real_early_alloc(size, 16);
    void *block = real.malloc(size);
    struct thread *thread = guard_enter();
    if (shim_likely(thread)) {
        track_alloc(thread, block, size, HERE);
        guard_leave(thread);
    } else {
        memory_missed(block, size, HERE);
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
        memory_missed(block, count * size, HERE);
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
        memory_free_busy(block, HERE);
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
    if (shim_unlikely(!thread))
        return memory_realloc_busy(block, size, HERE);
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
        memory_missed(block, size, frame);
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
