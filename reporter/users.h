// SPDX-License-Identifier: MIT
//
// Which functions are the user's own.

#ifndef PEAKLINE_USERS_H
#define PEAKLINE_USERS_H

#include "reporter/model.h"
#include "reporter/source.h"

// Per function: is it the user's own code, as far as can be told? Not: the standard library, installed
// packages and what starts them, system headers, native code that has neither its source here nor is part of
// the program itself. Where that leaves hardly anything of what a Python program held, as with
// `python -m json.tool`, all Python functions that have a file; *all says so. The caller frees the array.
bool *users_find(const struct model_process *process, struct source_cache *sources, bool *all);

#endif
