// SPDX-License-Identifier: MIT
//
// The interpreter before and after the program. It makes its own types and names, and in the end tidies up:
// tens of thousands of objects, at thousands of places in functions of its own that nobody asks about. They
// all count for the line of Py_InitializeFromConfig or Py_FinalizeEx that is being executed, and its callers.

#include "shim/config.h"
#include "shim/owner.h"
#include "shim/stack_parts.h"

static uint32_t stack_go_inside(struct stack_inside *inside, const struct unwind_frame *here) {
    inside->words[0] = (struct unwind_word){here->slot, here->value};
    inside->words[1] = (struct unwind_word){here[-1].slot, here[-1].value};
    inside->node = here->node;
    return here->node;
}

__attribute__((noinline)) uint32_t stack_still_beginning(struct stack *stack) {
    struct stack_inside *beginning = &stack->beginning;
    if (!python_beginning())
        beginning->node = 0; // the words may mean something else by the time another interpreter begins
    return beginning->node && stack_inside_holds(beginning) ? beginning->node : 0;
}

uint32_t stack_beginning(struct stack *stack) {
    const struct unwind_stack *native = &stack->native;
    if (config.native || shim.look_twice || !native->direct || !python_beginning())
        return 0;
    for (uint32_t i = 1; i + 1 < native->depth; i++)
        if (python_in_initializer(native->frames[i].value - 1))
            return stack_go_inside(&stack->beginning, &native->frames[i]);
    return 0;
}

// The frame of Py_FinalizeEx in the native stack that has just been captured. NULL: it is not there.
static const struct unwind_frame *stack_finalizer(const struct unwind_stack *native) {
    for (uint32_t i = 1; i + 1 < native->depth; i++) {
        const int further = python_finalizer(unwind_function_start(native->frames[i].value - 1));
        if (further >= 0)
            return &native->frames[i + (uint32_t)further];
    }
    return NULL;
}

__attribute__((noinline)) uint32_t stack_ending(struct thread *thread, const void *frame, uint32_t doubts) {
    struct stack *stack = thread->stack;
    struct stack_sure *sure = &stack->sure;
    struct stack_inside *ending = &sure->ending;
    if (shim.look_twice || !python_ending(&sure->python, stack->python))
        return 0;
    if (!ending->node || !stack_inside_holds(ending)) {
        if (stack_native_new(thread, frame) == TREE_ROOT || !stack->native.direct)
            return 0;
        const struct unwind_frame *here = stack_finalizer(&stack->native);
        if (!here)
            return 0;
        stack_go_inside(ending, here);
    }
    sure->place = (struct stack_place){.node = ending->node, .owner = owner_of(ending->node)};
    sure->under.doubts = doubts;
    return ending->node;
}
