// SPDX-License-Identifier: MIT
//
// Whether a Python frame is an anchor (python/frames.c), by the native stack: only that tells what the
// interpreter was asked to run.

#ifndef PEAKLINE_ANCHOR_H
#define PEAKLINE_ANCHOR_H

#include "shim/python/python.h"
#include "shim/unwind.h"

// Whether the evaluation loop that has the address `place` in its C frame was entered from PyEval_EvalCode,
// or from what that has called. `frame` is the hook's; `native` is captured.
static inline bool anchor_is_evaluated(struct unwind_stack *native, const void *frame, uintptr_t place) {
    unwind_capture(native, frame);
    const uintptr_t wanted = python_eval_code();
    uint32_t i = native->depth;
    while (i && native->frames[i - 1].slot < place)
        i--;
    for (unsigned tries = 0; native->direct && i && tries < 2; tries++)
        if (unwind_function_start(native->frames[--i].value - 1) == wanted)
            return true;
    return false;
}

// After each capture: finds the anchor that is new, if there is one. `newest`: as python_anchor_looked_for.
static inline void anchor_look(struct python_stack *python, struct unwind_stack *native, const void *frame,
                               uintptr_t newest) {
    const uintptr_t place = python_anchor_looked_for(python, newest);
    if (__builtin_expect(place != 0, 0) && anchor_is_evaluated(native, frame, place))
        python_anchor_found(python);
}

#endif
