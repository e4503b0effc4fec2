// SPDX-License-Identifier: MIT
//
// The guard: every hook enters it before it does anything but call the real function, and leaves it after.
//
// NULL from guard_enter means "pass through": this process is not recorded, or the thread is inside a hook
// already (the shim's own calls, or a signal handler that interrupted it). Costs two loads and a store.
// Signals: safe; a handler that interrupts a guarded section is passed through.

#ifndef PEAKLINE_GUARD_H
#define PEAKLINE_GUARD_H

#include "shim/shim.h"

// Sets up the process (first call ever, first call in a forked child) or the thread. False: pass through.
bool process_enter(struct thread *thread);

static inline struct thread *guard_enter(void) {
    struct thread *thread = &thread_self;
    if (shim_unlikely(thread->busy))
        return NULL;
    thread->busy = 1;
    __asm__ volatile("" ::: "memory");
    if (shim_unlikely(thread->generation != shim.generation) && !process_enter(thread)) {
        thread->busy = 0;
        return NULL;
    }
    return thread;
}

static inline void guard_leave(struct thread *thread) {
    __asm__ volatile("" ::: "memory");
    thread->busy = 0;
}

#endif
