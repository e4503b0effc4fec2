// SPDX-License-Identifier: MIT
//
// Do we read this interpreter right? Compares what we make of a stack with what the interpreter's own
// functions say, before the first capture and now and then later.

#ifndef PEAKLINE_PYTHON_SELFTEST_H
#define PEAKLINE_PYTHON_SELFTEST_H

#include "shim/python/detect.h"

#include <stdbool.h>

// False: the stack of this thread state must not be read. When the interpreter contradicts, Python stacks are
// given up for good, and python_note says so.
bool selftest_run(struct detect_runtime *runtime, const void *state, bool attached);

// Whether `size` bytes can be read at an address that is a multiple of 8.
bool selftest_readable(const void *start, size_t size);

#endif
