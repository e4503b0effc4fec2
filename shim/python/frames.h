// SPDX-License-Identifier: MIT
//
// Loads from the interpreter's frames, shared by the capture (frames.c) and the self-test (selftest.c).

#ifndef PEAKLINE_PYTHON_FRAMES_H
#define PEAKLINE_PYTHON_FRAMES_H

#include "shim/python/code.h"
#include "shim/python/detect.h"

static inline uintptr_t frames_instr(const struct detect_runtime *runtime, const void *frame) {
    return (uintptr_t)code_load(frame, runtime->layout.frame_instr) & runtime->instr_mask;
}

static inline const void *frames_code(const struct detect_runtime *runtime, const void *frame) {
    return (const void *)((uintptr_t)code_load(frame, runtime->layout.frame_code) & runtime->code_mask);
}

static inline const void *frames_previous(const struct detect_runtime *runtime, const void *frame) {
    return code_load(frame, runtime->layout.frame_previous);
}

// Whether the interpreter has the frame for itself, or is tearing it down, by what it says itself.
static inline bool frames_unowned(const struct detect_runtime *runtime, const void *frame) {
    const struct python_layout *layout = &runtime->layout;
    return layout->frame_owner != LAYOUT_NONE &&
           *((const unsigned char *)frame + layout->frame_owner) >= layout->owner_hidden;
}

// Whether the interpreter put the frame there for itself: at an entry of the evaluation loop, or around
// __init__; or whether it is being torn down.
static inline bool frames_hidden(const struct detect_runtime *runtime, const void *frame) {
    const struct python_layout *layout = &runtime->layout;
    if (frames_unowned(runtime, frame))
        return true;
    const void *code = frames_code(runtime, frame);
    if (!code || code_load(code, layout->object_type) != runtime->code_type)
        return true;
    if (layout->minor >= 12) // around __init__: file name and name are one and the same object
        return code_load(code, layout->code_filename) == code_load(code, layout->code_name);
    // Up to 3.11 a frame may still be linked while its code object dies.
    return (intptr_t)code_load(code, 0) <= 0;
}

// The calling thread's state; NULL: it has none, or it must not be read any more.
const void *frames_state_of(const struct detect_runtime *runtime, struct python_stack *stack);

// The frames of a thread state: the innermost one, which may be hidden. NULL: none.
static inline const void *frames_first(const struct detect_runtime *runtime, const void *state) {
    const void *first = code_load(state, runtime->layout.tstate_frame);
    if (runtime->layout.tstate_frame2 != LAYOUT_NONE && first)
        first = code_load(first, runtime->layout.tstate_frame2);
    return first;
}

#define FRAMES_HIDDEN_MOST 4096 // in a row

// Of the thread whose last capture `stack` is: the innermost frame, which may be hidden. NULL: none.
const void *frames_innermost(struct python_stack *stack);

#endif
