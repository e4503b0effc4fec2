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

// The compiler would see that this equals the word that was loaded last, and have the next load wait for that
// one; so the processor could not run ahead along the remembered addresses.
static inline __attribute__((always_inline)) const char *python_not_known(const void *frame) {
    __asm__("" : "+r"(frame));
    return frame;
}

// What is compared of a frame beside its place in the chain.
enum frames_depth {
    FRAMES_INSTR, // its instruction, which says everything as long as no code object has died since
    FRAMES_CODE,  // its code object, too
    FRAMES_LIFE   // and that it is not another one at the same address
};

#define FRAMES_ALL UINT32_MAX

// `entry`'s frame is live. Nothing has changed in it, and `next` is still the next one of the program's
// further out. `hidden`: there may be a frame of the interpreter's own between them, which is seen through.
static inline __attribute__((always_inline)) bool frames_same_one(const struct detect_runtime *runtime,
                                                                  const struct python_frame *entry,
                                                                  const void *next, enum frames_depth depth,
                                                                  bool hidden) {
    const char *frame = python_not_known(entry->frame);
    uintptr_t instr = (uintptr_t)code_load(frame, runtime->layout.frame_instr);
    if (depth >= FRAMES_CODE) // FRAMES_INSTR: all of the word counts
        instr &= runtime->instr_mask;
    const void *outer = code_load(frame, runtime->layout.frame_previous);
    uintptr_t differs = instr ^ entry->instr;
    differs |= (uintptr_t)outer ^ (uintptr_t)(hidden ? entry->outer : next);
    if (depth >= FRAMES_CODE)
        differs |= (uintptr_t)frames_code(runtime, frame) ^ (uintptr_t)entry->code;
    if (depth == FRAMES_LIFE)
        differs |= code_life(entry->code) ^ entry->life;
    if (differs)
        return false;
    return !hidden || entry->outer == next || (outer && frames_previous(runtime, outer) == next);
}

#define FRAMES_COMPARED 1024 // frames that are compared in any case

// How far outward frames must be compared. A frame that has been exchanged since the last capture has ended,
// and so have all that were inside it; each of those that is there again has been called again. For each the
// interpreter runs dozens of instructions, far more than a processor does in one tick of its time-stamp
// counter. So nothing has changed outside of as many unchanged frames as there were ticks. Should the counter
// have been set back, all are compared.
static inline uint32_t frames_low(const struct python_stack *stack, uint32_t at) {
    if (frames_likely(at <= FRAMES_COMPARED))
        return 0;
    uint64_t ticks = __builtin_ia32_rdtsc() - stack->time;
    return ticks < UINT32_MAX && at > FRAMES_COMPARED + ticks ? at - FRAMES_COMPARED - (uint32_t)ticks : 0;
}

// frames[at].frame is live. From there outward, the first frame that differs, or whose outer frame is not the
// next one remembered; FRAMES_ALL when there is none. Reads the same words of every frame and does not wait
// for the outcome.
static inline __attribute__((always_inline)) uint32_t frames_same(const struct detect_runtime *runtime,
                                                                  const struct python_stack *stack,
                                                                  uint32_t at, enum frames_depth depth,
                                                                  bool hidden) {
    const struct python_frame *entry = &stack->frames[at], *low = stack->frames + frames_low(stack, at);
    for (; entry > low; entry--)
        if (!frames_same_one(runtime, entry, entry[-1].frame, depth, hidden))
            return (uint32_t)(entry - stack->frames);
    if (frames_unlikely(low > stack->frames))
        return FRAMES_ALL;
    return frames_same_one(runtime, entry, stack->outer, depth, hidden) ? FRAMES_ALL : 0;
}

// The same where no code object has died since, and an instruction says which code it is of.
static inline __attribute__((always_inline)) uint32_t
frames_same_instr(const struct detect_runtime *runtime, const struct python_stack *stack, uint32_t at) {
    return runtime->layout.minor >= 12 ? frames_same(runtime, stack, at, FRAMES_INSTR, true)
                                       : frames_same(runtime, stack, at, FRAMES_INSTR, false);
}

// All that it takes to know a stack again: where to look, and what was there.
struct python_sure {
    const void *const *state_place, *state;
    const void *const *thread_place, *thread; // whose state it is, where that must be asked
    const void *const *first_place;           // in the state: to the innermost frame, or
    size_t first_then;                        // to a structure that has it there; SIZE_MAX: it does not
    size_t instr_at, previous_at;             // in a frame
    const struct python_frame *innermost, *outermost;
    const void *outer; // beyond the outermost
    bool hidden;       // there may be frames of the interpreter's own between them
    size_t code_at;    // in a frame
    uintptr_t code_mask;
};

// Whether the stack that python_rely was told is the present one takes two answers; each counts only as long
// as what it rests on has not changed (shim_doubts counts that), and false says nothing: ask python_capture.
//
// A frame that starts at the same address and is at the same instruction runs the same code, as long as no
// code object has died. An address is followed only when the live chain has just named it.

// The innermost frame is where it was; *instr: its instruction, which may be another one.
static inline __attribute__((always_inline)) bool python_same_innermost(const struct python_sure *sure,
                                                                        uintptr_t *instr) {
    if (frames_unlikely(__atomic_load_n(sure->state_place, __ATOMIC_RELAXED) != sure->state) ||
        frames_unlikely(*sure->thread_place != sure->thread))
        return false;
    const char *frame = sure->innermost->frame, *first = *sure->first_place;
    if (sure->first_then != SIZE_MAX && frames_likely(first != NULL))
        first = code_load(first, sure->first_then);
    if (frames_unlikely(first != frame))
        return false;
    *instr = (uintptr_t)code_load(frame, sure->instr_at);
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
static inline __attribute__((always_inline)) bool python_same_callers(const struct python_sure *sure) {
    const struct python_frame *entry = sure->innermost;
    const size_t instr_at = sure->instr_at, previous_at = sure->previous_at;
    const char *frame = entry->frame;
    if (!sure->hidden) {
        while (entry > sure->outermost) {
            const char *outer = python_not_known(entry[-1].frame);
            if (frames_unlikely(code_load(frame, previous_at) != entry[-1].frame))
                return false;
            frame = outer;
            entry--;
            if (frames_unlikely((uintptr_t)code_load(frame, instr_at) != entry->instr))
                return false;
        }
        return code_load(frame, previous_at) == sure->outer;
    }
    for (;;) {
        const char *outer = entry->outer, *next = entry > sure->outermost ? entry[-1].frame : sure->outer;
        if (frames_unlikely(code_load(frame, previous_at) != outer))
            return false;
        frame = python_not_known(next);
        if (outer != next && frames_unlikely(!outer || code_load(outer, previous_at) != next))
            return false;
        if (entry == sure->outermost)
            return true;
        entry--;
        if (frames_unlikely((uintptr_t)code_load(frame, instr_at) != entry->instr))
            return false;
    }
}

#endif
