// SPDX-License-Identifier: MIT
//
// Small objects: Python's allocator for them stands between the program and malloc, and takes its memory in
// arenas. So its two domains (MEM, OBJ) are wrapped, as PyMem_SetAllocator lets anybody do: each call goes on
// to what was there before, nothing is put before a block, and what was allocated earlier is simply not
// known.
//
// Blocks that reach malloc (more than 512 bytes) are recorded there, the others here; an arena is no memory
// of the program's.

#ifndef PEAKLINE_PYTHON_OBJECTS_H
#define PEAKLINE_PYTHON_OBJECTS_H

#include "shim/python/detect.h"

// Counts how often Python's allocators were wrapped: before, objects may have come unseen.
extern SHIM_OWN uint32_t objects_wraps;

// A runtime was found; `quiet`: it has not begun, and only this thread is there.
void objects_prepare(struct detect_runtime *runtime, bool quiet);

// With the GIL, when DETECT_OBJECTS is pending.
void objects_attend(struct detect_runtime *runtime);

// Whether the tracer of free lists (freelists.h) may not be ours: then objects_again is to be called, with
// the GIL.
extern SHIM_OWN bool objects_unwatched;
void objects_again(const struct detect_runtime *runtime);

// Where objects are sampled: another one begins in memory that had one before, of so many bytes (at most
// SAMPLING_LARGEST). With the GIL.
void objects_reused(void *block, size_t size);

// Now and then, with the GIL: notices allocators that are neither ours nor the interpreter's.
void objects_look(const struct detect_runtime *runtime);

#endif
