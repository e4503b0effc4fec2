// SPDX-License-Identifier: MIT
//
// The interpreter before and after the program. It makes its own types and names, and in the end tidies up:
// tens of thousands of objects, at thousands of places in functions of its own that nobody asks about. They
// all count for the line of Py_InitializeFromConfig or Py_FinalizeEx that is being executed, and its callers.

#include "shim/config.h"
#include "shim/owner.h"
#include "shim/stack_parts.h"

// Frames further in have nodes that are not theirs.
static void stack_end_beginning(struct stack *stack) {
    stack->beginning.node = stack->native_leaf.node = 0;
    unwind_stack_reset(&stack->native);
}

// Its callers are looked at each time, unlike those of Py_FinalizeEx: no state of the interpreter's says when
// that is over, should it fail.
__attribute__((noinline)) uint32_t stack_still_beginning(struct thread *thread, const void *frame) {
    struct stack *stack = thread->stack;
    struct stack_beginning *beginning = &stack->beginning;
    struct unwind_stack *native = &stack->native;
    if (python_beginning() && !shim.look_twice) {
        const unsigned unchanged = unwind_capture(native, frame);
        if (unchanged > beginning->at) {
            for (unsigned i = unchanged; i < native->depth; i++)
                native->frames[i].node = beginning->node;
            return beginning->node;
        }
    }
    stack_end_beginning(stack);
    return 0;
}

uint32_t stack_beginning(struct stack *stack) {
    const struct unwind_stack *native = &stack->native;
    if (config.native || shim.look_twice || !python_beginning())
        return 0;
    for (unsigned i = 0; i + 1 < native->depth; i++)
        if (python_in_initializer(native->frames[i].value - 1)) {
            stack->beginning = (struct stack_beginning){.node = native->frames[i].node, .at = i};
            return stack->beginning.node;
        }
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
    struct stack_ending *ending = &sure->ending;
    if (shim.look_twice || !python_ending(&sure->python, stack->python))
        return 0;
    if (!ending->node || !stack_ending_holds(ending)) {
        if (stack->beginning.node) // it was not looked at since
            stack_end_beginning(stack);
        if (stack_native_new(thread, frame) == TREE_ROOT || !stack->native.direct)
            return 0;
        const struct unwind_frame *here = stack_finalizer(&stack->native);
        if (!here)
            return 0;
        ending->words[0] = (struct unwind_word){here->slot, here->value};
        ending->words[1] = (struct unwind_word){here[-1].slot, here[-1].value};
        ending->node = here->node;
    }
    sure->place = (struct stack_place){.node = ending->node, .owner = owner_of(ending->node)};
    sure->under.doubts = doubts;
    return ending->node;
}
