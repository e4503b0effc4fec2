// SPDX-License-Identifier: MIT
//
// The source of one function with a row per line: the heart of the table.

#ifndef PEAKLINE_LISTING_H
#define PEAKLINE_LISTING_H

#include "reporter/natives.h"
#include "reporter/render/render.h"
#include "reporter/source.h"

struct listing {
    const struct model_process *process;
    const struct metrics *metrics;
    struct source_cache *sources;
    const struct render_options *options;
    // The process's lines, grouped by function and sorted by file and line (listing_sort_lines).
    uint32_t *lines,
        *first_line_of;  // of function f: lines[first_line_of[f]] .. lines[first_line_of[f + 1] - 1]
    bool *brief;         // per function: show only what is near an event; NULL = of long ones
    bool bounds, folded; // whether a `≤`, and a number of contexts with a `+`, were printed
    bool all_folded;     // and "folded contexts"
    bool threads;        // and a function's threads
    bool errors;         // and a `±`
};

// Fills in `lines` and `first_line_of`; listing_free releases them.
void listing_sort_lines(struct listing *listing);
void listing_free(struct listing *listing);

// How many rows listing_print will write, headings included.
size_t listing_rows(const struct listing *listing, uint32_t function);
void listing_print(struct listing *listing, uint32_t function, FILE *out);
// Only what NAME.<threads> is, if it was printed.
void listing_explain_threads(const struct listing *listing, FILE *out);

// What the signs mean that listing_print has used so far, if any.
void listing_explain(const struct listing *listing, FILE *out);

// A row for each of these scopes, and a blank line.
void listing_print_scopes(struct listing *listing, const uint32_t *scopes, size_t count, FILE *out);

// Likewise for native functions in a Python program.
void listing_print_natives(struct listing *listing, const struct natives_row *rows, size_t count, FILE *out);

// A file's name as people know it: relative to the process's directory when it is below it. Part of `file`.
const char *listing_short_path(const struct model_process *process, const char *file);

#endif
