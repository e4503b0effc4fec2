// SPDX-License-Identifier: MIT
//
// What stack.c, splice.c and stack_edges.c share: a thread's previous stacks, and how one gets from a frame
// to its node. Not for others.

#ifndef PEAKLINE_STACK_PARTS_H
#define PEAKLINE_STACK_PARTS_H

#include "shim/place.h"
#include "shim/scope_path.h"
#include "shim/seen.h"
#include "shim/shim.h"
#include "shim/stack.h"
#include "shim/steps.h"
#include "shim/tree.h"

#define STACK_TEXT 8192 // bytes for a file's and a function's name

// The innermost frame's node of the previous stack, and how deep that was.
struct stack_leaf {
    uint32_t node;
    unsigned depth;
};

// A line of Py_InitializeFromConfig, while that is executed (stack_edges.c).
struct stack_beginning {
    uint32_t node; // 0 = not known
    unsigned at;   // which frame of the native stack it is
};

struct splice; // splice.c

struct stack {
    struct stack_sure sure;
    struct stack *next; // of the free ones
    struct unwind_stack native;
    struct unwind_stack look;    // native stacks that are only looked at: its nodes mean nothing
    struct python_stack *python; // NULL until the thread is seen in a process with an interpreter
    struct splice *splice;       // NULL until native frames are put between Python's
    struct stack_leaf native_leaf, python_leaf;
    struct stack_beginning beginning;
    uint32_t code_epoch, tree_epoch;
    uint32_t root; // the node above the outermost frame, where no scopes are open; 0 = not known
    struct python_moment moment; // when the marks were read
    unsigned marks_count;
    struct python_mark marks[PYTHON_MARKS]; // of the contexts that python's nodes are in
    struct steps steps;
    struct seen seen;
    char text[STACK_TEXT];
};

_Static_assert(offsetof(struct stack, sure) == 0, "stack_sure() finds it there");

static inline struct step stack_step_native(const struct unwind_frame *frame, uint32_t parent) {
    return step_native(frame->value, frame->flags & UNWIND_EXACT_PC, parent);
}

static inline struct step stack_step_python(const struct python_frame *frame, uint32_t parent) {
    return step_python(frame->instr, frame->code, frame->life, parent);
}

// With shim.lock held: the node above the outermost frame.
static inline uint32_t stack_root(struct stack *stack) {
    const uint32_t node = scope_path_root();
    if (shim_likely(!thread_self.scopes))
        stack->root = node;
    return node;
}

// The node above a frame: of the next outer frame, which is 0 for the outermost.
static inline uint32_t stack_parent(struct stack *stack, uint32_t below) {
    return below ? below : stack_root(stack);
}

// The same for a Python frame: of scopes that contexts hold, too.
static inline uint32_t stack_python_parent(struct stack *stack, uint32_t below) {
    return below ? below : scope_path_contexts(stack_root(stack), stack->marks, stack->marks_count);
}

// Replaces 0 by the node above the outermost frame. False: it is not known without shim.lock.
static inline bool stack_parent_known(const struct thread *thread, uint32_t *below) {
    if (shim_unlikely(*below == 0)) {
        if (thread->scopes || !thread->stack->root)
            return false;
        *below = thread->stack->root;
    }
    return true;
}

// Frames of the import system are seen through, as in Python's tracebacks: what they do is done by the line
// that imports, for their own have no source and each import makes a hundred contexts more. But a
// stack's outermost frame is there in any case.
static inline bool stack_shows(const struct python_stack *python, unsigned index) {
    return shim_likely(!python->frames[index].importing) || index == 0;
}

// With shim.lock held: those from `first` on that have scopes of their own are shown, too.
static inline void stack_show_scoped(struct python_stack *python, unsigned first) {
    for (unsigned i = first; shim_unlikely(scope_of_python) && i < python->depth; i++)
        if (python->frames[i].importing && scope_path_is_around(&python->frames[i]))
            python->frames[i].importing = 0;
}

// The innermost one that is shown.
static inline unsigned stack_innermost(const struct python_stack *python) {
    unsigned last = python->depth - 1;
    while (!stack_shows(python, last))
        last--;
    return last;
}

// With shim.lock held: room for the nodes of so many new frames and of the innermost one. True: the tree has
// been folded since the capture, so the nodes of all `depth` frames are to be found anew.
bool stack_prepare(struct stack *stack, unsigned frames, unsigned depth);

// Unwinds the native stack. Its frames have nodes then, but where TREE_ROOT is returned.
uint32_t stack_native_new(struct thread *thread, const void *frame);

// Memory is taken or given back while the thread runs no Python function: the node of the line of
// Py_InitializeFromConfig that is being executed, until the interpreter is initialised, or of Py_FinalizeEx.
// 0: it is something else.
//
// Where the last event was there, too. Captures the native stack.
uint32_t stack_still_beginning(struct thread *thread, const void *frame);
// By the native stack that has just been captured.
uint32_t stack_beginning(struct stack *stack);
// `doubts`: shim_doubts from before the capture.
uint32_t stack_ending(struct thread *thread, const void *frame, uint32_t doubts);

// Whether the code is greenlet's extension module.
bool stack_in_greenlet(uintptr_t address);

// With shim.lock held: a frame's number; 0 where it is not readable, or the recording full.
uint32_t stack_python_frame(struct stack *stack, const struct python_frame *frame);

static inline uint32_t stack_native_frame(const struct unwind_frame *frame) {
    return place_native(frame->value, frame->flags & UNWIND_EXACT_PC);
}

#endif
