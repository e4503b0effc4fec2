// SPDX-License-Identifier: MIT
//
// Who is allocating: the node of the calling thread's present stack.
//
// In a thread with a Python stack that is Python's; elsewhere it is the native one. Captured incrementally
// against the thread's previous stack, so that only new frames cost more than a comparison.

#ifndef PEAKLINE_STACK_H
#define PEAKLINE_STACK_H

#include "shim/python/same.h"
#include "shim/shim.h"

// The node of a Python stack that python_same can tell to be the present one.
struct stack_sure {
    uint32_t doubts; // shim_doubts when this was known; 0 = it is not
    uint32_t node;
    uint32_t owner; // of what is allocated there (owner.h)
    struct python_sure python;
};

// With the thread's journal locked: the node of the present stack where that is known in a few instructions,
// as most often in Python programs; else NULL: ask stack_find.
static inline __attribute__((always_inline)) const struct stack_sure *
stack_sure(const struct thread *thread) {
    const struct stack_sure *sure = (const struct stack_sure *)thread->stack; // which begins with one
    if (sure && sure->doubts == __atomic_load_n(&shim_doubts, __ATOMIC_ACQUIRE) && python_same(&sure->python))
        return sure;
    return NULL;
}

// The node of the present stack. With the thread's journal locked; gives it up in between when there are
// frames that the thread has not met before. Never 0: TREE_ROOT when nothing is known. Valid until the
// journal is unlocked.
uint32_t stack_find(struct thread *thread, const void *frame);

// What was known of the thread's stack is no longer true: scopes were opened or closed.
void stack_forget(struct thread *thread);

// The Python frame `up` calls outside of the innermost one, and the context that it runs in as python_context
// says; false: there is none. Only the frame's `frame` and `code` mean something.
bool stack_python_caller(struct thread *thread, unsigned up, struct python_frame *frame,
                         const void **context);

// As python_marks_start.
bool stack_python_follow(struct thread *thread, const void *variable, int64_t hash, const void *value);

// Gives the thread its memory for stacks; the thread may have to do without.
void stack_open(struct thread *thread);

// The thread ends: its memory waits for the next one.
void stack_close(struct thread *thread);

#endif
