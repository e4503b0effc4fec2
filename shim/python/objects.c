// SPDX-License-Identifier: MIT
//
// See objects.h.
//
// Where what we stand in front of has a context of its own, it may be wrapping others in turn (debug hooks,
// which hand out an address inside of malloc's block): then the guard is held around it, and lent to it
// (struct thread), so that no byte is met twice. We give that context out as ours, so a thread that reads the
// interpreter's pair of function and context while it changes gets a pair that works.
//
// PYTHONMALLOC and -X dev replace the allocators when the interpreter starts. That is noticed by the first
// thread with the GIL, and they are wrapped again; if our functions are still reached, since somebody wrapped
// us (tracemalloc), they are left alone. Who wraps us may not have been called yet: when our functions are
// reached from within his, they go on to what they wrapped before him.

#include "shim/python/objects.h"
#include "shim/clock.h"
#include "shim/guard.h"
#include "shim/hash.h"
#include "shim/live_arena.h"
#include "shim/python/code.h"
#include "shim/python/freelists.h"
#include "shim/python/python.h"
#include "shim/sampling.h"
#include "shim/track.h"
#include "shim/track_object.h"

#include <dlfcn.h>

extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak)); // not in every C library

#define OBJECTS_PATIENCE                                                                                     \
    64 // captures with the GIL, without any call of ours, until we know that we were replaced
#define OBJECTS_HERE __builtin_frame_address(0)

enum objects_domain { OBJECTS_MEM = 1, OBJECTS_OBJ = 2 }; // PyMemAllocatorDomain

// Not wiped by fork: the interpreter goes on calling us in the child.
static struct objects_wrapped {
    struct python_allocator inner;
    struct python_allocator before; // what inner may reach through us; none where malloc is NULL
    bool nested;                    // inner may wrap others: the guard is held around its calls
} objects_wrapped[3];

static struct python_arenas objects_arenas;
static bool objects_wanted, objects_sampled;
static uint64_t objects_seed;                      // of the random numbers; 0 = another one each time
static const struct detect_runtime *objects_owner; // whose allocators are wrapped
static bool objects_called;                        // since it was last cleared
static bool objects_plain;       // it is true, and the OBJ domain's inner allocator wraps nothing
static bool objects_hidden;      // FRAMES_HIDDEN, for its frames
static bool objects_replaced;    // somebody else's allocators were found in front of ours, or instead
static uint32_t objects_threads; // that began to sample
static bool objects_suspicious;
static uint32_t objects_patience;

uint32_t objects_wraps;
bool objects_unwatched;
const void *const *python_objects_place;
const void *python_objects_malloc;

static inline void objects_note_call(void) {
    if (__builtin_expect(!objects_called, 0))
        objects_called = true;
    if (__builtin_expect(!objects_plain && !objects_wrapped[OBJECTS_OBJ].nested, 0))
        objects_plain = true;
}

#define OBJECTS_OUTSIDE UINT32_MAX

static inline uint32_t objects_bit(const struct objects_wrapped *wrapped) {
    return 1u << (wrapped - objects_wrapped);
}

// Whether this is a call that inner makes: then it is no object's, but part of one's.
static inline bool objects_is_within(const struct objects_wrapped *wrapped) {
    return __builtin_expect(wrapped->nested, 0) && wrapped->before.malloc &&
           (thread_self.wrapping & objects_bit(wrapped));
}

// What is to be called, and then objects_end.
static inline const struct python_allocator *objects_begin(const struct objects_wrapped *wrapped,
                                                           uint32_t *wrapping) {
    *wrapping = OBJECTS_OUTSIDE;
    if (__builtin_expect(!wrapped->nested, 1))
        return &wrapped->inner;
    const struct python_allocator *next = objects_is_within(wrapped) ? &wrapped->before : &wrapped->inner;
    *wrapping = thread_self.wrapping;
    thread_self.wrapping |= objects_bit(wrapped);
    return next;
}

static inline void objects_end(uint32_t wrapping) {
    if (wrapping != OBJECTS_OUTSIDE)
        thread_self.wrapping = wrapping;
}

static inline void *objects_inner_malloc(const struct objects_wrapped *wrapped, size_t size) {
    uint32_t wrapping;
    const struct python_allocator *inner = objects_begin(wrapped, &wrapping);
    void *block = inner->malloc(inner->ctx, size);
    objects_end(wrapping);
    return block;
}

static inline void *objects_inner_calloc(const struct objects_wrapped *wrapped, size_t count, size_t size) {
    uint32_t wrapping;
    const struct python_allocator *inner = objects_begin(wrapped, &wrapping);
    void *block = inner->calloc(inner->ctx, count, size);
    objects_end(wrapping);
    return block;
}

static inline void *objects_inner_realloc(const struct objects_wrapped *wrapped, void *block, size_t size) {
    uint32_t wrapping;
    const struct python_allocator *inner = objects_begin(wrapped, &wrapping);
    void *moved = inner->realloc(inner->ctx, block, size);
    objects_end(wrapping);
    return moved;
}

static inline void objects_inner_free(const struct objects_wrapped *wrapped, void *block) {
    uint32_t wrapping;
    const struct python_allocator *inner = objects_begin(wrapped, &wrapping);
    inner->free(inner->ctx, block);
    objects_end(wrapping);
}

// What the thread has got last: the object that begins there next is the first one (freelists.h).
static inline void *objects_newest(void *block) {
    thread_self.last_block = (uintptr_t)block;
    thread_self.last_begun = 0;
    return block;
}

// NULL is the guard that was not to be had.
static inline struct thread *objects_lend(struct thread *thread) {
    if (thread)
        thread->lent = 1;
    return thread;
}

// What malloc gave last meanwhile is the object's own block, or one like any other.
__attribute__((noinline)) static void objects_look_at(struct thread *thread, const void *object) {
    const uintptr_t block = thread->lent_block;
    thread->lent_block = 0;
    if ((uintptr_t)object - block >= thread->lent_size)
        track_alloc(thread, (void *)block, thread->lent_size, OBJECTS_HERE);
}

static inline void objects_take_back(struct thread *thread, const void *object) {
    if (!thread)
        return;
    thread->lent = 0;
    if (__builtin_expect(thread->lent_block != 0, 0))
        objects_look_at(thread, object);
}

// Of a block that has been detached.
static inline void objects_track_freed(struct thread *thread, void *block, const struct live_block *old,
                                       const void *frame) {
    const enum track_quick quick = track_object_freed_quick(thread, block, old, FRAMES_ANY);
    if (shim_likely(quick == TRACK_DONE))
        return;
    if (quick == TRACK_NOT)
        track_object_freed(thread, block, old, frame);
    else
        track_done_any(thread, quick == TRACK_FLUSH);
}

// After the inner call; `thread`: the guard, where it was held around that.
static inline __attribute__((always_inline)) void objects_allocated(struct thread *thread, void *block,
                                                                    size_t size) {
    if (!thread)
        thread = guard_enter();
    if (!thread)
        return;
    if (block)
        track_object_alloc(thread, block, size, OBJECTS_HERE);
    guard_leave(thread);
}

static void *objects_malloc(const struct objects_wrapped *wrapped, size_t size) {
    objects_note_call();
    struct thread *thread = wrapped->nested ? objects_lend(guard_enter()) : NULL;
    void *block = objects_inner_malloc(wrapped, size);
    objects_take_back(thread, block);
    objects_allocated(thread, block, size);
    return block;
}

static inline void *objects_calloc(const struct objects_wrapped *wrapped, size_t count, size_t size) {
    objects_note_call();
    struct thread *thread = wrapped->nested ? objects_lend(guard_enter()) : NULL;
    void *block = objects_inner_calloc(wrapped, count, size);
    objects_take_back(thread, block);
    objects_allocated(thread, block, count * size); // no overflow where there is a block
    return block;
}

static void objects_free(const struct objects_wrapped *wrapped, void *block) {
    objects_note_call();
    struct thread *thread = block ? guard_enter() : NULL;
    if (thread) {
        track_object_free(thread, block, OBJECTS_HERE);
        if (!wrapped->nested)
            guard_leave(thread);
    }
    struct thread *lent = wrapped->nested ? objects_lend(thread) : NULL;
    objects_inner_free(wrapped, block);
    objects_take_back(lent, NULL);
    if (lent)
        guard_leave(lent);
}

static inline void *objects_realloc(const struct objects_wrapped *wrapped, void *block, size_t size) {
    if (!block)
        return objects_malloc(wrapped, size);
    objects_note_call();
    struct live_block old;
    struct thread *thread = guard_enter();
    bool known = thread && track_object_detach(thread, block, &old);
    if (thread && !wrapped->nested)
        guard_leave(thread);
    struct thread *lent = wrapped->nested ? objects_lend(thread) : NULL;
    void *moved = objects_inner_realloc(wrapped, block, size);
    objects_take_back(lent, moved);
    if (thread && !wrapped->nested)
        thread = guard_enter();
    if (!thread)
        return moved;
    if (moved) {
        if (known)
            objects_track_freed(thread, block, &old, OBJECTS_HERE);
        thread->resized = known && moved == block ? (uintptr_t)block : 0;
        track_object_alloc(thread, moved, size, OBJECTS_HERE);
        thread->resized = 0;
    } else if (known) {
        track_restore(thread, block, &old);
    }
    guard_leave(thread);
    return moved;
}

// ---- samples ----
//
// Of most objects nothing is done but to count their bytes; so these functions stay short, and what is rare
// is kept out of line.

// Whether a sample point falls into an object of that size.
static inline bool objects_is_hit(struct thread *thread, size_t size) {
    return (thread->until_object -= sampling_class(size)->distance) < 0;
}

// The next sample point, after a hit. With the guard held. False: it was none, since the thread had no points
// yet.
static bool objects_draw(struct thread *thread, size_t size) {
    if (!thread->object_random) {
        uint32_t number = __atomic_fetch_add(&objects_threads, 1, __ATOMIC_RELAXED);
        uint64_t seed = objects_seed;
        if (!seed)
            seed = clock_monotonic() ^ (uint64_t)shim.pid << 32 ^ (uintptr_t)thread;
        thread->object_random = hash_mix(seed + number) | 1;
        thread->until_object = sampling_distance(&thread->object_random) - sampling_class(size)->distance;
        if (thread->until_object >= 0)
            return false;
    }
    thread->until_object = sampling_distance(&thread->object_random);
    return true;
}

// The guard is held around the inner call where that is nested; `before` says whether it is.
static inline __attribute__((always_inline)) struct thread *
objects_enter_after(const struct objects_wrapped *wrapped, struct thread *before) {
    return wrapped->nested ? before : guard_enter();
}

// After the inner call, for an object that a sample point fell into.
__attribute__((noinline, cold)) static void objects_hit(const struct objects_wrapped *wrapped,
                                                        struct thread *thread, void *block, size_t size) {
    thread = objects_enter_after(wrapped, thread);
    if (!thread) { // in the shim itself, or nothing is recorded here
        thread_self.until_object = (int64_t)SAMPLING_MEAN << SAMPLING_FRACTION;
        return;
    }
    if (objects_draw(thread, size) && block)
        track_sampled(thread, block, size, OBJECTS_HERE);
    guard_leave(thread);
}

static inline void *objects_sampled_malloc(const struct objects_wrapped *wrapped, size_t size) {
    if (__builtin_expect(size > SAMPLING_LARGEST, 0))
        return objects_malloc(wrapped, size);
    objects_note_call();
    if (objects_is_within(wrapped))
        return objects_inner_malloc(wrapped, size);
    bool hit = objects_is_hit(&thread_self, size);
    if (__builtin_expect(!hit && !wrapped->nested, 1))
        return objects_newest(objects_inner_malloc(wrapped, size));
    struct thread *thread = wrapped->nested ? objects_lend(guard_enter()) : NULL;
    void *block = objects_inner_malloc(wrapped, size);
    objects_take_back(thread, block);
    if (hit)
        objects_hit(wrapped, thread, block, size);
    else if (thread)
        guard_leave(thread);
    return objects_newest(block);
}

static inline void *objects_sampled_calloc(const struct objects_wrapped *wrapped, size_t count, size_t each) {
    size_t size;
    if (__builtin_expect(__builtin_mul_overflow(count, each, &size) || size > SAMPLING_LARGEST, 0))
        return objects_calloc(wrapped, count, each);
    objects_note_call();
    if (objects_is_within(wrapped))
        return objects_inner_calloc(wrapped, count, each);
    bool hit = objects_is_hit(&thread_self, size);
    if (__builtin_expect(!hit && !wrapped->nested, 1))
        return objects_newest(objects_inner_calloc(wrapped, count, each));
    struct thread *thread = wrapped->nested ? objects_lend(guard_enter()) : NULL;
    void *block = objects_inner_calloc(wrapped, count, each);
    objects_take_back(thread, block);
    if (hit)
        objects_hit(wrapped, thread, block, size);
    else if (thread)
        guard_leave(thread);
    return objects_newest(block);
}

// What is known of the block as it was is not any more. False: it is one of malloc's, and all is done.
__attribute__((noinline)) static bool objects_forget(void *block) {
    struct thread *thread = guard_enter();
    if (!thread)
        return true;
    live_visit(thread, block);
    const bool exact = live_has_block(thread, block);
    if (exact)
        track_object_reused_any(thread, block, OBJECTS_HERE);
    else
        track_sampled_reused(thread, block);
    guard_leave(thread);
    return !exact;
}

void objects_reused(void *block, size_t size) {
    if (!live_lacks_block(&thread_self, (uintptr_t)block) && !objects_forget(block))
        return;
    const bool hit = objects_is_hit(&thread_self, size);
    thread_self.last_block = thread_self.last_begun = (uintptr_t)block;
    if (__builtin_expect(!hit, 1))
        return;
    struct thread *thread = guard_enter();
    if (!thread)
        return;
    if (objects_draw(thread, size))
        track_sampled(thread, block, size, OBJECTS_HERE);
    guard_leave(thread);
}

static void objects_gone(struct thread *thread, void *block, const struct live_block *old) {
    if (old->size <= SAMPLING_LARGEST)
        track_sampled_freed(thread, block, old, OBJECTS_HERE);
    else
        track_object_freed(thread, block, old, OBJECTS_HERE);
}

// Of a block that is in the live table, or where the thread has not been lately.
__attribute__((noinline)) static bool objects_detach(struct thread *thread, void *block,
                                                     struct live_block *old) {
    live_visit(thread, block);
    return track_object_detach(thread, block, old);
}

static inline void objects_sampled_free(const struct objects_wrapped *wrapped, void *block) {
    objects_note_call();
    struct thread *thread = block ? guard_enter() : NULL;
    struct live_block old;
    if (thread) {
        if (__builtin_expect(!live_lacks_object(thread, (uintptr_t)block), 0) &&
            objects_detach(thread, block, &old))
            objects_gone(thread, block, &old);
        if (!wrapped->nested)
            guard_leave(thread);
    }
    struct thread *lent = wrapped->nested ? objects_lend(thread) : NULL;
    objects_inner_free(wrapped, block);
    objects_take_back(lent, NULL);
    if (lent)
        guard_leave(lent);
}

// After the inner realloc of a block that was in the live table, or to a size that is to be recorded.
__attribute__((noinline)) static void objects_resized(const struct objects_wrapped *wrapped,
                                                      struct thread *thread, const struct live_block *old,
                                                      void *block, void *moved, size_t size, bool hit) {
    thread = objects_enter_after(wrapped, thread);
    if (!thread)
        return;
    // Sampled anew, whether it was or not: then it stands for others of its size.
    hit = hit && objects_draw(thread, size);
    if (!moved) {
        if (old)
            track_restore(thread, block, old);
    } else {
        if (old)
            objects_gone(thread, NULL, old);
        thread->resized = old && moved == block ? (uintptr_t)block : 0;
        if (size > SAMPLING_LARGEST)
            track_object_alloc(thread, moved, size, OBJECTS_HERE);
        else if (hit)
            track_sampled(thread, moved, size, OBJECTS_HERE);
        thread->resized = 0;
    }
    guard_leave(thread);
}

static inline void *objects_sampled_realloc(const struct objects_wrapped *wrapped, void *block, size_t size) {
    if (!block)
        return objects_sampled_malloc(wrapped, size);
    objects_note_call();
    if (objects_is_within(wrapped))
        return objects_inner_realloc(wrapped, block, size);
    struct live_block old;
    struct thread *thread = guard_enter();
    bool known =
        thread && !live_lacks_object(thread, (uintptr_t)block) && objects_detach(thread, block, &old);
    if (thread && !wrapped->nested)
        guard_leave(thread);
    struct thread *lent = wrapped->nested ? objects_lend(thread) : NULL;
    void *moved = objects_inner_realloc(wrapped, block, size);
    objects_take_back(lent, moved);
    bool hit = size <= SAMPLING_LARGEST && objects_is_hit(&thread_self, size);
    if (__builtin_expect(known || hit || size > SAMPLING_LARGEST, 0))
        objects_resized(wrapped, thread, known ? &old : NULL, block, moved, size, hit);
    else if (thread && wrapped->nested)
        guard_leave(thread);
    return objects_newest(moved);
}

// ---- what the interpreter calls ----

// A set of functions for each domain, which ignore the context; `how` is objects, objects_direct, _hidden or
// objects_sampled.
#define OBJECTS_DOMAIN(name, how, domain)                                                                    \
    static void *objects_##name##_malloc(void *ctx, size_t size) {                                           \
        (void)ctx;                                                                                           \
        return how##_malloc(&objects_wrapped[domain], size);                                                 \
    }                                                                                                        \
    static void *objects_##name##_calloc(void *ctx, size_t count, size_t size) {                             \
        (void)ctx;                                                                                           \
        return how##_calloc(&objects_wrapped[domain], count, size);                                          \
    }                                                                                                        \
    static void *objects_##name##_realloc(void *ctx, void *block, size_t size) {                             \
        (void)ctx;                                                                                           \
        return how##_realloc(&objects_wrapped[domain], block, size);                                         \
    }                                                                                                        \
    static void objects_##name##_free(void *ctx, void *block) {                                              \
        (void)ctx;                                                                                           \
        how##_free(&objects_wrapped[domain], block);                                                         \
    }                                                                                                        \
    static struct python_allocator objects_##name##_functions(void *ctx) {                                   \
        return (struct python_allocator){ctx, objects_##name##_malloc, objects_##name##_calloc,              \
                                         objects_##name##_realloc, objects_##name##_free};                   \
    }

// Of a domain that wraps nothing. All that is not ordinary is left to functions that are jumped to at the
// end, so that these need neither save registers nor keep anything.

// The event has not been noted.
__attribute__((noinline)) static void *objects_plain_allocated(void *block, size_t size) {
    struct thread *thread = block ? guard_enter() : NULL;
    if (thread) {
        track_object_alloc_any(thread, block, size, OBJECTS_HERE);
        guard_leave(thread);
    }
    return block;
}

// It has, and the guard is held.
__attribute__((noinline)) static void *objects_plain_done(struct thread *thread, void *block, bool due) {
    track_done_any(thread, due);
    guard_leave(thread);
    return block;
}

static inline __attribute__((always_inline)) void *objects_quick_malloc(const struct objects_wrapped *wrapped,
                                                                        size_t size, enum frames_kind kind) {
    if (__builtin_expect(!objects_plain, 0))
        return objects_malloc(wrapped, size);
    void *block = wrapped->inner.malloc(wrapped->inner.ctx, size);
    struct thread *thread = &thread_self;
    if (__builtin_expect(!guard_enter_quick(thread), 0))
        return objects_plain_allocated(block, size);
    const enum track_quick quick = track_object_alloc_quick(thread, block, size, kind);
    if (__builtin_expect(quick == TRACK_NOT, 0)) {
        guard_leave(thread);
        return objects_plain_allocated(block, size);
    }
    if (__builtin_expect(quick != TRACK_DONE, 0))
        return objects_plain_done(thread, block, quick == TRACK_FLUSH);
    guard_leave(thread);
    return block;
}

// As above.
__attribute__((noinline)) static void objects_plain_freed(const struct objects_wrapped *wrapped,
                                                          void *block) {
    struct thread *thread = block ? guard_enter() : NULL;
    if (thread) {
        track_object_free_any(thread, block, OBJECTS_HERE);
        guard_leave(thread);
    }
    wrapped->inner.free(wrapped->inner.ctx, block);
}

__attribute__((noinline)) static void objects_plain_free_done(const struct objects_wrapped *wrapped,
                                                              struct thread *thread, void *block, bool due) {
    wrapped->inner.free(wrapped->inner.ctx, objects_plain_done(thread, block, due));
}

static inline __attribute__((always_inline)) void objects_quick_free(const struct objects_wrapped *wrapped,
                                                                     void *block, enum frames_kind kind) {
    if (__builtin_expect(!objects_plain, 0)) {
        objects_free(wrapped, block);
        return;
    }
    struct thread *thread = &thread_self;
    if (__builtin_expect(!guard_enter_quick(thread), 0)) {
        objects_plain_freed(wrapped, block);
        return;
    }
    const enum track_quick quick = track_object_free_quick(thread, block, kind);
    if (__builtin_expect(quick == TRACK_NOT, 0)) {
        guard_leave(thread);
        objects_plain_freed(wrapped, block);
        return;
    }
    if (__builtin_expect(quick != TRACK_DONE, 0)) {
        objects_plain_free_done(wrapped, thread, block, quick == TRACK_FLUSH);
        return;
    }
    guard_leave(thread);
    wrapped->inner.free(wrapped->inner.ctx, block);
}

// One set for interpreters whose chain of frames has hidden ones, one for others: a short way without a
// branch for what never changes.
#define objects_direct_malloc(wrapped, size) objects_quick_malloc(wrapped, size, FRAMES_DIRECT)
#define objects_direct_calloc objects_calloc
#define objects_direct_realloc objects_realloc
#define objects_direct_free(wrapped, block) objects_quick_free(wrapped, block, FRAMES_DIRECT)
#define objects_hidden_malloc(wrapped, size) objects_quick_malloc(wrapped, size, FRAMES_HIDDEN)
#define objects_hidden_calloc objects_calloc
#define objects_hidden_realloc objects_realloc
#define objects_hidden_free(wrapped, block) objects_quick_free(wrapped, block, FRAMES_HIDDEN)

OBJECTS_DOMAIN(mem, objects, OBJECTS_MEM)
OBJECTS_DOMAIN(obj, objects_direct, OBJECTS_OBJ)
OBJECTS_DOMAIN(obj_hidden, objects_hidden, OBJECTS_OBJ)
OBJECTS_DOMAIN(mem_sampled, objects_sampled, OBJECTS_MEM)
OBJECTS_DOMAIN(obj_sampled, objects_sampled, OBJECTS_OBJ)

// With the guard, which may be lent to who calls.
static void objects_note_arena(const void *arena, size_t size, bool begin) {
    const bool lent = thread_self.lent;
    struct thread *thread = lent ? &thread_self : guard_enter();
    if (!thread)
        return;
    thread->lent = 0;
    if (begin)
        live_arena_begin(thread, arena, size);
    else
        live_arena_end(arena, size);
    thread->lent = lent;
    if (!lent)
        guard_leave(thread);
}

static void *objects_arena_alloc(void *ctx, size_t size) {
    (void)ctx;
    thread_self.off_books++;
    void *arena = objects_arenas.alloc(objects_arenas.ctx, size);
    thread_self.off_books--;
    if (arena)
        objects_note_arena(arena, size, true);
    return arena;
}

static void objects_arena_free(void *ctx, void *arena, size_t size) {
    (void)ctx;
    objects_note_arena(arena, size, false);
    thread_self.off_books++;
    objects_arenas.free(objects_arenas.ctx, arena, size);
    thread_self.off_books--;
}

// Our functions for a domain.
static struct python_allocator objects_ours(int domain, void *ctx) {
    if (objects_sampled)
        return domain == OBJECTS_MEM ? objects_mem_sampled_functions(ctx)
                                     : objects_obj_sampled_functions(ctx);
    if (domain == OBJECTS_MEM)
        return objects_mem_functions(ctx);
    return objects_hidden ? objects_obj_hidden_functions(ctx) : objects_obj_functions(ctx);
}

static bool objects_is_ours(int domain, const struct python_allocator *allocator) {
    return allocator->malloc == objects_ours(domain, NULL).malloc;
}

// Tracemalloc and the debug hooks are the interpreter's own, and pass everything on. Where that cannot be
// told: true.
static bool objects_is_foreign(const struct detect_runtime *runtime,
                               const struct python_allocator *allocator) {
    void *(*theirs)(void *, size_t) = allocator->malloc;
    void *(*interpreters)(void) = runtime->call.own_state;
    void *function, *landmark;
    __builtin_memcpy(&function, &theirs, sizeof function);
    __builtin_memcpy(&landmark, &interpreters, sizeof landmark);
    struct dl_find_object own, other;
    return !_dl_find_object || _dl_find_object(landmark, &own) != 0 ||
           _dl_find_object(function, &other) != 0 || own.dlfo_link_map != other.dlfo_link_map;
}

// `again`: our functions were the interpreter's before.
static void objects_wrap_domain(const struct detect_runtime *runtime, int domain, bool again) {
    struct objects_wrapped *wrapped = &objects_wrapped[domain];
    struct python_allocator allocator = {.ctx = NULL};
    runtime->call.get_allocator(domain, &allocator);
    if (!allocator.malloc || objects_is_ours(domain, &allocator))
        return;
    const bool same =
        again && allocator.malloc == wrapped->inner.malloc && allocator.ctx == wrapped->inner.ctx;
    const bool wraps = allocator.ctx || objects_is_foreign(runtime, &allocator);
    if (again && wraps && !same && wrapped->before.malloc) {
        objects_replaced = true; // may reach us by way of the ones that we wrapped last: left alone
        return;
    }
    if (!same) {
        wrapped->before = again && wraps ? wrapped->inner : (struct python_allocator){.ctx = NULL};
        wrapped->inner = allocator;
        wrapped->nested = wraps || runtime->layout.free_threaded;
        if (wraps)
            live_arena_mix();
        objects_plain = false;
    }
    struct python_allocator ours = objects_ours(domain, allocator.ctx);
    runtime->call.set_allocator(domain, &ours);
}

// Finds the interpreter's own record of the allocator that it has just been given.
static void objects_find_place(const struct detect_runtime *runtime) {
    struct python_allocator ours = {.ctx = NULL};
    const void *place = NULL, *wanted;
    __atomic_store_n(&python_objects_place, NULL, __ATOMIC_RELEASE);
    runtime->call.get_allocator(OBJECTS_OBJ, &ours);
    if (objects_sampled || runtime->may_unload || !objects_is_ours(OBJECTS_OBJ, &ours))
        return;
    __builtin_memcpy(&wanted, &ours.malloc, sizeof wanted);
    const char *word = (const char *)(((uintptr_t)runtime->data + 7) & ~(uintptr_t)7),
               *end = (const char *)runtime->data + runtime->data_size;
    for (; (size_t)(end - word) >= sizeof ours; word += sizeof(void *)) {
        const void *const *candidate =
            (const void *const *)(word + offsetof(struct python_allocator, malloc));
        if (*candidate != wanted || __builtin_memcmp(word, &ours, sizeof ours) != 0)
            continue;
        if (place)
            return; // which one is it?
        place = candidate;
    }
    python_objects_malloc = wanted;
    __atomic_store_n(&python_objects_place, place, __ATOMIC_RELEASE);
}

static void objects_wrap(const struct detect_runtime *runtime) {
    const bool again = objects_owner == runtime;
    objects_owner = runtime;
    objects_hidden = frames_may_hide(runtime);
    __atomic_fetch_add(&objects_wraps, 1, __ATOMIC_RELAXED);
    if (runtime->layout.free_threaded)
        live_refine(); // each thread has a heap of its own
    objects_wrap_domain(runtime, OBJECTS_MEM, again);
    objects_wrap_domain(runtime, OBJECTS_OBJ, again);
    objects_find_place(runtime);
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
            objects_called = objects_plain = false;
            objects_patience = OBJECTS_PATIENCE;
        }
        if (!objects_called && --objects_patience)
            return;
    }
    if (objects_owner != runtime || !objects_called)
        objects_wrap(runtime);
    objects_unwatched = true;
    __atomic_fetch_and(&runtime->pending, ~(uint32_t)DETECT_OBJECTS, __ATOMIC_RELAXED);
}

// Whether its allocators are wrapped, and nothing is to be done about them.
static bool objects_settled(const struct detect_runtime *runtime) {
    return objects_owner == runtime && !(runtime->pending & DETECT_OBJECTS);
}

void objects_again(const struct detect_runtime *runtime) {
    objects_unwatched = objects_settled(runtime) && !freelists_watch(runtime, objects_sampled);
}

void python_objects_start(bool sampled, uint64_t seed) {
    objects_wanted = true;
    objects_sampled = sampled;
    objects_seed = seed;
    if (sampled)
        sampling_open();
}

void objects_look(const struct detect_runtime *runtime) {
    if (!objects_settled(runtime))
        return;
    objects_unwatched = true;
    struct python_allocator allocator = {.ctx = NULL};
    runtime->call.get_allocator(OBJECTS_OBJ, &allocator);
    if (_dl_find_object && !objects_is_ours(OBJECTS_OBJ, &allocator) &&
        objects_is_foreign(runtime, &allocator))
        objects_replaced = true;
}

bool python_objects_replaced(void) {
    const struct detect_runtime *runtime = detect_get();
    if (runtime && objects_owner == runtime && detect_loaded(runtime))
        objects_look(runtime);
    return objects_replaced;
}
