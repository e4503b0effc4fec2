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

// What else must be as it was for a place in the innermost frame's code to be known. Compared as a whole.
struct stack_under {
    uint32_t doubts; // shim_doubts when this was known; 0 = it is not
    uint32_t parent; // node of the innermost frame's callers, or as stack_rely says
} __attribute__((aligned(8)));

static inline uint64_t stack_under_word(const struct stack_under *under) {
    uint64_t word;
    __builtin_memcpy(&word, under, sizeof word);
    return word;
}

// Another place in the innermost frame's code, under the same callers.
struct stack_near {
    uintptr_t instr;
    struct stack_under under;
    struct stack_place place;
};

// A line of Py_FinalizeEx, while that is executed.
struct stack_ending {
    uint32_t node;               // 0 = not known
    struct unwind_word words[2]; // what they hold tells that it is
};

#define STACK_NEAR 64 // a power of two

// The place of a Python stack that can be told to be the present one (python/same.h).
struct stack_sure {
    struct stack_under under;
    uintptr_t instr; // where the innermost frame is
    struct stack_place place;
    struct python_sure python;
    struct stack_ending ending; // place's, if there is no innermost frame
    struct stack_near near[STACK_NEAR];
};

static inline struct stack_near *stack_near(const struct stack_sure *sure, uintptr_t instr) {
    const uint64_t mixed = (instr + (uint64_t)sure->under.parent * 8) * 0x9e3779b97f4a7c15u;
    return (struct stack_near *)&sure->near[mixed >> 58 & (STACK_NEAR - 1)];
}

static inline bool stack_ending_holds(const struct stack_ending *ending) {
    const struct unwind_word *words = ending->words;
    return *(const uintptr_t *)words[0].address == words[0].value &&
           *(const uintptr_t *)words[1].address == words[1].value;
}

// With the thread's journal locked: the place of the present stack where that is known in a few instructions,
// as most often in Python programs; else NULL: ask stack_find. A loop allocates again and again at the same
// few instructions of one frame.
static inline __attribute__((always_inline)) const struct stack_place *stack_sure(const struct thread *thread,
                                                                                  enum frames_kind kind) {
    const struct stack_sure *sure = (const struct stack_sure *)thread->stack; // which begins with one
    uintptr_t instr;
    if (!sure || sure->under.doubts != __atomic_load_n(&shim_doubts, __ATOMIC_ACQUIRE))
        return NULL;
    if (shim_unlikely(!sure->python.innermost))
        return python_same_ending(&sure->python) && stack_ending_holds(&sure->ending) ? &sure->place : NULL;
    if (!python_same_innermost(&sure->python, &instr))
        return NULL;
    const struct stack_place *place = &sure->place;
    if (shim_unlikely(instr != sure->instr) && !python_same_importing(&sure->python)) {
        const struct stack_near *near = stack_near(sure, instr);
        if (shim_unlikely(near->instr != instr) ||
            shim_unlikely(stack_under_word(&near->under) != stack_under_word(&sure->under)))
            return NULL;
        place = &near->place;
    }
    return shim_likely(python_same_callers(&sure->python, kind)) ? place : NULL;
}

// The node of the present stack. With the thread's journal locked; gives it up in between when there are
// frames that the thread has not met before. Never 0: TREE_ROOT when nothing is known. Valid until the
// journal is unlocked.
uint32_t stack_find(struct thread *thread, const void *frame);

// greenlet swaps C stacks in this process, or did so in the one that it was forked from.
extern SHIM_OWN bool stack_met_greenlets;

// Whether what the thread allocates now is to be left out (hooks/scope.c). With the guard held.
bool stack_still_paused(struct thread *thread);

static inline bool stack_is_paused(struct thread *thread) {
    return shim_unlikely(thread->paused) && stack_still_paused(thread);
}

// An object of Python's OBJ domain was allocated, and stack_find not asked about it.
void stack_overlooked(struct thread *thread);

// What was known of the thread's stack is no longer true: scopes were opened or closed.
void stack_forget(struct thread *thread);

// The Python stack of the calling thread, as it is now; NULL: there is none. With the guard held; valid until
// it is given up or the thread's stack is asked for again. Its nodes mean nothing.
const struct python_stack *stack_python_now(struct thread *thread);

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
