// SPDX-License-Identifier: MIT
//
// A shim without a host: struct shim in plain memory, tables that are arrays, an allocator's size function
// that the test decides about. Link it in place of process.c, recording.c and real.c.

#ifndef PEAKLINE_SHIM_DOUBLE_H
#define PEAKLINE_SHIM_DOUBLE_H

#include "shim/shim.h"

// Everything as at the first instant of a process; tables hold `records` entries each. A table's budget is in
// records here.
void shim_double_reset(size_t records);

// What malloc_usable_size answers from now on.
extern size_t shim_double_usable;

#endif
