// SPDX-License-Identifier: MIT
//
// The directory that a recording goes into: made before the program starts, taken back when the start fails.
// What was there before is put aside until the program has started, so that a failed start loses nothing.
//
// Threads: main thread only. Failure: one line on standard error.

#ifndef PEAKLINE_OUTPUT_H
#define PEAKLINE_OUTPUT_H

#include <stdbool.h>

struct output {
    char *path;  // absolute, malloc'd
    char *aside; // where an older recording waits; NULL when there was none
};

// `name` as an absolute path, without slashes at its end; malloc'd, NULL when the current directory has no
// path.
char *output_absolute(const char *name);

// Makes the directory `name` (absolute or relative), mode 0700, and makes sure that a file can grow in it.
// With `force` it may replace a recording or an empty directory, and nothing else.
bool output_create(struct output *output, const char *name, bool force);

void output_commit(struct output *output);   // the program runs: delete what it replaces
void output_rollback(struct output *output); // it does not: everything as it was

// Removes the directory if nothing was recorded in it; returns whether that was so.
bool output_drop_if_empty(const struct output *output);

void output_free(struct output *output);

#endif
