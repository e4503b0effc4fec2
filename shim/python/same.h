// SPDX-License-Identifier: MIT
//
// Whether a chain of frames is what it was: what most captures come to, so it is inline.

#ifndef PEAKLINE_PYTHON_SAME_H
#define PEAKLINE_PYTHON_SAME_H

#include "shim/python/frames.h"

#define frames_likely(x) __builtin_expect(!!(x), 1)
#define frames_unlikely(x) __builtin_expect(!!(x), 0)

// The state of the calling thread, which holds the GIL; NULL: it takes more to know. Only where
// python_is_plain.
static inline __attribute__((always_inline)) const void *
frames_own_state(const struct detect_runtime *runtime, const struct python_stack *stack) {
    const void *current = __atomic_load_n(stack->state_place, __ATOMIC_RELAXED);
    if (frames_unlikely(current != stack->state || !current))
        return NULL;
    // Up to 3.11 it is that of whoever holds the GIL; so it is there, and can be asked whose it is.
    if (runtime->layout.minor < 12 &&
        frames_unlikely(code_load(current, runtime->layout.tstate_thread_id) != __builtin_thread_pointer()))
        return NULL;
    return current;
}

// Whether the word at `place` is another one. The compiler does not learn that they are equal, or it would
// take the one for the other and have what follows wait for the load; so the processor can run ahead along
// the remembered addresses.
static inline __attribute__((always_inline)) bool frames_word_differs(const char *place, const void *word) {
    bool differs;
    __asm__("cmpq %2, %1" : "=@ccne"(differs) : "m"(*(const uint64_t *)place), "r"(word));
    return differs;
}

#define FRAMES_ALL UINT32_MAX

// Where a chain of frames is read, and how far.
struct frames_chain {
    size_t instr_at, previous_at;         // in a frame
    const struct python_frame *outermost; // to be compared
    const void *outer;                    // beyond that
    bool hidden;                          // there may be frames of the interpreter's own between them
};

// As chain.hidden, of all its threads.
static inline bool frames_may_hide(const struct detect_runtime *runtime) {
    return runtime->layout.minor >= 12;
}

// `*frame` is live, that of the entry inside of this one. NULL: its caller is this one's frame, which is
// where it was and becomes `*frame`. Else the entry that differs.
static inline __attribute__((always_inline)) const struct python_frame *
frames_caller_differs(const struct frames_chain *chain, const char **frame, const struct python_frame *entry,
                      bool hidden) {
    const char *next = entry->frame, *outer = hidden ? entry[1].outer : next;
    if (frames_unlikely(frames_word_differs(*frame + chain->previous_at, outer)))
        return entry + 1;
    if (hidden && frames_unlikely(outer != next) &&
        frames_unlikely(!outer || frames_word_differs(outer + chain->previous_at, next)))
        return entry + 1;
    *frame = next;
    return frames_likely((uintptr_t)code_load(next, chain->instr_at) == entry->instr) ? NULL : entry;
}

// Whether `next` is `outer`, or further out with nothing but frames of the interpreter's own between: one, at
// an entry into the loop; from 3.15 on, another one is outside of all. No function's is the outermost one:
// the loop has been entered for it.
static inline __attribute__((always_inline)) bool frames_leads_to(size_t previous_at, const char *outer,
                                                                  const void *next) {
    if (frames_likely(outer == next))
        return true;
    const char *beyond = outer ? code_load(outer, previous_at) : NULL;
    return outer && (beyond == next || (!next && !code_load(beyond, previous_at)));
}

// One entry further out. False: that was the last, or *differs is set.
static inline __attribute__((always_inline)) bool frames_go_on(const struct frames_chain *chain,
                                                               const char **frame,
                                                               const struct python_frame **entry, bool hidden,
                                                               const struct python_frame **differs) {
    if (*entry <= chain->outermost)
        return false;
    *differs = frames_caller_differs(chain, frame, --*entry, hidden);
    return frames_likely(!*differs);
}

// `hidden`: as in the chain; constant, so each case gets code of its own.
static inline __attribute__((always_inline)) const struct python_frame *
frames_walk(struct frames_chain chain, const struct python_frame *entry, bool hidden) {
    const struct python_frame *differs = NULL;
    const char *frame = entry->frame;
    // In a row, for the sake of the branch predictor: most chains are short.
    while (frames_go_on(&chain, &frame, &entry, hidden, &differs) &&
           frames_go_on(&chain, &frame, &entry, hidden, &differs) &&
           frames_go_on(&chain, &frame, &entry, hidden, &differs) &&
           frames_go_on(&chain, &frame, &entry, hidden, &differs)) {
    }
    if (frames_unlikely(differs))
        return differs;
    const char *outer = hidden ? entry->outer : chain.outer;
    if (frames_unlikely(code_load(frame, chain.previous_at) != outer))
        return entry;
    return frames_likely(frames_leads_to(chain.previous_at, outer, chain.outer)) ? NULL : entry;
}

// What is known of chain.hidden where code is made for it. Should it be otherwise after all, a stack with
// hidden frames is not recognised.
enum frames_kind { FRAMES_ANY, FRAMES_DIRECT, FRAMES_HIDDEN };

// `entry`'s frame is live. From there outward, the first entry whose caller is not the next one, or, but for
// `entry` itself, that is at another instruction. NULL: there is none.
static inline __attribute__((always_inline)) const struct python_frame *
frames_chain_differs(const struct frames_chain *chain, const struct python_frame *entry,
                     enum frames_kind kind) {
    const bool hidden = kind == FRAMES_ANY ? chain->hidden : kind == FRAMES_HIDDEN;
    return hidden ? frames_walk(*chain, entry, true) : frames_walk(*chain, entry, false);
}

// The innermost anchor (frames.c) among the frames up to `at`; NULL: there is none.
static inline const struct python_anchor *frames_find_anchor(const struct python_stack *stack, uint32_t at) {
    for (uint32_t i = stack->anchors_count; i--;)
        if (stack->anchors[i].at <= at)
            return &stack->anchors[i];
    return NULL;
}

// Where it is; else the outermost frame.
static inline uint32_t frames_anchor(const struct python_stack *stack, uint32_t at) {
    const struct python_anchor *anchor = frames_find_anchor(stack, at);
    return anchor ? anchor->at : 0;
}

#define FRAMES_DEEP 160     // so many frames are compared sooner than the time is asked for
#define FRAMES_IN_FLIGHT 32 // compared in any case: a processor may read its counter too early
#define FRAMES_TICKS 4 // of that counter; to end and to be called or resumed takes 37 to 340 (3.8 to 3.15)

// How far outward frames must be compared. A frame that has been exchanged since the last capture has ended,
// and so have all that were inside it; each of those that is there again has been called, or resumed, again.
// For each the interpreter runs dozens of instructions, more than a processor does in FRAMES_TICKS. So
// nothing has changed outside of as many unchanged frames as there was time for. Nor has anything outside of
// an anchor.
static inline uint32_t frames_low(const struct python_stack *stack, uint32_t at) {
    const uint32_t anchor = frames_anchor(stack, at);
    return frames_likely(at - anchor <= FRAMES_DEEP) || at - anchor <= stack->reach ? anchor
                                                                                    : at - stack->reach;
}

// `entry`'s frame is live. Nothing has changed in it, and `next` is still the next one of the program's
// further out. `life`: nor is its code another object at the same address.
static inline bool frames_same_one(const struct detect_runtime *runtime, const struct python_frame *entry,
                                   const void *next, bool life) {
    const char *frame = entry->frame;
    const void *outer = frames_previous(runtime, frame);
    if (frames_instr(runtime, frame) != entry->instr || outer != entry->outer ||
        frames_code(runtime, frame) != entry->code || (life && code_life(entry->code) != entry->life))
        return false;
    return frames_leads_to(runtime->layout.frame_previous, outer, next);
}

// frames[at].frame is live. From there outward, the first frame that differs, or whose outer frame is not the
// next one remembered; FRAMES_ALL when there is none. `life`: as above.
static inline uint32_t frames_same(const struct detect_runtime *runtime, const struct python_stack *stack,
                                   uint32_t at, bool life) {
    for (uint32_t i = at, low = frames_low(stack, at);; i--) {
        const void *next = i ? stack->frames[i - 1].frame : stack->outer;
        if (!frames_same_one(runtime, &stack->frames[i], next, life))
            return i;
        if (i == low)
            return FRAMES_ALL;
    }
}

// The same where no code object has died since, and an instruction says which code it is of.
static inline __attribute__((always_inline)) uint32_t
frames_same_instr(const struct detect_runtime *runtime, const struct python_stack *stack, uint32_t at) {
    const struct python_frame *entry = &stack->frames[at], *low = &stack->frames[frames_low(stack, at)];
    const struct frames_chain chain = {
        .instr_at = runtime->layout.frame_instr,
        .previous_at = runtime->layout.frame_previous,
        .outermost = low,
        .outer = low > stack->frames ? low[-1].frame : stack->outer,
        .hidden = frames_may_hide(runtime),
    };
    if ((uintptr_t)code_load(entry->frame, chain.instr_at) != entry->instr)
        return at;
    const struct python_frame *differs = frames_chain_differs(&chain, entry, FRAMES_ANY);
    return differs ? (uint32_t)(differs - stack->frames) : FRAMES_ALL;
}

// All that it takes to know a stack again: where to look, and what was there.
struct python_sure {
    const void *const *state_place, *state;
    const void *const *thread_place, *thread;     // whose state it is, where that must be asked
    const void *const *first_place;               // to what has the innermost frame
    size_t first_then;                            // there
    const void *const *function_place, *function; // of the outermost compared frame, if that is an anchor
    const void *const *malloc_place,
        *malloc;                          // the OBJ domain's, where the chain ends with an anchor (frames.c)
    const struct python_frame *innermost; // NULL while the interpreter ends
    const void *ending;                   // what is there instead of its frame, then
    const struct python_frame *outermost;
    struct frames_chain chain;
    size_t code_at; // in a frame
    uintptr_t code_mask;
};

// Whether the stack that python_rely was told is the present one takes two answers; each counts only as long
// as what it rests on has not changed (shim_doubts counts that), and false says nothing: ask python_capture.
//
// A frame that starts at the same address and is at the same instruction runs the same code, as long as no
// code object has died. An address is followed only when the live chain has just named it.

// While the interpreter ends: still no Python function runs.
static inline bool python_same_ending(const struct python_sure *sure) {
    if (__atomic_load_n(sure->state_place, __ATOMIC_RELAXED) != sure->state ||
        *sure->thread_place != sure->thread)
        return false;
    const char *first = *sure->first_place;
    return first && code_load(first, sure->first_then) == sure->ending;
}

// Otherwise: the innermost frame is where it was; *instr: its instruction, which may be another one.
static inline __attribute__((always_inline)) bool python_same_innermost(const struct python_sure *sure,
                                                                        uintptr_t *instr) {
    if (frames_unlikely(__atomic_load_n(sure->state_place, __ATOMIC_RELAXED) != sure->state) ||
        frames_unlikely(*sure->thread_place != sure->thread))
        return false;
    const char *frame = sure->innermost->frame, *first = *sure->first_place;
    if (frames_unlikely(!first || code_load(first, sure->first_then) != frame))
        return false;
    *instr = (uintptr_t)code_load(frame, sure->chain.instr_at);
    return true;
}

// Then: whether it is the import system's. Where in its code that is does not matter, but in a stack's
// outermost frame.
static inline bool python_same_importing(const struct python_sure *sure) {
    const struct python_frame *entry = sure->innermost;
    return entry->importing && entry > sure->outermost &&
           ((uintptr_t)code_load(entry->frame, sure->code_at) & sure->code_mask) == (uintptr_t)entry->code;
}

// Then: nothing has changed in its callers.
static inline __attribute__((always_inline)) bool python_same_callers(const struct python_sure *sure,
                                                                      enum frames_kind kind) {
    return frames_likely(__atomic_load_n(sure->malloc_place, __ATOMIC_RELAXED) == sure->malloc) &&
           frames_likely(!frames_chain_differs(&sure->chain, sure->innermost, kind)) &&
           frames_likely(*sure->function_place == sure->function);
}

#endif
