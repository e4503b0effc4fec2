// SPDX-License-Identifier: MIT
//
// See freelists.h.
//
// The tracer is told of every object, when it begins and when it ends (the latter not always: in 3.13.0, the
// evaluation loop does not tell). Nearly all have just come from our allocator. With the interpreter's lock,
// in free-threaded Python without; the object is the thread's own.

#include "shim/python/freelists.h"
#include "shim/guard.h"
#include "shim/live.h"
#include "shim/python/code.h"
#include "shim/python/objects.h"
#include "shim/sampling.h"
#include "shim/track_object.h"

#define FREELISTS_BEGINS 0 // PyRefTracer_CREATE

// Py_TPFLAGS_HAVE_GC, and Py_TPFLAGS_MANAGED_WEAKREF or _DICT: such an object has two words each in front.
#define FREELISTS_GC (1ul << 14)
#define FREELISTS_MANAGED (3ul << 3)
#define FREELISTS_WORDS (2 * sizeof(void *))
#define FREELISTS_FRONT (2 * FREELISTS_WORDS)

#define FREELISTS_INT (1ul << 24)   // Py_TPFLAGS_LONG_SUBCLASS
#define FREELISTS_TUPLE (1ul << 26) // Py_TPFLAGS_TUPLE_SUBCLASS
#define FREELISTS_TEXT (3ul << 27)  // Py_TPFLAGS_BYTES_SUBCLASS, _UNICODE_SUBCLASS

// Not the tracer's data: a thread may meet our function with the data of another one, which is being
// replaced.
static const struct detect_runtime *freelists_runtime;

static inline const void *freelists_type(const void *object) {
    return code_load(object, freelists_runtime->layout.object_type);
}

static inline unsigned long freelists_flags(const void *object) {
    return freelists_runtime->call.type_flags(freelists_type(object));
}

// How many bytes of the object's memory are in front of it; `flags`: its type's.
static inline size_t freelists_front(unsigned long flags) {
    const bool gc = (flags & FREELISTS_GC) && !freelists_runtime->layout.free_threaded;
    return (flags & FREELISTS_MANAGED ? FREELISTS_WORDS : 0) + (gc ? FREELISTS_WORDS : 0);
}

static inline void *freelists_block(const void *object, size_t front) {
    return (void *)((uintptr_t)object - front);
}

// Whether the object begins in the thread's newest block, as the first one there.
static inline __attribute__((always_inline)) bool freelists_is_first(struct thread *thread,
                                                                     const void *object) {
    if (__builtin_expect((uintptr_t)object - thread->last_block > FREELISTS_FRONT, 0) ||
        __builtin_expect(thread->last_begun == thread->last_block, 0))
        return false;
    thread->last_begun = thread->last_block;
    return true;
}

__attribute__((noinline)) static void freelists_begun(void *block) {
    struct thread *thread = guard_enter();
    if (!thread)
        return;
    track_object_reused_any(thread, block, __builtin_frame_address(0));
    guard_leave(thread);
}

__attribute__((noinline)) static void freelists_done(struct thread *thread, bool due) {
    track_done_any(thread, due);
    guard_leave(thread);
}

__attribute__((noinline)) static int freelists_take(const void *object) {
    struct thread *thread = &thread_self;
    void *block = freelists_block(object, freelists_front(freelists_flags(object)));
    if (__builtin_expect(!guard_enter_quick(thread), 0)) {
        freelists_begun(block);
        return 0;
    }
    const enum track_quick quick = track_object_reused_quick(thread, block, FRAMES_HIDDEN);
    if (__builtin_expect(quick == TRACK_FLUSH || quick == TRACK_ATTEND, 0)) {
        freelists_done(thread, quick == TRACK_FLUSH);
        return 0;
    }
    guard_leave(thread);
    if (__builtin_expect(quick == TRACK_NOT, 0))
        freelists_begun(block);
    return 0;
}

static int freelists_trace(void *object, int event, void *data) {
    (void)data;
    return event != FREELISTS_BEGINS || freelists_is_first(&thread_self, object) ? 0 : freelists_take(object);
}

// Bytes of an object of a type that has a free list, without what is in front; 0: it takes more to know that.
static size_t freelists_size(const void *object, unsigned long flags) {
    const struct python_layout *layout = &freelists_runtime->layout;
    const void *type = freelists_type(object);
    // After its name, a type has these.
    const size_t basic = (size_t)code_load(type, layout->type_name + sizeof(void *)),
                 item = (size_t)code_load(type, layout->type_name + 2 * sizeof(void *));
    size_t count = 0;
    if (flags & FREELISTS_INT)
        count = 1; // digit: no others have a free list
    else if (flags & FREELISTS_TUPLE)
        count = (size_t)code_load(object, layout->object_size);
    else if (item || (flags & FREELISTS_TEXT))
        return 0;
    if (basic > SAMPLING_LARGEST || item > sizeof(void *) || count > SAMPLING_LARGEST)
        return 0;
    return basic + count * item;
}

// Each object is drawn when it begins: in our allocator or, where that was not asked, here.
static int freelists_trace_sampled(void *object, int event, void *data) {
    (void)data;
    if (event != FREELISTS_BEGINS || freelists_is_first(&thread_self, object))
        return 0;
    const unsigned long flags = freelists_flags(object);
    const size_t front = freelists_front(flags), size = freelists_size(object, flags);
    if (size && front + size <= SAMPLING_LARGEST)
        objects_reused(freelists_block(object, front), front + size);
    return 0;
}

bool freelists_watch(const struct detect_runtime *runtime, bool sampled) {
    python_tracer *const ours = sampled ? freelists_trace_sampled : freelists_trace;
    const struct detect_functions *call = &runtime->call;
    if (!call->get_tracer || !call->set_tracer || !call->type_flags)
        return true;
    // Without a GIL, up to 3.14 to set the tracer takes two stores; nobody has seen that of later ones, which
    // might stop all threads for it, those that wait for us included.
    if (runtime->layout.free_threaded && runtime->layout.minor > 14)
        return true;
    void *data;
    python_tracer *const present = call->get_tracer(&data);
    if (!present) {
        freelists_runtime = runtime;
        call->set_tracer(ours, NULL);
    }
    return !present || present == ours;
}
