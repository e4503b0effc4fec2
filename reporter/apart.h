// SPDX-License-Identifier: MIT
//
// Runs a function in a process of its own, so that this one goes on whatever becomes of it: out of memory, a
// library that gives up (elfutils does, when it gets no memory).

#ifndef PEAKLINE_APART_H
#define PEAKLINE_APART_H

#include <stdbool.h>

// What the function writes to standard error appears there when it has returned. False: it never did, and
// nothing appears. Where no process can be made, it runs in this one. Threads: single-threaded process only.
bool apart_run(void (*function)(void *context), void *context);

#endif
