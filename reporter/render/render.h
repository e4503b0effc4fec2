// SPDX-License-Identifier: MIT
//
// The formats of a report. Each is one file here and one line in render_formats.
//
// A format writes the whole report to `out`; whether the writing succeeded is for the caller to see (ferror).
// It returns false, with `*error` filled in as reader_load does, when a file of the recording can no longer
// be read.

#ifndef PEAKLINE_RENDER_H
#define PEAKLINE_RENDER_H

#include <stdio.h>

#include "reporter/select.h"
#include "reporter/source.h"
#include "reporter/symbolize.h"
#include "reporter/text.h"

struct render_options {
    struct select_options select;
    bool contexts;  // JSON: the calling contexts, too
    bool color;     // escape sequences are welcome
    unsigned width; // columns; 0 = not limited
    unsigned mib;   // tables: sizes in MiB with mib - 1 digits; 0 = three digits of a unit that fits
};

struct render_input {
    struct model *model;
    struct symbolize *symbolize; // NULL = native frames stay module+0xoffset
    struct render_options options;
};

struct render_format {
    const char *name;
    bool (*print)(const struct render_input *input, FILE *out, struct reader_error *error);
};

extern const struct render_format render_formats[]; // ends with a NULL name

bool render_table(const struct render_input *input, FILE *out, struct reader_error *error);
bool render_json(const struct render_input *input, FILE *out, struct reader_error *error);

// The few lines that `run` prints at the end: peak, where, where the recording is, what to type next.
// Returns 0, or 2 after one line on standard error when the recording cannot be read.
int summary_print(const char *recording, FILE *out);

// Loads a process with the input's names.
bool render_load(const struct render_input *input, struct model_process *process, struct reader_error *error);

// The process's sources, those in its recording among them. The caller frees them.
struct source_cache *render_sources(const struct model_process *process);

// What the reader of a process's numbers must know, in sentences. The caller frees each, and the array.
char **notes_collect(const struct model_process *process, size_t *count);

// Why a recording had no room for more and what gives it, as one sentence; NULL when there is nothing to say.
const char *notes_room(const struct record_header *header);

// The table's marks, with a blank line after them; nothing when there are none.
void marks_print(const struct model_process *process, const struct render_options *options, FILE *out);

// A size as tables have it. Returns `out`.
const char *render_size(const struct render_options *options, char out[TEXT_SIZE_MAX], int64_t bytes);

// "python3 eval.py", escaped, at most `columns` wide (0 = no limit), and "exited 0" and the like: the caller
// frees them.
char *render_command(const struct model_process *process, size_t columns);
char *render_end(const struct model_process *process);

#endif
