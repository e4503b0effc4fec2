// SPDX-License-Identifier: MIT
//
// The whole walk, with all registers and every kind of row: through signal frames, ld.so's resolver, and
// anything else whose rule does not fit one word. Slow (a microsecond for a frame), and needed seldom.

#ifndef PEAKLINE_UNWIND_ROW_H
#define PEAKLINE_UNWIND_ROW_H

#include "shim/unwind_walk.h"

// Pushes every frame of the stack from the one whose return address `pc` lies at sp - 8. It starts in its own
// frame, where all registers are known, and walks out of the shim first.
// True: to the stack's first frame.
bool unwind_row_walk(struct unwind_walk *walk, uintptr_t pc, uintptr_t sp);

#endif
