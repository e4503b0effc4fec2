// SPDX-License-Identifier: MIT
//
// What the unwinder's tests share: an arena that can run dry, random numbers, a process state.

#ifndef PEAKLINE_UNWIND_DOUBLE_H
#define PEAKLINE_UNWIND_DOUBLE_H

#include "shim/unwind.h"

// So many more blocks can be had; UINT32_MAX: any number.
extern unsigned unwind_double_blocks;

// Bytes given by arena_alloc and not taken back.
extern int64_t unwind_double_live;

// What unwind_init was last given.
extern struct unwind_state unwind_double_state;

// A new process: nothing is known. For cmocka's setup.
int unwind_double_fresh(void **unused);

// Repeatable; [0, below).
unsigned unwind_double_pick(unsigned below);

#endif
