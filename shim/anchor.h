// SPDX-License-Identifier: MIT
//
// Whether a Python frame is an anchor (python/frames.c), by the native stack: only that tells what the
// interpreter was asked to run.

#ifndef PEAKLINE_ANCHOR_H
#define PEAKLINE_ANCHOR_H

#include "shim/python/python.h"
#include "shim/unwind.h"

// Whether the evaluation loop that has the address `place` in its C frame was entered from PyEval_EvalCode,
// or from what that has called, which is not another loop.
static inline bool anchor_is_evaluated(const struct unwind_stack *native, uintptr_t place) {
    const uintptr_t wanted = python_eval_code();
    uint32_t i = native->depth;
    while (i && native->frames[i - 1].slot < place)
        i--;
    for (unsigned tries = 0; i && tries < 2; tries++) {
        const uintptr_t caller = native->frames[--i].value - 1;
        if (unwind_function_start(caller) == wanted)
            return true;
        if (python_in_loop(caller))
            return false;
    }
    return false;
}

__attribute__((noinline)) static void anchor_find(struct python_stack *python, struct unwind_stack *native,
                                                  const void *frame) {
    struct python_candidate candidates[PYTHON_ANCHORS];
    unsigned count = python_candidates(python, candidates);
    if (!count)
        return;
    unwind_capture(native, frame);
    while (native->direct && count--)
        if (anchor_is_evaluated(native, candidates[count].place))
            python_anchor_found(python, candidates[count].at);
}

// After each capture: finds the anchors that are new. `frame`: the hook's.
static inline void anchor_look(struct python_stack *python, struct unwind_stack *native, const void *frame) {
    if (python->examined != python->depth)
        anchor_find(python, native, frame);
}

#endif
