// SPDX-License-Identifier: MIT
//
// Reads recordings: from files, whose bytes are not trusted, to tables in memory.
//
// What comes out has been checked: every index and string offset is within its table, node 1 is the root,
// and from each node in use its parents lead there. Numbers (bytes, times, counts) are as found: they can be
// anything.
// Memory is proportional to the file. A recording of a running process is read as a snapshot.
// Ownership: a recording owns its images and all their tables. Strings point into them and have no
// terminator.
// Failure: struct reader_error says which file, where in it, and what. One damaged file does not hide the
// others.

#ifndef PEAKLINE_READER_H
#define PEAKLINE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/record_format.h"

struct reader_error {
    char *file;
    uint64_t offset; // in the file, of what was refused; 0 = all of it
    char what[160];
};

// A frame that is not in the file: what is left in a function of frames that were forgotten. Its account is
// empty, and it has no nodes.
#define READER_FRAME_REST (1u << 31)

// One file: a process image. Modules, functions, frames, nodes, folded, estimates and sources are there
// between reader_load and reader_unload only, the rest always.
struct reader_image {
    char *path;
    uint64_t file_size;
    struct record_header header;
    struct record_tick *ticks;
    struct record_mark *marks;
    char *strings; // the table; offsets as in the file
    struct record_module *modules;
    struct record_function *functions;
    struct record_frame *frames;
    struct record_node *nodes;
    struct record_reaped *reaped;
    struct record_folded *folded;
    struct record_estimate *estimates;
    struct record_source *sources;
    // Entries, the unused entry 0 included: valid indices are below. Bytes for strings.
    uint32_t tick_count, mark_count, string_bytes, module_count, function_count, frame_count, node_count,
        reaped_count, folded_count, estimate_count, source_count;
    // Nodes that were being changed at the last instant: they lost their place, and hang below the root, or
    // their frame.
    uint32_t orphan_count;
};

struct reader_recording {
    char *path;
    struct reader_image *images; // in the order of their pid and image
    size_t image_count;
    struct reader_error *errors; // files that could not be used
    size_t error_count;
};

// Opens a directory or a single file and checks all of it. When there is nothing that can be used, returns
// NULL and fills in `*error`, whose `file` the caller frees.
struct reader_recording *reader_open(const char *path, struct reader_error *error);
void reader_close(struct reader_recording *recording);

// Reads and checks the tables of an image that reader_unload (or reader_open, for a recording of very many
// processes) dropped. True when they are there.
bool reader_load(struct reader_image *image, struct reader_error *error);
void reader_unload(struct reader_image *image);

// Looks again at how the process ended, which may have been later than it was read. False: it has not said.
bool reader_look_again(struct reader_image *image);
void reader_free_image(struct reader_image *image); // all that it owns

// The string at an offset that came from the same image; empty for 0.
const char *reader_string(const struct reader_image *image, uint32_t offset, size_t *length);

#endif
