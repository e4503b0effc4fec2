// SPDX-License-Identifier: MIT
//
// From an address to functions, files and lines, with the inlined ones, by the DWARF of one module.
//
// Memory: proportional to the compilation units that were asked for. Strings belong to the Dwarf handle or to
// the debuginfo, and live as long as both. Threads: one at a time.

#ifndef PEAKLINE_DEBUGINFO_H
#define PEAKLINE_DEBUGINFO_H

#include <elfutils/libdw.h>

#include "reporter/model.h"

struct debuginfo;

// `dwarf` is borrowed. debuginfo_free accepts NULL.
struct debuginfo *debuginfo_new(Dwarf *dwarf);
void debuginfo_free(struct debuginfo *info);

// As model_resolver.resolve. When only the line is known, there is one level without a function.
size_t debuginfo_find(struct debuginfo *info, uint64_t address, struct model_found levels[MODEL_LEVELS_MAX]);

// Whether a symbol's name is one of C++ or Rust that holds a path, perhaps types, in a code.
bool debuginfo_is_mangled(const char *name);

// The name as people write it: those of C++ and Rust demangled, others unchanged. Lives as long as the pool.
const char *debuginfo_demangle(struct pool *pool, const char *name);

#endif
