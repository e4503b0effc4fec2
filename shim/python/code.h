// SPDX-License-Identifier: MIT
//
// Code objects: where an instruction is, and which code object is which.
//
// An address alone does not name a code object: `exec` in a loop gets the same address again and again, with
// the same everything but the lines. So the death of every code object is watched, by standing in front of
// its type's tp_dealloc: each address (in fact each of CODE_LIVES groups of addresses) has a count of deaths,
// its `life`, and (address, life) is what names a code object. code_epoch counts them all: as long as it
// stands still, every address means what it meant.

#ifndef PEAKLINE_PYTHON_CODE_H
#define PEAKLINE_PYTHON_CODE_H

#include "shim/own.h"
#include "shim/python/detect.h"
#include "shim/python/python.h"

#define CODE_LIVES 4096       // power of two
#define CODE_LIFE 0x7fffffffu // as many bits as python_frame.life has

extern SHIM_OWN uint32_t code_epoch;
extern SHIM_OWN uint32_t code_lives[CODE_LIVES];

static inline const void *code_load(const void *base, size_t offset) {
    const void *value;
    __builtin_memcpy(&value, (const char *)base + offset, sizeof value);
    return value;
}

static inline uint32_t code_life(const void *code) {
    uintptr_t address = (uintptr_t)code;
    return __atomic_load_n(&code_lives[(address >> 4 ^ address >> 16) & (CODE_LIVES - 1)], __ATOMIC_ACQUIRE) &
           CODE_LIFE;
}

// What stacks rest on has changed otherwise: they must be captured anew.
static inline void code_doubt(void) {
    __atomic_fetch_add(&code_epoch, 1, __ATOMIC_ACQ_REL);
    shim_doubt();
}

void code_init(struct python_state *state);

// From now on deaths are seen. Before the runtime is published.
void code_watch(struct detect_runtime *runtime);

// Whether what its type had (code_dealloc) is our own watch.
bool code_watches(const struct detect_runtime *runtime);

// Whether its type has our watch now. The module must be there.
bool code_watched(const struct detect_runtime *runtime);

// Offset in the bytecode, in bytes: -1 when the function has not begun, or where the frame is being changed.
int code_offset(const struct detect_runtime *runtime, const void *frame, const void *code, uintptr_t instr);

// The line of that offset; -1 = none, and *near as in lines.h.
int code_line(const struct detect_runtime *runtime, const void *code, int offset, int *near);

#endif
