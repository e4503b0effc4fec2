// SPDX-License-Identifier: MIT
//
// From the previous stack to the present one: what is unchanged keeps its nodes, new frames are interned and
// stepped through.

#include "shim/stack.h"
#include "shim/arena.h"
#include "shim/config.h"
#include "shim/place.h"
#include "shim/scope_path.h"
#include "shim/tree.h"

#include <string.h>
#include <sys/auxv.h>

#define STACK_SWITCH_FRAMES                                                                                  \
    3 // it calls the allocator itself: with its wrappers, greenlet is among the innermost three
#define STACK_TEXT 8192 // bytes for a file's and a function's name

// The innermost frame's node of the previous stack, and how deep that was.
struct stack_leaf {
    uint32_t node;
    unsigned depth;
};

struct stack {
    struct stack *next; // of the free ones
    struct unwind_stack native;
    struct unwind_stack look;    // native stacks that are only looked at: its nodes mean nothing
    struct python_stack *python; // NULL until the thread is seen in a process with an interpreter
    struct stack_leaf native_leaf, python_leaf;
    uint32_t code_epoch, tree_epoch;
    char text[STACK_TEXT];
};

static void stack_reset(struct stack *stack) {
    unwind_stack_reset(&stack->native);
    unwind_stack_reset(&stack->look);
    if (stack->python)
        python_forget(stack->python);
    stack->native_leaf.node = 0;
    stack->python_leaf.node = 0;
    stack->code_epoch = shim.code_epoch;
    stack->tree_epoch = shim.tree_epoch;
}

void stack_open(struct thread *thread) {
    bool locked = lock_take(&shim.lock);
    struct stack *stack = shim.stacks_free;
    if (stack)
        shim.stacks_free = stack->next;
    lock_drop(&shim.lock, locked);
    if (!stack)
        stack = arena_alloc(sizeof *stack);
    if (stack)
        stack_reset(stack);
    thread->stack = stack;
}

void stack_forget(struct thread *thread) {
    if (thread->stack)
        stack_reset(thread->stack);
}

void stack_close(struct thread *thread) {
    struct stack *stack = thread->stack;
    thread->stack = NULL;
    if (!stack)
        return;
    bool locked = lock_take(&shim.lock);
    stack->next = shim.stacks_free;
    shim.stacks_free = stack;
    lock_drop(&shim.lock, locked);
}

// The node above a frame: of the next outer frame, which is 0 for the outermost.
static inline uint32_t stack_parent(uint32_t below) {
    return below ? below : scope_path_root();
}

// Room for the nodes of so many new frames and of the innermost one. True: the tree has been folded since the
// capture, so the nodes of all `depth` frames are to be found anew.
static bool stack_prepare(struct stack *stack, unsigned frames, unsigned depth) {
    uint32_t scopes = scope_path_nodes();
    tree_prepare(frames + scopes + 1);
    if (shim_likely(stack->tree_epoch == shim.tree_epoch))
        return false;
    tree_prepare(depth + scopes + 1);
    stack->tree_epoch = shim.tree_epoch;
    return true;
}

static uint32_t stack_python_frame(struct stack *stack, const struct python_frame *frame) {
    uint32_t *known = python_slot(frame);
    if (known && *known)
        return *known;
    struct python_location location;
    if (!python_locate(frame, &location, stack->text, sizeof stack->text))
        return 0;
    uint32_t number = place_python((struct place_text){location.file, location.file_length},
                                   (struct place_text){location.name, location.name_length},
                                   location.first_line, location.line);
    if (shim_unlikely(!shim.greenlets) && memmem(location.file, location.file_length, "/greenlet/", 10))
        shim.greenlets = true;
    if (known)
        *known = number;
    return number;
}

// Whether greenlet is at work right now. While it swaps C stacks it allocates, and the interpreter's own
// chain of frames leads through the C stack in 3.11 and 3.12 (PyThreadState.cframe): at that moment, to
// another greenlet's bytes.
__attribute__((noinline)) static bool stack_switching(struct stack *stack, const void *frame) {
    struct unwind_stack *native = &stack->look;
    unwind_capture(native, frame);
    bool found = false;
    for (unsigned i = 0; i < STACK_SWITCH_FRAMES && i < native->depth && !found; i++) {
        uintptr_t address = native->frames[native->depth - 1 - i].value;
        struct unwind_object object;
        if (!shim.greenlet_high && unwind_find(address, &object) && strstr(object.path, "/_greenlet.")) {
            shim.greenlet_low = object.start;
            shim.greenlet_high = object.end;
        }
        found = address - shim.greenlet_low < shim.greenlet_high - shim.greenlet_low;
    }
    return found;
}

// As python_capture; -1 also without memory.
static inline int stack_python_capture(struct stack *stack) {
    if (shim_unlikely(!stack->python))
        stack->python = arena_alloc(sizeof *stack->python);
    return shim_likely(stack->python) ? python_capture(stack->python) : -1;
}

// 0: this thread has no Python stack.
static uint32_t stack_python(struct stack *stack) {
    int unchanged = stack_python_capture(stack);
    if (unchanged < 0)
        return 0;
    struct python_stack *python = stack->python;
    if ((unsigned)unchanged == python->depth && stack->python_leaf.depth == python->depth &&
        stack->python_leaf.node)
        return stack->python_leaf.node;
    if (python->cut && !unchanged)
        shim_lose(RECORD_LOST_DEEP);
    bool locked = lock_take(&shim.lock);
    if (stack_prepare(stack, python->depth - (unsigned)unchanged, python->depth)) {
        unwind_stack_reset(&stack->native);
        unchanged = 0;
        python->outer_node = 0;
    }
    uint32_t node = stack_parent(unchanged ? python->frames[unchanged - 1].node : python->outer_node);
    for (unsigned i = (unsigned)unchanged; i < python->depth; i++) {
        node = scope_path_frame(node, &python->frames[i]);
        python->frames[i].node = node = tree_path(node, stack_python_frame(stack, &python->frames[i]));
    }
    // The innermost frame has a node of its own, even when it recurs.
    unsigned last = python->depth - 1;
    uint32_t above = stack_parent(last ? python->frames[last - 1].node : python->outer_node);
    uint32_t leaf = tree_leaf(scope_path_frame(above, &python->frames[last]),
                              stack_python_frame(stack, &python->frames[last]));
    lock_drop(&shim.lock, locked);
    stack->python_leaf = (struct stack_leaf){.node = leaf, .depth = python->depth};
    return leaf;
}

static uint32_t stack_native_frame(const struct unwind_frame *frame) {
    return place_native(frame->value, frame->flags & UNWIND_EXACT_PC);
}

// Constructors run before main are called by the loader's first code, which has no unwind information: there
// is no caller to be missed.
static bool stack_ends_in_loader(const struct unwind_stack *native) {
    struct unwind_object object;
    return !(native->loss & UNWIND_DEEP) && unwind_find(native->frames[0].value, &object) &&
           object.start == getauxval(AT_BASE);
}

static uint32_t stack_native(struct stack *stack, const void *frame) {
    unsigned unchanged = unwind_capture(&stack->native, frame);
    struct unwind_stack *native = &stack->native;
    if (unchanged == native->depth && stack->native_leaf.depth == native->depth && stack->native_leaf.node)
        return stack->native_leaf.node;
    if (native->depth == 0)
        return TREE_ROOT; // there was no memory
    if (native->loss && !unchanged && !stack_ends_in_loader(native))
        shim_lose(native->loss & UNWIND_DEEP ? RECORD_LOST_DEEP : RECORD_LOST_UNWIND);
    bool locked = lock_take(&shim.lock);
    if (stack_prepare(stack, native->depth - unchanged, native->depth)) {
        if (stack->python)
            python_forget(stack->python);
        unchanged = 0;
    }
    uint32_t node = stack_parent(unchanged ? native->frames[unchanged - 1].node : 0);
    for (unsigned i = unchanged; i < native->depth; i++) {
        uint32_t number = stack_native_frame(&native->frames[i]);
        if (number != PLACE_ALLOCATOR)
            node = tree_path(node, number);
        native->frames[i].node = node;
    }
    // The innermost frame that is not the allocator's has a node of its own, even when it recurs.
    unsigned last = native->depth - 1;
    uint32_t innermost = stack_native_frame(&native->frames[last]);
    while (innermost == PLACE_ALLOCATOR && last)
        innermost = stack_native_frame(&native->frames[--last]);
    uint32_t leaf = tree_leaf(stack_parent(last ? native->frames[last - 1].node : 0),
                              innermost == PLACE_ALLOCATOR ? 0 : innermost);
    lock_drop(&shim.lock, locked);
    stack->native_leaf = (struct stack_leaf){.node = leaf, .depth = native->depth};
    return leaf;
}

// The native frames inside the innermost Python frame, as far as the interpreter itself: what a C function
// that was called from Python has called. `leaf` is the Python stack's node.
static uint32_t stack_native_inside(struct stack *stack, uint32_t leaf, const void *frame) {
    struct unwind_object interpreter;
    struct unwind_stack *native = &stack->look;
    unwind_capture(native, frame);
    unsigned first = native->depth;
    if (!unwind_find((uintptr_t)python_landmark(), &interpreter))
        return leaf;
    while (first &&
           native->frames[first - 1].value - interpreter.start >= interpreter.end - interpreter.start)
        first--;
    if (first == native->depth || first == 0)
        return leaf;
    bool locked = lock_take(&shim.lock);
    tree_prepare(native->depth - first + 1);
    uint32_t node = leaf, last = 0;
    // Folded meanwhile, and with it `leaf`: the caller will notice and come again.
    bool valid = stack->tree_epoch == shim.tree_epoch;
    for (unsigned i = first; valid && i < native->depth; i++) {
        uint32_t number = stack_native_frame(&native->frames[i]);
        if (number == PLACE_ALLOCATOR)
            continue;
        if (last)
            node = tree_path(node, last);
        last = number;
    }
    if (last)
        node = tree_leaf(node, last);
    lock_drop(&shim.lock, locked);
    return valid ? node : TREE_ROOT;
}

static uint32_t stack_present(struct stack *stack, const void *frame) {
    if (shim_unlikely(stack->code_epoch != shim.code_epoch || stack->tree_epoch != shim.tree_epoch))
        stack_reset(stack);
    if (python_found() && !(shim_unlikely(shim.greenlets) && stack_switching(stack, frame))) {
        uint32_t node = stack_python(stack);
        if (node)
            return shim_unlikely(config.native) ? stack_native_inside(stack, node, frame) : node;
    }
    return stack_native(stack, frame);
}

bool stack_python_caller(struct thread *thread, unsigned up, struct python_frame *frame) {
    struct stack *stack = thread->stack;
    if (!stack || !python_found() || stack_python_capture(stack) < 0 || up >= stack->python->depth)
        return false;
    *frame = stack->python->frames[stack->python->depth - 1 - up];
    return true;
}

uint32_t stack_node(struct thread *thread, const void *frame) {
    if (shim_likely(thread->stack)) {
        uint32_t node = stack_present(thread->stack, frame);
        thread->tree_epoch = thread->stack->tree_epoch;
        return node;
    }
    // The thread is ending and has given its memory back, or there was none: borrow some for this one stack.
    stack_open(thread);
    uint32_t node = thread->stack ? stack_present(thread->stack, frame) : TREE_ROOT;
    thread->tree_epoch = thread->stack ? thread->stack->tree_epoch : shim.tree_epoch;
    stack_close(thread);
    return node;
}
