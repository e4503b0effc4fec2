// SPDX-License-Identifier: MIT
//
// See splice.h. What is looked up of a native frame (splice_class) is kept for as long as it is unchanged:
// `marks` are those that matter. The mixed stack is gone through from the outermost frame on that has changed
// (splice_resume); a frame with the place and the caller that the frame at this position had before has the
// node that it had.

#include "shim/splice.h"
#include "shim/arena.h"
#include "shim/journal.h"

#define SPLICE_RUNS (PYTHON_DEPTH + 64)
#define SPLICE_MARKS 4096
#define SPLICE_CLASSES 4096 // entries; a power of two
#define SPLICE_STEPS 1024

enum splice_class {
    SPLICE_UNKNOWN = 0,
    SPLICE_CODE,        // the program's, or a library's
    SPLICE_ALLOCATOR,   // PLACE_ALLOCATOR
    SPLICE_INTERPRETER, // of the interpreter's module
    SPLICE_LOOP,        // of its evaluation loop
};

#define SPLICE_CLASS_BITS 8

// A native frame that is an activation of the loop, or is to be seen if it lies inside of one.
struct splice_mark {
    uint32_t frame;
    uint32_t loop;
    uint32_t first; // of a loop: where its run of Python frames begins; SPLICE_NONE = it has none, or is new
};

#define SPLICE_NONE UINT32_MAX

struct splice {
    struct unwind_stack native; // its nodes mean nothing
    uint32_t scanned;           // native frames whose marks are there
    uint32_t marks_used, loops;
    bool crowded; // there were more
    // The stack of the last event.
    uint32_t leaf;
    uint32_t python_depth, native_depth;
    bool matched;       // runs and loops did: `first` holds
    uint32_t innermost; // the Python frame that was shown as such
    uint32_t last;      // the native frame that was; SPLICE_NONE = there was none
    // Marks that have gone since: where the run of the outermost loop among them began; but for the very
    // outermost mark, if it was a loop's, which mostly comes again: in the same activation, at another
    // instruction.
    uint32_t gone_first;
    struct splice_mark gone; // .loop = 0: no such
    bool gone_again;
    // The interpreter's module, by python_landmark.
    const void *landmark;
    uintptr_t start, size;

    uint64_t classes[SPLICE_CLASSES]; // address << SPLICE_CLASS_BITS | class
    struct splice_mark marks[SPLICE_MARKS];
    struct python_run runs[SPLICE_RUNS];
    struct step steps[SPLICE_STEPS]; // of the frames of the last mixed stack
};

bool splice_open(struct stack *stack) {
    if (shim_unlikely(!stack->splice))
        stack->splice = arena_alloc(sizeof *stack->splice);
    return stack->splice;
}

static inline void splice_gone(struct splice *splice, uint32_t first) {
    if (first < splice->gone_first)
        splice->gone_first = first;
}

static void splice_unmark(struct splice *splice, uint32_t unchanged) {
    if (splice->scanned <= unchanged)
        return;
    splice->scanned = unchanged;
    splice->crowded = false;
    while (splice->marks_used && splice->marks[splice->marks_used - 1].frame >= unchanged) {
        const struct splice_mark *mark = &splice->marks[--splice->marks_used];
        splice->loops -= mark->loop;
        if (mark->loop && mark->frame == unchanged) {
            splice_gone(splice, splice->gone_again ? SPLICE_NONE : splice->gone.first);
            splice->gone = *mark;
            splice->gone_again = false;
        } else if (mark->loop) {
            splice_gone(splice, mark->first);
        }
    }
}

void splice_forget_nodes(struct splice *splice) {
    splice->leaf = 0;
    splice->matched = false;
    for (unsigned i = 0; i < SPLICE_STEPS; i++)
        splice->steps[i].node = 0;
}

void splice_forget(struct splice *splice) {
    splice_forget_nodes(splice);
    unwind_stack_reset(&splice->native);
    splice_unmark(splice, 0);
    splice->landmark = NULL;
    splice->size = 0;
    __builtin_memset(splice->classes, 0, sizeof splice->classes);
}

// ---- what native frames are ----

// Whether the interpreter's module is known.
static inline bool splice_interpreter(struct splice *splice) {
    const void *landmark = python_landmark();
    if (shim_likely(landmark == splice->landmark))
        return true;
    splice_forget(splice);
    struct unwind_object object;
    if (!unwind_find((uintptr_t)landmark, &object))
        return false;
    splice->landmark = landmark;
    splice->start = object.start;
    splice->size = object.end - object.start;
    return true;
}

// A return address may be the first byte after a function that does not return.
static inline uintptr_t splice_inside(const struct unwind_frame *frame) {
    return frame->value - !(frame->flags & UNWIND_EXACT_PC);
}

static inline bool splice_is_interpreter(const struct splice *splice, const struct unwind_frame *frame) {
    return splice_inside(frame) - splice->start < splice->size;
}

// SPLICE_UNKNOWN only without `books`: shim.lock is not held.
static inline enum splice_class splice_classify(struct splice *splice, const struct unwind_frame *frame,
                                                bool books) {
    uintptr_t address = splice_inside(frame);
    uint64_t *entry = &splice->classes[(address * 0x9e3779b97f4a7c15u) >> 52 & (SPLICE_CLASSES - 1)];
    if (shim_likely(*entry >> SPLICE_CLASS_BITS == address && *entry))
        return (enum splice_class)(*entry & ((1u << SPLICE_CLASS_BITS) - 1));
    enum splice_class class;
    if (splice_is_interpreter(splice, frame))
        class = python_in_loop(address) ? SPLICE_LOOP : SPLICE_INTERPRETER;
    else if (books)
        class = stack_native_frame(frame) == PLACE_ALLOCATOR ? SPLICE_ALLOCATOR : SPLICE_CODE;
    else
        return SPLICE_UNKNOWN;
    if (address >> 47 == 0)
        *entry = address << SPLICE_CLASS_BITS | class;
    return class;
}

// Marks the native frames that are new. False: some are not known without `books`.
static bool splice_scan(struct splice *splice, bool books) {
    const struct unwind_stack *native = &splice->native;
    for (; splice->scanned < native->depth && !splice->crowded; splice->scanned++) {
        const struct unwind_frame *frame = &native->frames[splice->scanned];
        // Outside of the outermost loop nothing is shown.
        if (!splice->loops && !splice_is_interpreter(splice, frame))
            continue;
        enum splice_class class = splice_classify(splice, frame, books);
        if (shim_unlikely(class == SPLICE_UNKNOWN))
            return false;
        if (class != SPLICE_LOOP && (class != SPLICE_CODE || !splice->loops))
            continue;
        if (shim_unlikely(splice->marks_used == SPLICE_MARKS)) {
            splice->crowded = true;
            break;
        }
        struct splice_mark *mark = &splice->marks[splice->marks_used++];
        *mark = (struct splice_mark){
            .frame = splice->scanned, .loop = class == SPLICE_LOOP, .first = SPLICE_NONE};
        if (mark->loop && splice->gone.loop && splice->gone.frame == mark->frame) {
            mark->first = splice->gone.first;
            splice->gone_again = true;
        }
        splice->loops += class == SPLICE_LOOP;
    }
    return true;
}

// ---- which loop is which run's ----

// Whether the place lies in the C frame that the native frame is (from where it has called to its own return
// address).
static bool splice_holds(const struct unwind_stack *native, uint32_t frame, uintptr_t place) {
    return place > native->frames[frame].slot && (!frame || place < native->frames[frame - 1].slot);
}

// Since 3.15 a frame of the interpreter's own, which lies on no C stack, is outside of all others.
static unsigned splice_drop_base(const struct splice *splice, unsigned runs) {
    const struct python_run *base = &splice->runs[runs - 1];
    const struct unwind_stack *native = &splice->native;
    if (runs > 1 && base->place && base->first == base[-1].first &&
        (base->place < native->frames[native->depth - 1].slot || base->place > native->frames[0].slot))
        return runs - 1;
    return runs;
}

// There are more loops than runs, the outermost of which begins at `mark`. That is how it should be in a
// greenlet, which was started inside other runs, and where each run has been found by its place.
static bool splice_may_begin(const struct splice *splice, uint32_t mark) {
    if (splice->runs[0].place)
        return true;
    while ((shim.look_twice & SHIM_GREENLETS) && mark-- && !splice->marks[mark].loop)
        if (stack_in_greenlet(splice->native.frames[splice->marks[mark].frame].value))
            return true;
    return false;
}

// The next loop outside of *mark, which becomes *mark.
static inline bool splice_next_loop(const struct splice *splice, uint32_t *mark) {
    while (*mark)
        if (splice->marks[--*mark].loop)
            return true;
    return false;
}

// That is the run's. False: it cannot be.
static inline bool splice_pair(struct splice *splice, uint32_t *mark, const struct python_run *run) {
    if (!splice_next_loop(splice, mark) ||
        (run->place && !splice_holds(&splice->native, splice->marks[*mark].frame, run->place)))
        return false;
    splice->marks[*mark].first = run->first;
    return true;
}

// The innermost native frame that is to be seen; SPLICE_NONE: there is none.
static uint32_t splice_last(const struct splice *splice) {
    uint32_t mark = splice->marks_used;
    while (mark--)
        if (!splice->marks[mark].loop)
            return splice->marks[mark].frame;
    return SPLICE_NONE;
}

// Returns how many runs there are and where the outermost one begins. 0: loops and runs do not match.
static unsigned splice_match(struct splice *splice, struct python_stack *python, uint32_t *begin) {
    unsigned runs;
    if (!splice->loops || splice->crowded || !python_runs(python, 0, splice->runs, SPLICE_RUNS, &runs) ||
        !runs)
        return 0;
    runs = splice_drop_base(splice, runs);
    if (runs > splice->loops)
        return 0;
    uint32_t mark = splice->marks_used;
    for (unsigned run = 0; run < runs; run++)
        if (!splice_pair(splice, &mark, &splice->runs[run]))
            return 0;
    *begin = mark;
    if (runs != splice->loops && !splice_may_begin(splice, mark))
        return 0;
    while (mark--)
        splice->marks[mark].first = SPLICE_NONE;
    return runs;
}

// The outermost `keep` Python frames are what they were at the last event, none of them is or was the
// innermost that is shown, and so are `same` native frames. Finds the loop whose run the last of them is in,
// as then. Sets the runs further in. False: that takes more to know.
static bool splice_resume(struct splice *splice, struct python_stack *python, uint32_t keep, unsigned same,
                          unsigned *runs, uint32_t *begin) {
    if (!keep || !splice->matched || splice->crowded || splice->gone_first < keep ||
        (splice->gone.loop && !splice->gone_again && splice->gone.first < keep) ||
        (shim.look_twice & SHIM_GREENLETS) || !python_runs(python, keep, splice->runs, SPLICE_RUNS, runs))
        return false;
    uint32_t mark = splice->marks_used;
    for (unsigned run = 0; run < *runs; run++) {
        if (!splice_next_loop(splice, &mark) || splice->marks[mark].first < keep)
            return false;
        mark++;
        if (!splice_pair(splice, &mark, &splice->runs[run]))
            return false;
    }
    *begin = mark;
    if (!splice_next_loop(splice, begin) || splice->marks[*begin].frame > same ||
        splice->marks[*begin].first >= keep)
        return false;
    // The native frames further out are still what they were: the innermost one or not.
    const uint32_t last = splice_last(splice), at = splice->marks[*begin].frame;
    const bool inside = last != SPLICE_NONE && last > at,
               was_inside = splice->last != SPLICE_NONE && splice->last > at;
    return inside == was_inside;
}

// ---- from frames to nodes ----

struct splice_walk {
    struct stack *stack;
    bool books;         // shim.lock is held: what is not known can be asked for
    uint32_t node;      // of the frames so far
    uint32_t position;  // how many they are
    unsigned innermost; // Python frame that is shown
};

// The node of the next frame, where it is known. The step is left in its place for the next time.
static inline uint32_t splice_known(struct splice_walk *walk, const struct step *step) {
    uint32_t position = walk->position++;
    struct step *before = &walk->stack->splice->steps[position < SPLICE_STEPS ? position : SPLICE_STEPS - 1];
    uint64_t different = (before->place ^ step->place) | (before->code ^ step->code) |
                         (before->parent_life ^ step->parent_life);
    if (shim_likely(different == 0 && before->node))
        return before->node;
    *before = *step;
    before->node = steps_find(&walk->stack->steps, step);
    return before->node;
}

// Goes on to the node of a frame: one of `python` and `native`, with its step. `leaf`: the innermost frame of
// its language has a node of its own, even when it recurs.
static inline bool splice_go(struct splice_walk *walk, struct step step, struct python_frame *python,
                             const struct unwind_frame *native, bool leaf) {
    if (leaf)
        step = step_leaf(step);
    uint32_t node = splice_known(walk, &step);
    if (shim_unlikely(!node)) {
        if (!walk->books)
            return false;
        uint32_t number = python ? stack_python_frame(walk->stack, python) : stack_native_frame(native);
        node = leaf ? tree_leaf(walk->node, number) : tree_path(walk->node, number);
        if (number)
            steps_keep(&walk->stack->steps, &step, node);
    }
    walk->node = node;
    return true;
}

static inline bool splice_python(struct splice_walk *walk, struct python_frame *frame, bool leaf) {
    if (shim_unlikely(walk->books))
        walk->node = scope_path_frame(walk->node, frame);
    if (!splice_go(walk, stack_step_python(frame, walk->node), frame, NULL, leaf))
        return false;
    frame->node = walk->node;
    return true;
}

static inline bool splice_native(struct splice_walk *walk, const struct unwind_frame *frame, bool leaf) {
    return splice_go(walk, stack_step_native(frame, walk->node), NULL, frame, leaf);
}

static bool splice_python_run(struct splice_walk *walk, uint32_t from, uint32_t until) {
    struct python_stack *python = walk->stack->python;
    for (uint32_t i = from; i < until; i++) {
        if (!stack_shows(python, i))
            python->frames[i].node = walk->node;
        else if (!splice_python(walk, &python->frames[i], i == walk->innermost))
            return false;
    }
    return true;
}

// The marks from `begin` on, with the Python frames of the runs in place of their loops.
static bool splice_mixed(struct splice_walk *walk, unsigned runs, uint32_t begin) {
    const struct splice *splice = walk->stack->splice;
    const uint32_t last = splice_last(splice);
    for (uint32_t i = begin; i < splice->marks_used; i++) {
        const struct splice_mark *mark = &splice->marks[i];
        if (!mark->loop) {
            if (!splice_native(walk, &splice->native.frames[mark->frame], mark->frame == last))
                return false;
            continue;
        }
        const struct python_run *run = &splice->runs[--runs];
        if (!splice_python_run(walk, run->first, runs ? run[-1].first : walk->stack->python->depth))
            return false;
    }
    return true;
}

// Python's frames, and the native ones inside the innermost as far as the interpreter.
static bool splice_apart(struct splice_walk *walk) {
    struct splice *splice = walk->stack->splice;
    const struct unwind_frame *frames = splice->native.frames;
    if (!splice_python_run(walk, 0, walk->stack->python->depth))
        return false;
    uint32_t first = splice->native.depth, last = first;
    while (first && !splice_is_interpreter(splice, &frames[first - 1]))
        first--;
    if (!first || !splice->landmark)
        return true;
    while (last > first) {
        enum splice_class class = splice_classify(splice, &frames[last - 1], walk->books);
        if (class == SPLICE_UNKNOWN)
            return false;
        if (class == SPLICE_CODE)
            break;
        last--;
    }
    for (uint32_t i = first; i < last; i++) {
        enum splice_class class = splice_classify(splice, &frames[i], walk->books);
        if (class == SPLICE_UNKNOWN ||
            (class == SPLICE_CODE && !splice_native(walk, &frames[i], i + 1 == last)))
            return false;
    }
    return true;
}

// From the last of `keep` frames on, as splice_resume says.
static bool splice_go_on(struct splice_walk *walk, uint32_t keep, unsigned runs, uint32_t begin) {
    const struct splice *splice = walk->stack->splice;
    const struct python_stack *python = walk->stack->python;
    walk->node = python->frames[keep - 1].node;
    walk->position = keep + begin;
    return splice_python_run(walk, keep, runs ? splice->runs[runs - 1].first : python->depth) &&
           splice_mixed(walk, runs, begin + 1);
}

// What the next event can go on from.
static void splice_keep(struct splice *splice, bool matched, unsigned innermost) {
    splice->matched = matched;
    splice->innermost = innermost;
    splice->last = splice_last(splice);
    splice->gone_first = SPLICE_NONE;
    splice->gone = (struct splice_mark){.first = SPLICE_NONE};
    splice->gone_again = false;
}

// The stack's node; 0: not known without `books`. `unchanged` Python frames and `same` native ones are what
// they were.
static uint32_t splice_find(struct thread *thread, bool books, unsigned unchanged, unsigned same) {
    struct stack *stack = thread->stack;
    struct splice *splice = stack->splice;
    struct splice_walk walk = {.stack = stack,
                               .books = books,
                               .node = stack->python->outer_node,
                               .innermost = stack_innermost(stack->python)};
    if (books)
        walk.node = stack_python_parent(stack, walk.node);
    else if (!stack_parent_known(thread, &walk.node) || scope_of_python)
        return 0;
    if (!splice_scan(splice, books))
        return 0;
    uint32_t begin, keep = unchanged < splice->innermost ? unchanged : splice->innermost;
    unsigned runs;
    if (keep > walk.innermost)
        keep = walk.innermost;
    if (splice_resume(splice, stack->python, keep, same, &runs, &begin)) {
        if (!splice_go_on(&walk, keep, runs, begin))
            return 0;
        runs = 1; // at least
    } else {
        splice->matched = false; // whatever comes of it, what the marks say has changed
        runs = splice_match(splice, stack->python, &begin);
        if (!(shim_likely(runs) ? splice_mixed(&walk, runs, begin) : splice_apart(&walk)))
            return 0;
    }
    splice_keep(splice, runs, walk.innermost);
    if (shim_unlikely(!runs))
        shim_lose(RECORD_LOST_SPLICE);
    return walk.node;
}

// With the tree's word.
__attribute__((noinline)) static uint32_t splice_learn(struct thread *thread, unsigned unchanged,
                                                       unsigned same) {
    struct stack *stack = thread->stack;
    const struct splice *splice = stack->splice;
    enum lock_got locked = journal_lock_books(thread);
    if (locked == LOCK_REFUSED)
        return TREE_ROOT;
    uint32_t most = stack->python->depth + splice->marks_used + splice->native.depth - splice->scanned;
    if (stack_prepare(stack, most, most)) {
        unwind_stack_reset(&stack->native);
        stack->python->outer_node = 0;
    }
    stack_show_scoped(stack->python, 0);
    if (scope_of_python)
        unchanged = 0;
    uint32_t node = splice_find(thread, true, unchanged, same);
    journal_unlock_books(locked);
    return node;
}

uint32_t splice_node(struct thread *thread, unsigned unchanged, const void *frame) {
    struct stack *stack = thread->stack;
    struct python_stack *python = stack->python;
    struct splice *splice = stack->splice;
    bool interpreter = splice_interpreter(splice);
    unsigned same = unwind_capture(&splice->native, frame);
    if (splice->leaf && unchanged == python->depth && unchanged == splice->python_depth &&
        same == splice->native.depth && same == splice->native_depth)
        return splice->leaf;
    splice_unmark(splice, interpreter ? same : 0);
    uint32_t node = splice_find(thread, false, unchanged, same);
    if (shim_unlikely(!node))
        node = splice_learn(thread, unchanged, same);
    splice->leaf = node;
    splice->python_depth = python->depth;
    splice->native_depth = splice->native.depth;
    return node;
}
