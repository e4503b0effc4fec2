// SPDX-License-Identifier: MIT
//
// Names native addresses with the ELF files and the debug information on this machine (elfutils).
//
// A file is used only if it is the recorded one: same build-id, or, for files without, not newer than the
// recording. Debug information is looked for where distributions put it (.build-id, .gnu_debuglink,
// /usr/lib/debug); nothing is ever fetched from a network. Modules are opened when their first address is
// asked for. What cannot be known stays unknown: there are no guesses.

#ifndef PEAKLINE_SYMBOLIZE_H
#define PEAKLINE_SYMBOLIZE_H

#include "reporter/model.h"

struct symbolize;

struct symbolize *symbolize_new(void);
void symbolize_free(struct symbolize *symbolize);
struct model_resolver *symbolize_resolver(struct symbolize *symbolize);

// Lines for the reader of the report about files that could not be used.
const char *const *symbolize_notes(const struct symbolize *symbolize, size_t *count);

#endif
