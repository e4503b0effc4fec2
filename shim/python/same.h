// SPDX-License-Identifier: MIT
//
// Whether a chain of frames is what it was: what most captures come to, so it is inline.

#ifndef PEAKLINE_PYTHON_SAME_H
#define PEAKLINE_PYTHON_SAME_H

#include "shim/python/frames.h"

#define frames_likely(x) __builtin_expect(!!(x), 1)
#define frames_unlikely(x) __builtin_expect(!!(x), 0)

// The state of the calling thread, which holds the GIL; NULL: it takes more to know.
static inline const void *frames_own_state(const struct detect_runtime *runtime,
                                           const struct python_stack *stack) {
    const void *current = runtime->call.current_state();
    if (frames_likely(runtime->layout.minor >= 12))
        return current;
    // Whoever holds the GIL has the state that was ours; so it is there, and can be asked whose it is.
    if (!current || current != stack->state ||
        code_load(current, runtime->layout.tstate_thread_id) != __builtin_thread_pointer())
        return NULL;
    return current;
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
    const char *frame = entry->frame;
    // The compiler knows that this equals the word loaded last, and would have the next load wait for it.
    __asm__("" : "+r"(frame));
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

// frames[at].frame is live. From there outward, the first frame that differs, or whose outer frame is not the
// next one remembered; FRAMES_ALL when there is none. Reads the same words of every frame and does not wait
// for the outcome.
static inline __attribute__((always_inline)) uint32_t frames_same(const struct detect_runtime *runtime,
                                                                  const struct python_stack *stack,
                                                                  uint32_t at, enum frames_depth depth,
                                                                  bool hidden) {
    const struct python_frame *entry = &stack->frames[at];
    for (; entry > stack->frames; entry--)
        if (!frames_same_one(runtime, entry, entry[-1].frame, depth, hidden))
            return (uint32_t)(entry - stack->frames);
    return frames_same_one(runtime, entry, stack->outer, depth, hidden) ? FRAMES_ALL : 0;
}

// The same where no code object has died since, and an instruction says which code it is of.
static inline __attribute__((always_inline)) uint32_t
frames_same_instr(const struct detect_runtime *runtime, const struct python_stack *stack, uint32_t at) {
    return runtime->layout.minor >= 12 ? frames_same(runtime, stack, at, FRAMES_INSTR, true)
                                       : frames_same(runtime, stack, at, FRAMES_INSTR, false);
}

// Whether the stack is the one of the last capture, in all its frames. Only where python_is_plain, and what
// it rests on has not changed since (code_epoch counts that); false says nothing: ask python_capture.
static inline __attribute__((always_inline)) bool python_same(const struct python_stack *stack) {
    const struct detect_runtime *runtime = stack->runtime;
    if (frames_unlikely(stack->epoch != __atomic_load_n(&code_epoch, __ATOMIC_ACQUIRE)))
        return false;
    const void *state = frames_own_state(runtime, stack);
    if (frames_unlikely(!state))
        return false;
    const uint32_t last = stack->depth - 1;
    const void *frame = frames_first(runtime, state);
    return frame == stack->frames[last].frame && !frames_unowned(runtime, frame) &&
           frames_same_instr(runtime, stack, last) == FRAMES_ALL;
}

#endif
