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

struct stack_place {
    uint32_t node;
    uint32_t owner; // of what is allocated there (owner.h)
};

// Another place in the innermost frame's code, under the same callers.
struct stack_near {
    uintptr_t instr;
    uint32_t parent; // the callers' node, or as stack_rely says
    uint32_t doubts; // shim_doubts when this was known; 0 = it is not
    struct stack_place place;
};

#define STACK_NEAR 64 // a power of two

// The place of a Python stack that can be told to be the present one (python/same.h).
struct stack_sure {
    uint32_t doubts; // shim_doubts when this was known; 0 = it is not
    uint32_t parent; // node of the innermost frame's callers, or as stack_rely says
    uintptr_t instr; // where the innermost frame is
    struct stack_place place;
    struct python_sure python;
    struct stack_near near[STACK_NEAR];
};

static inline uint32_t stack_near_index(uintptr_t instr, uint32_t parent) {
    return (uint32_t)((instr ^ (uintptr_t)parent << 20) * 0x9e3779b97f4a7c15u >> 58) & (STACK_NEAR - 1);
}

// With the thread's journal locked: the place of the present stack where that is known in a few instructions,
// as most often in Python programs; else NULL: ask stack_find. A loop allocates again and again at the same
// few instructions of one frame.
static inline __attribute__((always_inline)) const struct stack_place *
stack_sure(const struct thread *thread) {
    const struct stack_sure *sure = (const struct stack_sure *)thread->stack; // which begins with one
    uintptr_t instr;
    if (!sure || sure->doubts != __atomic_load_n(&shim_doubts, __ATOMIC_ACQUIRE) ||
        !python_same_innermost(&sure->python, &instr))
        return NULL;
    const struct stack_place *place = &sure->place;
    if (instr != sure->instr && !python_same_importing(&sure->python)) {
        const struct stack_near *near = &sure->near[stack_near_index(instr, sure->parent)];
        if (near->instr != instr || near->parent != sure->parent || near->doubts != sure->doubts)
            return NULL;
        place = &near->place;
    }
    return python_same_callers(&sure->python) ? place : NULL;
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
