// SPDX-License-Identifier: MIT
//
// What can be known about a program before it is started: where it is, and whether a shim can be preloaded
// into it.
//
// Ownership: `path` is malloc'd. Threads: any, but the working directory and the environment must not change
// meanwhile.

#ifndef PEAKLINE_PROGRAM_H
#define PEAKLINE_PROGRAM_H

#include <stddef.h>

enum { PROGRAM_FAILED = 125, PROGRAM_NOT_EXECUTABLE = 126, PROGRAM_NOT_FOUND = 127 };

// Finds `name` as execvp would: in PATH, or as it stands when it holds a slash. Returns 0 and *path, or the
// exit status with which to give up and the reason, one line, in `why`.
int program_find(const char *name, char **path, char *why, size_t size);

// Whether the kernel would start `path`, following a script to its interpreter, and whether the dynamic
// loader would then load the shim. Returns 0 when it would, and when that cannot be told (an unreadable file,
// a format that only the kernel knows); otherwise as above.
int program_check(const char *path, char *why, size_t size);

#endif
