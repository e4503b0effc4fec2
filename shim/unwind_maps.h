// SPDX-License-Identifier: MIT
//
// Modules as /proc/self/maps shows them: for loaders without _dl_find_object.
//
// Threads: any; readers never wait. While one thread reads the file anew, others find nothing.

#ifndef PEAKLINE_UNWIND_MAPS_H
#define PEAKLINE_UNWIND_MAPS_H

#include "shim/unwind_find.h"

struct unwind_modules;

// Where the table hangs. NULL there = it has not been made yet.
void unwind_maps_init(struct unwind_modules **table);

bool unwind_maps_find(uintptr_t address, struct unwind_object *out);

// Code has come or gone: the file is read again at the next question.
void unwind_maps_forget(void);

// unwind_find.c: start, end, bias and frame_header of the module whose file header is mapped at `start`.
bool unwind_find_image(uintptr_t start, struct unwind_object *out);

#endif
