// SPDX-License-Identifier: MIT
//
// See objects.h.
//
// Where what we stand in front of has a context of its own, it may be wrapping others in turn (debug hooks,
// which hand out an address inside of malloc's block): then the guard is held around it, so that no byte is
// met twice. We give that context out as ours, so a thread that reads the interpreter's pair of function and
// context while it changes gets a pair that works.
//
// PYTHONMALLOC and -X dev replace the allocators when the interpreter starts. That is noticed by the first
// thread with the GIL, and they are wrapped again; if our functions are still reached, since somebody wrapped
// us (tracemalloc), they are left alone.

#include "shim/python/objects.h"
#include "shim/guard.h"
#include "shim/python/code.h"
#include "shim/python/python.h"
#include "shim/track.h"

#define OBJECTS_PATIENCE                                                                                     \
    64 // captures with the GIL, without any call of ours, until we know that we were replaced
#define OBJECTS_HERE __builtin_frame_address(0)

enum objects_domain { OBJECTS_MEM = 1, OBJECTS_OBJ = 2 }; // PyMemAllocatorDomain

// Not wiped by fork: the interpreter goes on calling us in the child.
static struct objects_wrapped {
    struct python_allocator inner;
    bool nested; // the guard is held around inner's calls
} objects_wrapped[3];

static struct python_arenas objects_arenas;
static bool objects_wanted;
static const struct detect_runtime *objects_owner; // whose allocators are wrapped
static bool objects_called;                        // since it was last cleared
static bool objects_suspicious;
static uint32_t objects_patience;

static inline void objects_note_call(void) {
    if (__builtin_expect(!objects_called, 0))
        objects_called = true;
}

static inline void *objects_allocated(struct thread *thread, void *block, size_t size, const void *frame) {
    if (!thread)
        thread = guard_enter();
    if (thread) {
        if (block)
            track_object_alloc(thread, block, size, frame);
        guard_leave(thread);
    }
    return block;
}

static inline void *objects_malloc(const struct objects_wrapped *wrapped, size_t size, const void *frame) {
    objects_note_call();
    struct thread *thread = wrapped->nested ? guard_enter() : NULL;
    void *block = wrapped->inner.malloc(wrapped->inner.ctx, size);
    return objects_allocated(thread, block, size, frame);
}

static inline void *objects_calloc(const struct objects_wrapped *wrapped, size_t count, size_t size,
                                   const void *frame) {
    objects_note_call();
    struct thread *thread = wrapped->nested ? guard_enter() : NULL;
    void *block = wrapped->inner.calloc(wrapped->inner.ctx, count, size);
    return objects_allocated(thread, block, count * size, frame); // no overflow where there is a block
}

static inline void objects_free(const struct objects_wrapped *wrapped, void *block, const void *frame) {
    struct thread *thread = block ? guard_enter() : NULL;
    if (thread) {
        track_object_free(thread, block, frame);
        if (!wrapped->nested)
            guard_leave(thread);
    }
    wrapped->inner.free(wrapped->inner.ctx, block);
    if (thread && wrapped->nested)
        guard_leave(thread);
}

static inline void *objects_realloc(const struct objects_wrapped *wrapped, void *block, size_t size,
                                    const void *frame) {
    if (!block)
        return objects_malloc(wrapped, size, frame);
    objects_note_call();
    struct live_block old;
    struct thread *thread = guard_enter();
    bool known = thread && track_object_detach(thread, block, &old);
    if (thread && !wrapped->nested)
        guard_leave(thread);
    void *moved = wrapped->inner.realloc(wrapped->inner.ctx, block, size);
    if (thread && !wrapped->nested)
        thread = guard_enter();
    if (!thread)
        return moved;
    if (moved) {
        if (known)
            track_object_freed(thread, block, &old, frame);
        track_object_alloc(thread, moved, size, frame);
    } else if (known) {
        track_restore(thread, block, &old);
    }
    guard_leave(thread);
    return moved;
}

// A set of functions for each domain, which ignore the context.
#define OBJECTS_DOMAIN(name, domain)                                                                         \
    static void *objects_##name##_malloc(void *ctx, size_t size) {                                           \
        (void)ctx;                                                                                           \
        return objects_malloc(&objects_wrapped[domain], size, OBJECTS_HERE);                                 \
    }                                                                                                        \
    static void *objects_##name##_calloc(void *ctx, size_t count, size_t size) {                             \
        (void)ctx;                                                                                           \
        return objects_calloc(&objects_wrapped[domain], count, size, OBJECTS_HERE);                          \
    }                                                                                                        \
    static void *objects_##name##_realloc(void *ctx, void *block, size_t size) {                             \
        (void)ctx;                                                                                           \
        return objects_realloc(&objects_wrapped[domain], block, size, OBJECTS_HERE);                         \
    }                                                                                                        \
    static void objects_##name##_free(void *ctx, void *block) {                                              \
        (void)ctx;                                                                                           \
        objects_free(&objects_wrapped[domain], block, OBJECTS_HERE);                                         \
    }

OBJECTS_DOMAIN(mem, OBJECTS_MEM)
OBJECTS_DOMAIN(obj, OBJECTS_OBJ)

static void *objects_arena_alloc(void *ctx, size_t size) {
    (void)ctx;
    thread_self.off_books++;
    void *arena = objects_arenas.alloc(objects_arenas.ctx, size);
    thread_self.off_books--;
    return arena;
}

static void objects_arena_free(void *ctx, void *arena, size_t size) {
    (void)ctx;
    thread_self.off_books++;
    objects_arenas.free(objects_arenas.ctx, arena, size);
    thread_self.off_books--;
}

static bool objects_is_ours(int domain, const struct python_allocator *allocator) {
    return allocator->malloc == (domain == OBJECTS_MEM ? objects_mem_malloc : objects_obj_malloc);
}

static void objects_wrap_domain(const struct detect_runtime *runtime, int domain) {
    struct python_allocator allocator = {.ctx = NULL};
    runtime->call.get_allocator(domain, &allocator);
    if (!allocator.malloc || objects_is_ours(domain, &allocator))
        return;
    objects_wrapped[domain].inner = allocator;
    objects_wrapped[domain].nested = allocator.ctx != NULL || runtime->layout.free_threaded;
    struct python_allocator ours = {allocator.ctx, objects_mem_malloc, objects_mem_calloc,
                                    objects_mem_realloc, objects_mem_free};
    if (domain == OBJECTS_OBJ)
        ours = (struct python_allocator){allocator.ctx, objects_obj_malloc, objects_obj_calloc,
                                         objects_obj_realloc, objects_obj_free};
    runtime->call.set_allocator(domain, &ours);
}

static void objects_wrap(const struct detect_runtime *runtime) {
    objects_owner = runtime;
    objects_wrap_domain(runtime, OBJECTS_MEM);
    objects_wrap_domain(runtime, OBJECTS_OBJ);
    if (!runtime->call.get_arenas || !runtime->call.set_arenas)
        return;
    struct python_arenas arenas = {.ctx = NULL};
    runtime->call.get_arenas(&arenas);
    if (!arenas.alloc || arenas.alloc == objects_arena_alloc)
        return;
    objects_arenas = arenas;
    arenas.alloc = objects_arena_alloc;
    arenas.free = objects_arena_free;
    runtime->call.set_arenas(&arenas);
}

static bool objects_possible(const struct detect_runtime *runtime) {
    // Two interpreters at once would need two sets of functions.
    bool free = !objects_owner || objects_owner == runtime || !detect_loaded(objects_owner);
    return objects_wanted && free && runtime->call.get_allocator && runtime->call.set_allocator;
}

void objects_prepare(struct detect_runtime *runtime, bool quiet) {
    if (!objects_possible(runtime))
        return;
    if (quiet)
        objects_wrap(runtime);
    // Later, because what we wrapped may be replaced, or because only a thread with the GIL may do it.
    objects_suspicious = false;
    __atomic_fetch_or(&runtime->pending, DETECT_OBJECTS, __ATOMIC_RELEASE);
    code_doubt();
}

void objects_attend(struct detect_runtime *runtime) {
    if (!objects_possible(runtime))
        return;
    struct python_allocator allocator = {.ctx = NULL};
    runtime->call.get_allocator(OBJECTS_OBJ, &allocator);
    if (!objects_is_ours(OBJECTS_OBJ, &allocator) && objects_owner == runtime) {
        // Replaced, or wrapped by somebody else? A running interpreter allocates objects all the time.
        if (!objects_suspicious) {
            objects_suspicious = true;
            objects_called = false;
            objects_patience = OBJECTS_PATIENCE;
        }
        if (!objects_called && --objects_patience)
            return;
    }
    if (objects_owner != runtime || !objects_called)
        objects_wrap(runtime);
    __atomic_fetch_and(&runtime->pending, ~(uint32_t)DETECT_OBJECTS, __ATOMIC_RELAXED);
}

void python_objects_start(void) {
    objects_wanted = true;
}
