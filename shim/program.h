// SPDX-License-Identifier: MIT
//
// What can be told of a program before it is executed. Plain system calls and the caller's stack: safe in
// children of vfork.

#ifndef PEAKLINE_PROGRAM_H
#define PEAKLINE_PROGRAM_H

#include <stdbool.h>

// Whether another C library's loader starts it (musl's), which would stop at ours: it then needs an
// environment without us. With `search`, a name without a slash is looked for in PATH; without, `path` may be
// any address: only the kernel reads there. False also where it cannot be told; `path` may be NULL.
bool program_is_foreign(const char *path, bool search);

#endif
