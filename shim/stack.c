// SPDX-License-Identifier: MIT
//
// From the previous stack to the present one: what is unchanged keeps its nodes, new frames are interned and
// stepped through.

#include "shim/stack.h"
#include "shim/anchor.h"
#include "shim/arena.h"
#include "shim/config.h"
#include "shim/journal.h"
#include "shim/owner.h"
#include "shim/splice.h"

#include <string.h>
#include <sys/auxv.h>

#define STACK_SWITCH_FRAMES                                                                                  \
    3 // it calls the allocator itself: with its wrappers, greenlet is among the innermost three

#define STACK_ASIDE_DEPTH 16 // calls that a function which is set aside makes at most, one within the other

#define STACK_FETCH 4 // new frames that are probably unknown to the tree

#define STACK_SEEN_THROUGH (1u << 31) // beside a node

static void stack_reset(struct stack *stack) {
    unwind_stack_reset(&stack->native);
    unwind_stack_reset(&stack->look);
    if (stack->python)
        python_forget(stack->python);
    stack->native_leaf.node = 0;
    stack->python_leaf.node = 0;
    stack->moment.state = NULL;                    // scopes have come or gone
    stack->sure = (struct stack_sure){.instr = 0}; // another thread's may have been elsewhere
    stack->beginning.node = 0;
    steps_forget(&stack->steps);
    seen_forget(&stack->seen);
    if (stack->splice)
        splice_forget(stack->splice);
    stack->code_epoch = shim.code_epoch;
    stack->tree_epoch = shim.tree_epoch;
    stack->root = thread_self.origin ? 0 : TREE_ROOT;
}

void stack_open(struct thread *thread) {
    enum lock_got locked = lock_take(&shim.lock);
    struct stack *stack = locked == LOCK_REFUSED ? NULL : shim.stacks_free;
    if (stack)
        shim.stacks_free = stack->next;
    lock_drop(&shim.lock, locked);
    if (!stack)
        stack = arena_alloc(sizeof *stack);
    if (stack)
        stack_reset(stack);
    if (stack && stack->python)
        python_begin(stack->python);
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
    enum lock_got locked = lock_take(&shim.lock);
    if (locked == LOCK_REFUSED)
        return;
    stack->next = shim.stacks_free;
    shim.stacks_free = stack;
    lock_drop(&shim.lock, locked);
}

bool stack_prepare(struct stack *stack, unsigned frames, unsigned depth) {
    uint32_t scopes = scope_path_nodes();
    tree_prepare(frames + scopes + 1);
    if (shim_likely(stack->tree_epoch == shim.tree_epoch))
        return false;
    tree_prepare(depth + scopes + 1);
    stack->tree_epoch = shim.tree_epoch;
    stack->root = 0;
    stack->sure.ending.node = stack->beginning.node = 0;
    steps_forget(&stack->steps);
    seen_forget(&stack->seen);
    if (stack->splice)
        splice_forget_nodes(stack->splice);
    return true;
}

bool stack_met_greenlets;

// Whether the file is of greenlet's Python part. In a frozen program its name is a relative one.
static bool stack_is_greenlet(const struct python_location *location) {
    static const char part[] = "/greenlet/";
    const size_t length = sizeof part - 1;
    return memmem(location->file, location->file_length, part, length) ||
           (location->file_length >= length - 1 && memcmp(location->file, part + 1, length - 1) == 0);
}

// greenlet was met: from now on stacks must be looked at twice.
static void stack_greenlets(void) {
    stack_met_greenlets = true;
    shim.look_twice |= SHIM_GREENLETS;
    __atomic_fetch_add(&shim.code_epoch, 1, __ATOMIC_RELEASE);
    shim_doubt();
}

uint32_t stack_python_frame(struct stack *stack, const struct python_frame *frame) {
    uint32_t *known = python_slot(frame);
    if (known && *known)
        return *known;
    uint32_t line, *function = python_function(frame, &line);
    uint32_t number = 0;
    if (function && *function) {
        number = place_python_line(*function, line);
    } else {
        struct python_location location;
        if (!python_locate(frame, &location, stack->text, sizeof stack->text))
            return 0;
        number = place_python((struct place_text){location.file, location.file_length},
                              (struct place_text){location.name, location.name_length}, location.first_line,
                              location.line);
        if (!(shim.look_twice & SHIM_GREENLETS) && stack_is_greenlet(&location))
            stack_greenlets();
        if (function && number)
            *function = shim_frame(number)->function;
    }
    if (known)
        *known = number;
    return number;
}

bool stack_in_greenlet(uintptr_t address) {
    struct unwind_object object;
    if (!shim.greenlet_high && unwind_find(address, &object) && strstr(object.path, "/_greenlet.")) {
        shim.greenlet_low = object.start;
        shim.greenlet_high = object.end;
    }
    return address - shim.greenlet_low < shim.greenlet_high - shim.greenlet_low;
}

// Whether greenlet is at work right now. While it swaps C stacks it allocates, and the interpreter's own
// chain of frames leads through the C stack in 3.11 and 3.12 (PyThreadState.cframe): at that moment, to
// another greenlet's bytes.
__attribute__((noinline)) static bool stack_switching(struct stack *stack, const void *frame) {
    struct unwind_stack *native = &stack->look;
    unwind_capture(native, frame);
    bool found = false;
    for (unsigned i = 0; i < STACK_SWITCH_FRAMES && i < native->depth && !found; i++)
        found = stack_in_greenlet(native->frames[native->depth - 1 - i].value);
    return found;
}

static inline bool stack_python_room(struct stack *stack) {
    if (shim_unlikely(!stack->python))
        stack->python = arena_alloc(sizeof *stack->python);
    return shim_likely(stack->python);
}

// As python_capture; -1 also without memory.
static inline int stack_python_capture(struct stack *stack) {
    return stack_python_room(stack) ? python_capture(stack->python) : -1;
}

// In other contexts the same frames can be in other scopes.
__attribute__((noinline, cold)) static void stack_contexts(struct stack *stack) {
    struct python_mark marks[PYTHON_MARKS];
    if (!stack_python_room(stack))
        return;
    struct python_moment moment = python_moment(stack->python), last = stack->moment;
    if (shim_likely(moment.state && moment.state == last.state && moment.id == last.id &&
                    moment.version == last.version))
        return;
    stack->moment = moment;
    unsigned count = python_marks(stack->python, marks);
    if (count == stack->marks_count && memcmp(marks, stack->marks, count * sizeof *marks) == 0)
        return;
    memcpy(stack->marks, marks, count * sizeof *marks);
    stack->marks_count = count;
    python_forget(stack->python);
    stack->python_leaf.node = 0;
}

// The tree's word on all frames from `unchanged` on.
__attribute__((noinline)) static uint32_t stack_python_learn(struct thread *thread, unsigned unchanged) {
    struct stack *stack = thread->stack;
    struct python_stack *python = stack->python;
    enum lock_got locked = journal_lock_books(thread);
    if (locked == LOCK_REFUSED)
        return TREE_ROOT;
    if (stack_prepare(stack, python->depth - unchanged, python->depth)) {
        unwind_stack_reset(&stack->native);
        unchanged = 0;
        python->outer_node = 0;
    }
    stack_show_scoped(python, unchanged);
    const unsigned last = stack_innermost(python);
    uint32_t leaf = 0;
    if (unchanged > last)
        unchanged = last;
    uint32_t node =
        stack_python_parent(stack, unchanged ? python->frames[unchanged - 1].node : python->outer_node);
    for (unsigned i = unchanged; i < python->depth; i++) {
        if (!stack_shows(python, i)) {
            python->frames[i].node = node;
            continue;
        }
        uint32_t number = stack_python_frame(stack, &python->frames[i]);
        node = scope_path_frame(node, &python->frames[i]);
        struct step step = stack_step_python(&python->frames[i], node);
        // The innermost frame has a node of its own, even when it recurs.
        if (i == last)
            leaf = tree_leaf(node, number);
        node = i == last ? tree_path_of_leaf(node, leaf) : tree_path(node, number);
        python->frames[i].node = node;
        if (!number)
            continue;
        steps_keep(&stack->steps, &step, node);
        step = step_leaf(step);
        if (i == last && leaf != node)
            steps_keep(&stack->steps, &step, leaf);
    }
    journal_unlock_books(locked);
    return leaf;
}

// The stack has been captured; so many of its outermost frames are what they were.
__attribute__((noinline)) static uint32_t stack_python_new(struct thread *thread, unsigned unchanged) {
    struct stack *stack = thread->stack;
    struct python_stack *python = stack->python;
    const unsigned last = stack_innermost(python);
    unsigned i = unchanged > last ? last : unchanged;
    uint32_t node = i ? python->frames[i - 1].node : python->outer_node, leaf = 0;
    for (unsigned next = i; next < python->depth && next < i + STACK_FETCH; next++)
        python_slot_fetch(&python->frames[next]);
    bool known = stack_parent_known(thread, &node) && !scope_of_python;
    if (unchanged > last && last < python->depth - 1 &&
        python->frames[last].node != node) // it does not recur
        leaf = node = python->frames[i++].node;
    for (; known && i < python->depth; i++) {
        if (!stack_shows(python, i)) {
            python->frames[i].node = node;
            continue;
        }
        struct step step = stack_step_python(&python->frames[i], node);
        uint32_t next = steps_find(&stack->steps, &step);
        if (shim_unlikely(!next))
            break;
        leaf = next;
        if (shim_unlikely(next == node)) { // it recurs
            step = step_leaf(step);
            leaf = i < last ? next : steps_find(&stack->steps, &step);
        }
        python->frames[i].node = node = next;
    }
    if (shim_unlikely(i < python->depth || !leaf))
        leaf = stack_python_learn(thread, unchanged);
    stack->python_leaf = (struct stack_leaf){.node = leaf, .depth = python->depth};
    return leaf;
}

// Constructors run before main are called by the loader's first code, which has no unwind information: there
// is no caller to be missed.
static bool stack_ends_in_loader(const struct unwind_stack *native) {
    struct unwind_object object;
    return !(native->loss & UNWIND_DEEP) && unwind_find(native->frames[0].value, &object) &&
           object.start == getauxval(AT_BASE);
}

// The tree's word on all frames from `unchanged` on.
__attribute__((noinline)) static uint32_t stack_native_learn(struct thread *thread, unsigned unchanged) {
    struct stack *stack = thread->stack;
    struct unwind_stack *native = &stack->native;
    if (native->loss && !unchanged && !stack_ends_in_loader(native))
        shim_lose(native->loss & UNWIND_DEEP ? RECORD_LOST_DEEP : RECORD_LOST_UNWIND);
    for (unsigned i = unchanged; i < native->depth; i++)
        place_native_fetch(native->frames[i].value);
    enum lock_got locked = journal_lock_books(thread);
    if (locked == LOCK_REFUSED)
        return TREE_ROOT;
    if (stack_prepare(stack, native->depth - unchanged, native->depth)) {
        if (stack->python)
            python_forget(stack->python);
        unchanged = 0;
    }
    uint32_t node = stack_parent(stack, unchanged ? native->frames[unchanged - 1].node : 0);
    for (unsigned i = unchanged; i < native->depth; i++) {
        uint32_t number = stack_native_frame(&native->frames[i]);
        const struct step step = stack_step_native(&native->frames[i], node);
        if (number != PLACE_ALLOCATOR)
            node = tree_path(node, number);
        if (number)
            steps_keep(&stack->steps, &step, number == PLACE_ALLOCATOR ? node | STEP_ALLOCATOR : node);
        native->frames[i].node = node;
    }
    // The innermost frame that is not the allocator's has a node of its own, even when it recurs.
    unsigned last = native->depth - 1;
    uint32_t innermost = stack_native_frame(&native->frames[last]);
    while (innermost == PLACE_ALLOCATOR && last)
        innermost = stack_native_frame(&native->frames[--last]);
    node = stack_parent(stack, last ? native->frames[last - 1].node : 0);
    uint32_t leaf = tree_leaf(node, innermost == PLACE_ALLOCATOR ? 0 : innermost);
    const struct step step = step_leaf(stack_step_native(&native->frames[last], node));
    if (innermost && innermost != PLACE_ALLOCATOR)
        steps_keep(&stack->steps, &step, leaf);
    journal_unlock_books(locked);
    return leaf;
}

uint32_t stack_native_new(struct thread *thread, const void *frame) {
    struct stack *stack = thread->stack;
    unsigned unchanged = unwind_capture(&stack->native, frame);
    struct unwind_stack *native = &stack->native;
    if (unchanged == native->depth && stack->native_leaf.depth == native->depth && stack->native_leaf.node)
        return stack->native_leaf.node;
    if (shim_unlikely(native->depth == 0))
        return TREE_ROOT; // there was no memory
    struct unwind_frame *frames = native->frames;
    unsigned i = unchanged == native->depth ? unchanged - 1 : unchanged;
    uint32_t node = i ? frames[i - 1].node : 0, leaf = 0;
    unsigned innermost = native->depth; // that is not the allocator's own
    bool known = stack_parent_known(thread, &node);
    for (; known && i < native->depth; i++) {
        const struct step step = stack_step_native(&frames[i], node);
        uint32_t next = steps_find(&stack->steps, &step);
        if (shim_unlikely(!next))
            break;
        if (!(next & STEP_ALLOCATOR)) {
            innermost = i;
            leaf = next == node ? 0 : next;
            node = next;
        }
        frames[i].node = node;
    }
    if (!leaf && i == native->depth && innermost < native->depth) { // it recurs
        const struct step step = step_leaf(stack_step_native(&frames[innermost], node));
        leaf = steps_find(&stack->steps, &step);
    }
    if (shim_unlikely(i < native->depth || !leaf))
        leaf = stack_native_learn(thread, unchanged);
    stack->native_leaf = (struct stack_leaf){.node = leaf, .depth = native->depth};
    return leaf;
}

static inline uint32_t stack_native(struct thread *thread, const void *frame) {
    struct stack *stack = thread->stack;
    uint32_t node;
    if (shim_unlikely(stack->beginning.node) && (node = stack_still_beginning(thread, frame)))
        return node;
    const uintptr_t *hook = frame, pc = hook[1], sp = (uintptr_t)(hook + 2), fp = hook[0];
    const bool pays = seen_pays(&stack->seen);
    uint32_t seen = pays ? seen_find(&stack->seen, pc, sp, fp) : 0;
    if (seen)
        return seen;
    node = stack_native_new(thread, frame);
    if (shim_unlikely(python_found()) && node != TREE_ROOT && (seen = stack_beginning(stack)))
        return seen;
    if (pays && stack->native.depth)
        seen_keep(&stack->seen, &stack->native, pc, sp, fp, node);
    return node;
}

// The Python stack that has just been captured has this node; `doubts`: shim_doubts from before the capture.
static void stack_rely(struct stack *stack, uint32_t node, uint32_t doubts) {
    const struct python_stack *python = stack->python;
    const struct python_frame *innermost = &python->frames[python->depth - 1];
    struct stack_sure *sure = &stack->sure;
    sure->instr = innermost->instr;
    // 0: the root, or scopes, of which doubts tell. All places in a frame that is seen through are this node:
    // not that of its callers, who may be the same for another one, where a frame further out recurs.
    sure->under.parent = !stack_shows(python, python->depth - 1) ? node | STACK_SEEN_THROUGH
                         : python->depth > 1                     ? innermost[-1].node
                                                                 : 0;
    sure->under.doubts = doubts;
    sure->place = (struct stack_place){.node = node, .owner = owner_of(node)};
    *stack_near(sure, sure->instr) =
        (struct stack_near){.instr = sure->instr, .under = sure->under, .place = sure->place};
}

// Most often the innermost frame is the one of before, at another instruction. What the tree has said of that
// is looked for after the capture; until then it can be fetched.
static inline void stack_fetch_step(const struct stack *stack, uint32_t doubts) {
    const struct stack_sure *sure = &stack->sure;
    uintptr_t instr;
    if (sure->under.doubts != doubts || !stack->steps.entries || !sure->python.innermost ||
        !python_same_innermost(&sure->python, &instr))
        return;
    const struct python_frame *here = sure->python.innermost;
    const struct step step = step_python(instr, here->code, here->life, sure->under.parent);
    __builtin_prefetch(&stack->steps.entries[steps_index(&stack->steps, &step)]);
}

// 0: this thread has no Python stack.
static inline uint32_t stack_python(struct thread *thread, const void *frame) {
    struct stack *stack = thread->stack;
    uint32_t doubts = __atomic_load_n(&shim_doubts, __ATOMIC_ACQUIRE);
    stack_fetch_step(stack, doubts);
    stack->sure.under.doubts = 0;
    if (shim_unlikely(shim.look_twice & SHIM_CONTEXTS))
        stack_contexts(stack);
    int unchanged = stack_python_capture(stack);
    if (shim_unlikely(unchanged < 0))
        return stack->python && !config.native ? stack_ending(thread, frame, doubts) : 0;
    if (shim_unlikely(stack->python->cut))
        shim_lose(RECORD_LOST_DEEP);
    if (shim_unlikely(config.native) && splice_open(stack))
        return splice_node(thread, (unsigned)unchanged, frame);
    const struct stack_leaf *leaf = &stack->python_leaf;
    uint32_t node = leaf->node;
    if (!node || leaf->depth != stack->python->depth || (unsigned)unchanged != leaf->depth)
        node = stack_python_new(thread, (unsigned)unchanged);
    if (shim.look_twice || config.native)
        return node;
    if (shim_likely(!thread->paused)) // the next allocation would throw them away
        anchor_look(stack->python, &stack->look, frame);
    if (python_rely(&stack->sure.python, stack->python))
        stack_rely(stack, node, doubts);
    return node;
}

// Whether what the thread remembers of its stacks still means something.
static inline bool stack_is_current(const struct stack *stack) {
    return stack->code_epoch == shim.code_epoch && stack->tree_epoch == shim.tree_epoch;
}

// 0: the tree was folded in between.
static uint32_t stack_present(struct thread *thread, const void *frame) {
    struct stack *stack = thread->stack;
    if (shim_unlikely(!stack_is_current(stack)))
        stack_reset(stack);
    if (python_found() &&
        !(shim_unlikely(shim.look_twice & SHIM_GREENLETS) && stack_switching(stack, frame))) {
        uint32_t node = stack_python(thread, frame);
        if (node)
            return node;
    }
    return stack_native(thread, frame);
}

const struct python_stack *stack_python_now(struct thread *thread) {
    struct stack *stack = thread->stack;
    if (!stack || !python_found())
        return NULL;
    stack->sure.under.doubts = 0;
    return stack_python_capture(stack) < 0 ? NULL : stack->python;
}

bool stack_python_caller(struct thread *thread, unsigned up, struct python_frame *frame,
                         const void **context) {
    const struct python_stack *python = stack_python_now(thread);
    if (!python || up >= python->depth)
        return false;
    *frame = python->frames[python->depth - 1 - up];
    *context = python_context(thread->stack->python);
    return true;
}

__attribute__((cold)) bool stack_still_paused(struct thread *thread) {
    if (thread->paused & ~THREAD_ASIDE)
        return true;
    const struct python_stack *python = stack_python_now(thread);
    const struct python_frame *frames = python ? python->frames + python->depth : NULL;
    for (uint32_t i = 1; python && i <= python->depth && i <= STACK_ASIDE_DEPTH; i++)
        if (frames[-(int)i].frame == thread->aside_frame && frames[-(int)i].code == thread->aside_code)
            return true;
    thread->paused = 0;
    return false;
}

void stack_overlooked(struct thread *thread) {
    struct stack *stack = thread->stack;
    if (stack && stack->python) {
        stack->sure.under.doubts = 0;
        python_overlooked(stack->python);
    }
}

uint32_t stack_find(struct thread *thread, const void *frame) {
    // The thread is ending and has given its memory back, or there was none: it borrows some for this one
    // event.
    if (shim_unlikely(!thread->stack)) {
        journal_unlock(thread);
        stack_open(thread);
        thread->attention = 1; // to give it back
        journal_lock(thread);
        if (!thread->stack)
            return TREE_ROOT;
    }
    uint32_t node;
    do {
        node = stack_present(thread, frame);
    } while (shim_unlikely(!node));
    return node;
}

bool stack_python_follow(struct thread *thread, const void *variable, int64_t hash, const void *value) {
    struct stack *stack = thread->stack;
    return stack && stack_python_room(stack) && python_marks_start(stack->python, variable, hash, value);
}
