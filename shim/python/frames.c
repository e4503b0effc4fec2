// SPDX-License-Identifier: MIT
//
// The stack of the calling thread, from its previous one.
//
// A capture walks from the innermost frame outward until it meets a frame that the previous stack holds too;
// then the frames further out need only be compared with what they were. That is not a matter of luck: a
// frame is where it was if its interpreter frame, its code object and its instruction are the same, and all
// of that is checked up to the outermost frame. Two comparisons a frame, whose loads do not wait for each
// other: the processor runs ahead along the remembered addresses.
//
// Nor need they be compared further than to an *anchor*: a frame that no other one can take the place of
// without an event that we see. The interpreter runs the code of a module (of whatever is given to exec) by
// making a function object for it, first, in the caller's frame: PyEval_EvalCode,
// _PyFunction_FromConstructor; from 3.11 on, and none keeps function objects for later. So when a module's
// frame is at the same address as in the last capture, and each allocation of the interpreter's OBJ domain
// led to a capture, it is the same frame, and its callers are still waiting for it. An import within imports
// has a chain of dozens of frames, of which the innermost few are compared thus. That holds as long as the
// interpreter's own record of its allocators names our malloc for that domain: somebody else's might keep
// objects from us. That it was PyEval_EvalCode, the native stack says (anchor.h): a function object that a
// program has made of a module's code can be called twice.
//
// Safety. Remembered addresses may dangle: their frames may be gone, and the memory with them. So an address
// is followed only after it was read from the live chain in this very capture, or found equal to one that
// was. The chain of the calling thread is changed by no other thread, whether this one holds the GIL or not,
// and each frame in it owns its code object.

#include "shim/python/objects.h"
#include "shim/python/same.h"
#include "shim/python/selftest.h"
#include "shim/sys.h"

#define FRAMES_SLID (PYTHON_DEPTH / 2)

// Up to 3.11: PyGILState_GetThisThreadState knows only the first state that a thread ever had. With several
// interpreters another one may be running, that of whoever holds the GIL, if that is us. Whoever else does
// may have given its state back by now; but not where it would be the one that was ours last.
__attribute__((noinline)) static const void *
frames_foreign_state(const struct detect_runtime *runtime, struct python_stack *stack, const char *held) {
    const uintptr_t self = (uintptr_t)__builtin_thread_pointer();
    uintptr_t owner;
    if (!held)
        return NULL;
    if (held == stack->state)
        return (uintptr_t)code_load(held, runtime->layout.tstate_thread_id) == self ? held : NULL;
    if (runtime->call.interpreters_head() == runtime->call.interpreters_main() ||
        sys_read_word((uintptr_t)held + runtime->layout.tstate_thread_id, &owner) != sizeof owner ||
        owner != self)
        return NULL;
    stack->state = held;
    return held;
}

// Whether stack->state_place is of this interpreter.
static inline bool frames_knows(const struct python_stack *stack, const struct detect_runtime *runtime) {
    return stack->runtime == runtime && stack->serial == runtime->serial;
}

// Where the thread's state is; NULL: not known.
static const void *const *frames_recall(const struct python_stack *stack,
                                        const struct detect_runtime *runtime) {
    for (unsigned i = 0; i < PYTHON_PLACES; i++)
        if (stack->places[i].runtime == runtime && stack->places[i].serial == runtime->serial)
            return stack->places[i].state_place;
    return NULL;
}

// What call.current_state returns. Read in place where that is known: the loader may be calling us in the
// midst of an update of the thread's vector of modules, where a second one would free the same block twice.
static inline const void *frames_current(const struct detect_runtime *runtime,
                                         const struct python_stack *stack) {
    const void *const *place = frames_likely(frames_knows(stack, runtime)) ? stack->state_place : NULL;
    if (frames_unlikely(!place))
        place = frames_recall(stack, runtime);
    if (frames_likely(place != NULL))
        return __atomic_load_n(place, __ATOMIC_RELAXED);
    return getter_untouched(&runtime->state) ? NULL : runtime->call.current_state();
}

// The calling thread's state; NULL: it has none, or it must not be read any more. *attached: it holds the
// GIL.
static inline const void *frames_state(const struct detect_runtime *runtime, struct python_stack *stack,
                                       bool *attached) {
    const void *current = frames_current(runtime, stack), *own;
    *attached = true;
    if (runtime->layout.minor >= 12) {
        if (frames_likely(current != NULL)) {
            stack->state = current;
            return current;
        }
        own = runtime->call.own_state();
    } else {
        own = runtime->call.own_state();
        if (frames_likely(own && own == current)) {
            // 3.8 frees it while it is current, when its thread ends, and the debug hooks wipe it before.
            if (frames_unlikely(runtime->layout.minor == 8) &&
                code_load(own, runtime->layout.tstate_thread_id) != __builtin_thread_pointer()) {
                *attached = false;
                return NULL;
            }
            stack->state = own;
            return own;
        }
        const void *foreign = frames_foreign_state(runtime, stack, current);
        if (frames_unlikely(foreign != NULL))
            return foreign;
    }
    *attached = false;
    // While the interpreter ends it frees the states of threads that still run.
    return own && !runtime->call.is_finalizing() ? own : NULL;
}

const void *frames_state_of(const struct detect_runtime *runtime, struct python_stack *stack) {
    bool attached;
    return frames_state(runtime, stack, &attached);
}

// `frame`, or the first one further out that is a function's.
static inline const void *frames_visible(const struct detect_runtime *runtime, const void *frame) {
    for (unsigned i = 0; frame && frames_hidden(runtime, frame); i++) {
        if (i == FRAMES_HIDDEN_MOST)
            return NULL;
        frame = frames_previous(runtime, frame);
    }
    return frame;
}

static inline uint16_t *frames_index(struct python_stack *stack, const void *frame) {
    uint32_t hash = (uint32_t)((uintptr_t)frame >> 3) * 0x9e3779b1u;
    return &stack->index[hash >> 16 & (PYTHON_INDEX - 1)];
}

// Whether the code is of the import system, by the names that Python's tracebacks leave out, too.
static inline bool frames_importing(const struct detect_runtime *runtime, const void *code) {
    static const char inner[] = "<frozen importlib._bootstrap>",
                      outer[] = "<frozen importlib._bootstrap_external>";
    const char *name = code_load(code, runtime->layout.code_filename);
    const char *text = name + runtime->layout.text_ascii; // should it be another kind of str, this differs
    switch ((size_t)code_load(name, runtime->layout.text_length)) {
    case sizeof inner - 1:
        return __builtin_memcmp(text, inner, sizeof inner - 1) == 0;
    case sizeof outer - 1:
        return __builtin_memcmp(text, outer, sizeof outer - 1) == 0;
    default:
        return false;
    }
}

static inline void frames_fill(const struct detect_runtime *runtime, struct python_frame *entry,
                               const void *frame) {
    entry->frame = frame;
    entry->outer = frames_previous(runtime, frame);
    entry->code = frames_code(runtime, frame);
    entry->instr = frames_instr(runtime, frame);
    entry->node = 0;
    entry->life = code_life(entry->code) & CODE_LIFE;
    entry->importing = frames_importing(runtime, entry->code);
}

// Where the live chain leaves the remembered one.
struct frames_join {
    const void *next; // the live frame outside of frames[stop]
    uint32_t stop;
    uint32_t unchanged; // outermost frames that are what they were, if the join is complete
};

// The same for what this interpreter needs. `died`: a code object has, since the last capture.
static inline uint32_t frames_same_from(const struct detect_runtime *runtime,
                                        const struct python_stack *stack, uint32_t at, bool died) {
    if (frames_unlikely(died))
        return frames_same(runtime, stack, at, true);
    if (frames_unlikely(!runtime->instr_is_code))
        return frames_same(runtime, stack, at, false);
    return frames_same_instr(runtime, stack, at);
}

// Only the outermost `kept` frames are still there.
static inline void frames_drop_anchors(struct python_stack *stack, uint32_t kept) {
    if (stack->examined > kept)
        stack->examined = kept;
    while (stack->anchors_count && stack->anchors[stack->anchors_count - 1].at >= kept)
        stack->anchors_count--;
}

// The innermost anchor up to `at` has been compared. Whether it is the frame of the same function object
// still: its own may have outlived it, and another one been called from elsewhere. If not, there are no
// anchors.
static inline bool frames_anchor_holds(const struct detect_runtime *runtime, struct python_stack *stack,
                                       uint32_t at) {
    const struct python_anchor *anchor = frames_find_anchor(stack, at);
    if (!anchor ||
        code_load(stack->frames[anchor->at].frame, runtime->layout.frame_function) == anchor->function)
        return true;
    python_overlooked(stack);
    return false;
}

// frames[at].frame is live. Compares it and all further out; a frame in which something else runs is
// refreshed in place. True: the chains are the same from there to the end.
static inline bool frames_compare(const struct detect_runtime *runtime, struct python_stack *stack,
                                  uint32_t at, bool died, struct frames_join *join) {
    join->unchanged = at + 1;
    for (uint32_t i = at;; i--) {
        uint32_t differs;
        while ((differs = frames_same_from(runtime, stack, i, died)) == FRAMES_ALL)
            if (frames_likely(frames_anchor_holds(runtime, stack, i)))
                return true;
        i = differs;
        struct python_frame *entry = &stack->frames[i];
        const void *frame = entry->frame, *outer = frames_previous(runtime, frame);
        if (frames_instr(runtime, frame) != entry->instr || frames_code(runtime, frame) != entry->code ||
            code_life(entry->code) != entry->life) {
            if (frames_unlikely(frames_hidden(runtime, frame))) {
                join->stop = i + 1;
                join->next = frames_visible(runtime, frame);
                return false;
            }
            const void *code = entry->code;
            frames_fill(runtime, entry, frame);
            join->unchanged = i;
            if (entry->code != code) // another frame
                frames_drop_anchors(stack, i);
        }
        entry->outer = outer;
        const void *expected = i ? stack->frames[i - 1].frame : stack->outer;
        if (outer != expected && (outer = frames_visible(runtime, outer)) != expected) {
            join->stop = i;
            join->next = outer;
            return false;
        }
        if (i == 0 || (i == frames_anchor(stack, i) && frames_anchor_holds(runtime, stack, i)))
            return true;
    }
}

#define FRAMES_FUNCTION_OR_GENERATOR                                                                         \
    0x2a3 // CO_OPTIMIZED, CO_NEWLOCALS, and what makes generators of any kind

// Whether the evaluation loop was entered for this frame.
static inline bool frames_enters(const struct detect_runtime *runtime, const struct python_frame *entry) {
    const struct python_layout *layout = &runtime->layout;
    return layout->frame_entry != LAYOUT_NONE ? *((const char *)entry->frame + layout->frame_entry) != 0
                                              : entry->outer && frames_unowned(runtime, entry->outer);
}

// Whether a frame that the loop was entered for may be of code that was given to PyEval_EvalCode: nobody
// knows its function but that and the frame.
static inline bool frames_may_be_anchor(const struct detect_runtime *runtime,
                                        const struct python_frame *entry) {
    const struct python_layout *layout = &runtime->layout;
    uint32_t flags, references;
    __builtin_memcpy(&flags, (const char *)entry->code + layout->code_flags, sizeof flags);
    if (flags & FRAMES_FUNCTION_OR_GENERATOR)
        return false;
    const uintptr_t function =
        (uintptr_t)code_load(entry->frame, layout->frame_function) & runtime->code_mask;
    __builtin_memcpy(&references, (const void *)function, sizeof references);
    return references == 2;
}

// As python_capture, when the innermost frame is what it was but for its instruction, and all others have not
// changed at all. -1: that is not so; nothing has been done.
static inline int frames_again(const struct detect_runtime *runtime, struct python_stack *stack,
                               const void *state) {
    const uint32_t last = stack->depth - 1;
    struct python_frame *entry = &stack->frames[last];
    const void *frame = frames_first(runtime, state);
    if (frame != entry->frame || frames_unowned(runtime, frame))
        return -1;
    const uintptr_t instr = frames_instr(runtime, frame), before = entry->instr;
    if (instr != before && frames_code(runtime, frame) != entry->code)
        return -1;
    entry->instr = instr;
    if (frames_unlikely(frames_same_instr(runtime, stack, last) != FRAMES_ALL) ||
        !frames_anchor_holds(runtime, stack, last)) {
        entry->instr = before;
        return -1;
    }
    if (instr == before)
        return entry->node ? (int)stack->depth : -1;
    entry->node = 0;
    return (int)last;
}

// Makes room for `fresh` frames after the first `kept`: the outermost ones go, but the node of the last of
// them stays known. Returns how many went.
__attribute__((noinline)) static uint32_t frames_slide(struct python_stack *stack, uint32_t kept,
                                                       uint32_t fresh, uint32_t unchanged) {
    uint32_t stay = fresh < FRAMES_SLID ? FRAMES_SLID - fresh : 0;
    uint32_t gone = kept > stay ? kept - stay : 0;
    if (!gone)
        return 0;
    // A frame that changed has no node any more; the nearest one that has stands for it.
    if (unchanged < gone) {
        stack->outer_node = unchanged ? stack->frames[unchanged - 1].node : stack->outer_node;
    } else {
        stack->outer_node = stack->frames[gone - 1].node;
    }
    stack->outer = stack->frames[gone - 1].frame;
    __builtin_memmove(stack->frames, stack->frames + gone, (kept - gone) * sizeof *stack->frames);
    for (uint32_t i = 0; i < kept - gone; i++)
        *frames_index(stack, stack->frames[i].frame) = (uint16_t)i;
    return gone;
}

static inline int frames_update(const struct detect_runtime *runtime, struct python_stack *stack,
                                const void *frame) {
    uint32_t epoch = __atomic_load_n(&code_epoch, __ATOMIC_ACQUIRE);
    bool died = stack->epoch != epoch;
    uint32_t kept = 0, unchanged = 0, fresh = 0;
    const void *outer = NULL;
    for (;;) {
        uint32_t at = *frames_index(stack, frame);
        if (at < stack->depth && stack->frames[at].frame == frame) {
            struct frames_join join;
            if (frames_likely(frames_compare(runtime, stack, at, died, &join))) {
                kept = at + 1;
                unchanged = join.unchanged;
                break;
            }
            uint32_t moved = at + 1 - join.stop;
            if (moved > PYTHON_DEPTH - fresh)
                moved = PYTHON_DEPTH - fresh;
            for (uint32_t i = 0; i < moved; i++)
                stack->fresh[fresh++] = stack->frames[at - i].frame;
            outer = moved < at + 1 - join.stop ? stack->frames[at - moved].frame : join.next;
            if (!outer || fresh == PYTHON_DEPTH)
                break;
            frame = outer;
            outer = NULL;
            continue;
        }
        if (fresh == PYTHON_DEPTH) {
            outer = frame;
            break;
        }
        stack->fresh[fresh++] = frame;
        frame = frames_visible(runtime, frames_previous(runtime, frame));
        if (!frame)
            break;
    }
    stack->epoch = epoch;
    frames_drop_anchors(stack, kept);
    if (!kept) {
        stack->outer = outer;
        stack->outer_node = 0;
        stack->cut = outer != NULL;
    } else if (frames_unlikely(kept + fresh > PYTHON_DEPTH)) {
        uint32_t gone = frames_slide(stack, kept, fresh, unchanged);
        kept -= gone;
        python_overlooked(stack); // they are elsewhere now
        unchanged = unchanged > gone ? unchanged - gone : 0;
    }
    for (uint32_t i = 0; i < fresh; i++) {
        const void *live = stack->fresh[fresh - 1 - i];
        frames_fill(runtime, &stack->frames[kept + i], live);
        *frames_index(stack, live) = (uint16_t)(kept + i);
    }
    stack->depth = kept + fresh;
    // Frames that never got a node (the caller had to give up) are not known.
    while (unchanged && !stack->frames[unchanged - 1].node)
        unchanged--;
    return (int)unchanged;
}

// What remains to be done once, or now and then. False: this stack must not be read.
__attribute__((noinline, cold)) static bool frames_attend(struct detect_runtime *runtime, const void *state,
                                                          bool attached, bool test) {
    if (attached && (runtime->pending & DETECT_ENDED)) {
        __atomic_fetch_and(&runtime->pending, ~(uint32_t)DETECT_ENDED, __ATOMIC_RELAXED);
        objects_prepare(runtime, false);
    }
    if (attached && (runtime->pending & DETECT_OBJECTS))
        objects_attend(runtime);
    if (attached && test)
        objects_look(runtime);
    return !(test || (runtime->pending & DETECT_UNTESTED)) || selftest_run(runtime, state, attached);
}

static int frames_capture_of(struct detect_runtime *runtime, struct python_stack *stack) {
    bool attached;
    const void *state = frames_state(runtime, stack, &attached);
    if (!state) {
        if (!(runtime->pending & DETECT_ENDED) && !runtime->call.is_initialized())
            __atomic_fetch_or(&runtime->pending, DETECT_ENDED, __ATOMIC_RELEASE);
        return -1;
    }
    // Often at first, then ever more rarely.
    uint32_t captures = stack->captures++;
    bool test = (captures & (captures - 1)) == 0 && !sys_is_confined(); // which asks the kernel
    if (frames_unlikely(test || runtime->pending) && !frames_attend(runtime, state, attached, test))
        return -1;
    if (frames_unlikely(objects_unwatched) && attached)
        objects_again(runtime);
    if (frames_unlikely(!frames_knows(stack, runtime))) {
        stack->runtime = runtime;
        stack->serial = runtime->serial;
        stack->state_place = frames_recall(stack, runtime);
    }
    if (frames_unlikely(!stack->state_place) && !getter_untouched(&runtime->state)) {
        stack->state_place = getter_place(&runtime->state);
        if (stack->state_place)
            stack->places[stack->places_next++ % PYTHON_PLACES] =
                (struct python_place){runtime, runtime->serial, stack->state_place};
    }
    const void *frame = frames_visible(runtime, frames_first(runtime, state));
    if (!frame)
        return -1;
    return frames_update(runtime, stack, frame);
}

__attribute__((noinline)) static int frames_capture(struct python_stack *stack) {
    struct detect_runtime *runtime = detect_get();
    if (!runtime)
        return -1;
    if (frames_likely(!runtime->may_unload))
        return frames_capture_of(runtime, stack);
    detect_hold();
    const bool there = python_found() && runtime == detect_get() && detect_still_there(runtime);
    const int unchanged = there ? frames_capture_of(runtime, stack) : -1;
    detect_release();
    return unchanged;
}

const void *frames_innermost(struct python_stack *stack) {
    const struct detect_runtime *runtime = stack->runtime;
    bool attached;
    const void *state = runtime ? frames_state(runtime, stack, &attached) : NULL;
    return state ? frames_first(runtime, state) : NULL;
}

// Nothing is to be attended to.
static inline bool frames_is_known(const struct python_stack *stack) {
    const struct detect_runtime *runtime = stack->runtime;
    return runtime && runtime == detect_get() && !runtime->may_unload && !runtime->pending &&
           stack->state_place;
}

// Nor is more to be compared than same.h does.
static inline bool frames_is_plain(const struct python_stack *stack) {
    return frames_is_known(stack) && stack->runtime->instr_is_code;
}

unsigned python_candidates(struct python_stack *stack, struct python_candidate found[PYTHON_ANCHORS]) {
    const struct detect_runtime *runtime = stack->runtime;
    const uint32_t examined = stack->examined, room = PYTHON_ANCHORS - stack->anchors_count;
    stack->examined = stack->depth;
    if (!frames_is_plain(stack) || runtime->layout.frame_function == LAYOUT_NONE ||
        runtime->layout.free_threaded || !runtime->eval_code || !python_sees_objects() ||
        !frames_own_state(runtime, stack)) // of another interpreter
        return 0;
    // In 3.11, what the loop that was entered last has in its C frame; from one to the next it leads outward.
    const bool linked = runtime->layout.frame_entry != LAYOUT_NONE;
    const char *loop = linked ? code_load(stack->state, runtime->layout.tstate_frame) : NULL;
    unsigned count = 0;
    for (uint32_t i = stack->depth; i-- > examined && count < room && (loop || !linked);) {
        const struct python_frame *entry = &stack->frames[i];
        if (!frames_enters(runtime, entry))
            continue;
        if (frames_may_be_anchor(runtime, entry))
            found[count++] =
                (struct python_candidate){.at = i, .place = (uintptr_t)(linked ? loop : entry->outer)};
        if (linked)
            loop = code_load(loop, runtime->layout.tstate_frame2 + sizeof(void *));
    }
    return count;
}

uintptr_t python_eval_code(void) {
    const struct detect_runtime *runtime = detect_get();
    return runtime ? runtime->eval_code : 0;
}

void python_anchor_found(struct python_stack *stack, uint32_t at) {
    stack->anchors[stack->anchors_count++] = (struct python_anchor){
        .function = code_load(stack->frames[at].frame, stack->runtime->layout.frame_function),
        .at = at,
    };
}

// The beginning of a capture. Should the counter have been set back, all frames can have been exchanged.
static inline void frames_reach(struct python_stack *stack) {
    if (frames_likely(stack->depth <= FRAMES_DEEP))
        return;
    const uint64_t ticks = __builtin_ia32_rdtsc() - stack->time;
    stack->reach =
        stack->time && ticks < UINT32_MAX ? FRAMES_IN_FLIGHT + (uint32_t)ticks / FRAMES_TICKS : FRAMES_ALL;
}

// The end of one. That what has been compared took its time is no reason to compare more.
static inline int frames_stamp(struct python_stack *stack, int unchanged) {
    if (frames_unlikely(stack->depth > FRAMES_DEEP))
        stack->time = unchanged < 0 ? 0 : __builtin_ia32_rdtsc();
    return unchanged;
}

int python_capture(struct python_stack *stack) {
    const struct detect_runtime *runtime = stack->runtime;
    if (frames_unlikely(stack->wraps != objects_wraps) || !python_sees_objects()) {
        stack->wraps = objects_wraps;
        objects_unwatched = true; // by what stands in front of us, the tracer may have been replaced, too
        python_overlooked(stack);
    }
    frames_reach(stack);
    // Nothing to attend to, and a previous stack, whose code objects all live.
    if (frames_likely(frames_is_plain(stack) && stack->depth &&
                      stack->epoch == __atomic_load_n(&code_epoch, __ATOMIC_ACQUIRE))) {
        const void *state = frames_own_state(runtime, stack);
        if (frames_unlikely(objects_unwatched) && state)
            objects_again(runtime);
        int unchanged = frames_likely(state != NULL) ? frames_again(runtime, stack, state) : -1;
        if (frames_likely(unchanged >= 0))
            return frames_stamp(stack, unchanged);
    }
    int unchanged = frames_capture(stack);
    if (frames_unlikely(unchanged < 0))
        python_overlooked(stack);
    return frames_stamp(stack, unchanged);
}

// Where the thread's state is, and the way from there to the innermost frame. False: it takes more to know.
static bool frames_sure_state(struct python_sure *sure, const struct python_stack *stack) {
    if (sure->state_place == stack->state_place && sure->state == stack->state)
        return true;
    const struct detect_runtime *runtime = stack->runtime;
    const struct python_layout *layout = &runtime->layout;
    if (!frames_own_state(runtime, stack))
        return false;
    const char *state = stack->state;
    sure->state_place = stack->state_place;
    sure->state = state;
    sure->chain.hidden = frames_may_hide(runtime);
    // Up to 3.11 the state is that of whoever holds the GIL; later it is the thread's own.
    sure->thread = sure->chain.hidden ? state : __builtin_thread_pointer();
    sure->thread_place =
        sure->chain.hidden ? &sure->state : (const void *const *)(state + layout->tstate_thread_id);
    const bool direct = layout->tstate_frame2 == LAYOUT_NONE;
    sure->first_place = direct ? sure->state_place : (const void *const *)(state + layout->tstate_frame);
    sure->first_then = direct ? layout->tstate_frame : layout->tstate_frame2;
    sure->chain.instr_at = layout->frame_instr;
    sure->chain.previous_at = layout->frame_previous;
    sure->code_at = layout->frame_code;
    sure->code_mask = runtime->code_mask;
    sure->outermost = stack->frames;
    return true;
}

bool python_ending(struct python_sure *sure, const struct python_stack *stack) {
    const struct detect_runtime *runtime = stack->runtime;
    if (!frames_is_known(stack) || !frames_own_state(runtime, stack) || !runtime->call.is_finalizing() ||
        !frames_sure_state(sure, stack))
        return false;
    sure->ending = frames_first(runtime, stack->state);
    sure->innermost = NULL;
    return !frames_visible(runtime, sure->ending);
}

bool python_beginning(void) {
    const struct detect_runtime *runtime = detect_get();
    // Asked with no state of a thread at hand: its code must be there for sure.
    return runtime && !runtime->may_unload && runtime->call.is_initialized && !runtime->call.is_initialized();
}

bool python_in_initializer(uintptr_t address) {
    const struct detect_runtime *runtime = detect_get();
    return runtime && address - runtime->initializer < runtime->initializer_size;
}

int python_finalizer(uintptr_t start) {
    const struct detect_runtime *runtime = detect_get();
    if (!runtime || !start)
        return -1;
    return start == runtime->finalizer ? 0 : start == runtime->runner ? 1 : -1;
}

bool python_rely(struct python_sure *sure, const struct python_stack *stack) {
    if (!frames_is_plain(stack) || !frames_sure_state(sure, stack))
        return false;
    sure->innermost = &stack->frames[stack->depth - 1];
    sure->chain.outer = stack->outer;
    sure->chain.outermost = stack->frames;
    // Equal in any case.
    sure->malloc_place = &sure->malloc;
    sure->function_place = &sure->function;
    const struct python_anchor *anchor = frames_find_anchor(stack, stack->depth - 1);
    if (anchor && anchor->at) {
        sure->chain.outermost = &stack->frames[anchor->at];
        sure->chain.outer = sure->chain.outermost[-1].frame;
        sure->function_place = (const void *const *)((const char *)sure->chain.outermost->frame +
                                                     stack->runtime->layout.frame_function);
        sure->function = anchor->function;
        sure->malloc_place = __atomic_load_n(&python_objects_place, __ATOMIC_ACQUIRE);
        sure->malloc = python_objects_malloc;
    }
    return sure->malloc_place && sure->innermost - sure->chain.outermost <= FRAMES_DEEP;
}

void python_forget(struct python_stack *stack) {
    stack->depth = 0;
    stack->outer = NULL;
    stack->outer_node = 0;
    stack->cut = false;
    stack->runtime = NULL; // another thread's may be elsewhere
    stack->time = 0;
    python_overlooked(stack);
}

void python_begin(struct python_stack *stack) {
    __builtin_memset(stack->places, 0, sizeof stack->places);
}
