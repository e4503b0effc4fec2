// SPDX-License-Identifier: MIT
//
// Names native addresses with the ELF files and the debug information on this machine (elfutils).
//
// A file is used only if it is the recorded one: same build-id, or, for files without, not newer than the
// recording. Debug information is looked for where distributions put it (.build-id, .gnu_debuglink,
// /usr/lib/debug); nothing is ever fetched from a network. Modules are opened when their first address is
// asked for. What cannot be known stays unknown: there are no guesses.
//
// Where several symbols are at one address, a function is called by the public one: what can be linked with
// before what is local; then the one with fewer leading underscores, as those names are the implementation's
// own (ISO C 7.1.3): glibc's `qsort_r` is a weak alias of `__qsort_r`, so the binding must not come first.
// Then global before weak, and last the alphabet. Debug information, which has the name in the source, is
// overruled only where that begins with an underscore.

#ifndef PEAKLINE_SYMBOLIZE_H
#define PEAKLINE_SYMBOLIZE_H

#include "reporter/model.h"

struct symbolize;

// `aliases`: the levels shall have all other names, too. Takes the symbols of each module.
struct symbolize *symbolize_new(bool aliases);
void symbolize_free(struct symbolize *symbolize);
struct model_resolver *symbolize_resolver(struct symbolize *symbolize);

// Lines for the reader of the report about files that could not be used.
const char *const *symbolize_notes(const struct symbolize *symbolize, size_t *count);

#endif
