// SPDX-License-Identifier: MIT
//
// CPython's free lists: a tuple, float, list or dictionary that has ended is set aside, and the next one
// takes its memory, of which no allocator learns. Without more, what is kept would be on the line of the
// temporary that first had that memory. From 3.13 on, the interpreter tells a reference tracer of each object
// that begins (PyRefTracer_SetTracer); if its memory is on the books and not new, it becomes the present
// line's.
//
// Up to 3.12 nothing can be known of that. Nor of a dictionary's keys, which have a free list, but are no
// object.
//
// Where objects are sampled, each object that begins is drawn anew, wherever its memory comes from: its type
// says how large it is.

#ifndef PEAKLINE_PYTHON_FREELISTS_H
#define PEAKLINE_PYTHON_FREELISTS_H

#include "shim/python/detect.h"

#include <stdbool.h>

// Has the interpreter tell us, if it can. False: another tracer is there, which is left alone (3.15 would
// tell it that it is no longer wanted; and tracemalloc's may have been set a moment ago). With the GIL, and
// the object allocators wrapped. `sampled`: as they are.
bool freelists_watch(const struct detect_runtime *runtime, bool sampled);

#endif
