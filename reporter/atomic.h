// SPDX-License-Identifier: MIT
//
// A file that appears whole or not at all: it is written beside its place and renamed when it is complete.
// What is not a regular file (/dev/stdout, a pipe) is written directly.
//
// Failure: errno tells. Threads: one. A name is kept by reference until atomic_finish.

#ifndef PEAKLINE_ATOMIC_H
#define PEAKLINE_ATOMIC_H

#include <stdbool.h>
#include <stdio.h>

struct atomic {
    FILE *stream;
    char *target, *temporary; // NULL: written directly
};

// NULL for `name` means standard output.
bool atomic_start(struct atomic *atomic, const char *name);

// With `keep`, puts the file in its place, and returns whether everything could be written; otherwise removes
// it.
bool atomic_finish(struct atomic *atomic, bool keep);

#endif
