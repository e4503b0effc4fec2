// SPDX-License-Identifier: MIT
//
// The guard: every hook enters it before it does anything but call the real function, and leaves it after.
//
// NULL from guard_enter means "pass through": this process is not recorded, or the thread is inside a hook
// already (the shim's own calls, or a signal handler that interrupted it). Costs three loads and a store.
// Signals: safe; a handler that interrupts a guarded section is passed through.
//
// A hook may never come to its end: a signal handler that interrupted it leaves by siglongjmp, or its thread
// is cancelled. guard.c finds that out later, and what it means for the books.

#ifndef PEAKLINE_GUARD_H
#define PEAKLINE_GUARD_H

#include "shim/shim.h"

// Sets up the process (first call ever, first call in a forked child) or the thread. False: pass through.
// (Here and below without arguments, since each would be kept ready in the ordinary case.)
bool process_enter(void);

// Recording ends here and now in this process, for good: the books stay as they are, every hook passes
// through from its next call on, and whoever waits for a lock is refused. Takes no lock. Any thread, with or
// without the guard.
void guard_give_up(enum record_given_up why);

static inline bool guard_gave_up(void) {
    return __atomic_load_n(&shim.generation, __ATOMIC_ACQUIRE) == SHIM_GIVEN_UP;
}

// The guard is taken, and the calling hook wants it. True: who took it is gone, and what it left behind is in
// order again; the guard is free.
bool guard_take_over(void);

// The same when it is certain that no hook of this thread can go on any more.
bool guard_bury(struct thread *thread, enum record_given_up why);

// What the guard holds while it is taken: the address of the hook's frame, and above it the last 16 bits of
// the return address that lies there.
#define GUARD_FRAME_BITS 48 // of a user's address, there are 47

static inline __attribute__((always_inline)) uintptr_t guard_word(const void *frame, const void *back) {
    return (uintptr_t)frame | (uintptr_t)back << GUARD_FRAME_BITS;
}

// In the frame of the function that will leave it, or of one that is inlined there; so are the next two.
static inline __attribute__((always_inline)) void guard_hold(struct thread *thread) {
    thread->busy = guard_word(__builtin_frame_address(0), __builtin_return_address(0));
    __asm__ volatile("" ::: "memory");
}

static inline __attribute__((always_inline)) struct thread *guard_enter(void) {
    struct thread *thread = &thread_self;
    if (shim_unlikely(thread->busy) && !guard_take_over())
        return NULL;
    guard_hold(thread);
    if (shim_unlikely(thread->generation != shim.generation) && !process_enter()) {
        thread->busy = 0;
        return NULL;
    }
    return thread;
}

// The same where it is free and nothing is to be set up: false says nothing, and has done nothing.
static inline __attribute__((always_inline)) bool guard_enter_quick(struct thread *thread) {
    if (shim_unlikely(thread->busy != 0))
        return false;
    guard_hold(thread);
    if (shim_likely(thread->generation == shim.generation))
        return true;
    thread->busy = 0;
    return false;
}

static inline void guard_leave(struct thread *thread) {
    __asm__ volatile("" ::: "memory");
    thread->busy = 0;
}

#endif
