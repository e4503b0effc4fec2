// SPDX-License-Identifier: MIT
//
// Makes recordings for tests of the reporter: tables by hand, events as the shim would account them.
//
// Events go through the same algorithm as record_format.h describes (own peaks, bytes at the process's peak,
// pending segments, outermost flags). Anything in the header and the tables may be changed by hand before it
// is written. A failure ends the test program.

#ifndef PEAKLINE_RECORDING_BUILDER_H
#define PEAKLINE_RECORDING_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/record_format.h"

// A context as it was made: blocks belong to it even when its node is folded.
struct builder_origin {
    struct record_node node;
    uint32_t function, other, other_function; // of its frame; its other frame; of that
};

struct builder {
    struct record_header header;
    char *strings;
    struct record_module *modules;
    struct record_function *functions;
    struct record_frame *frames;
    struct record_node *nodes;
    struct builder_origin *origins; // per node
    struct record_reaped *reaped;
    struct record_folded *folded;
    struct record_journal *journals;
    struct record_estimate *estimates;
    struct record_source *sources;
    struct record_tick ticks[RECORD_TICKS_MAX];
    struct record_mark marks[RECORD_MARKS_MAX];
    // Entries, the unused entry 0 included (bytes for strings).
    size_t string_bytes, module_count, function_count, frame_count, node_count, reaped_count, folded_count;
    size_t journal_count, estimate_count, origin_count, source_count;
    bool noting;        // events go to a journal, as of a process that was killed before it applied them
    bool split_extents; // an extent per grain, the tables' interleaved
};

// An image that exited with 0, after one second, with frees attributed.
struct builder *builder_new(uint32_t pid, uint32_t image);
void builder_free(struct builder *builder);

// Each returns the number of the new entry (the offset, for strings).
uint32_t builder_string(struct builder *builder, const char *text);
uint32_t builder_bytes(struct builder *builder, const char *bytes, size_t length);
uint32_t builder_source(struct builder *builder, const char *file, const char *text);
uint32_t builder_module(struct builder *builder, const char *path);
uint32_t builder_python(struct builder *builder, const char *file, const char *name, uint32_t first_line);
uint32_t builder_scope(struct builder *builder, const char *name);
uint32_t builder_native(struct builder *builder, uint32_t module, uint64_t offset);
uint32_t builder_line(struct builder *builder, uint32_t function, uint32_t line);   // a Python frame
uint32_t builder_site(struct builder *builder, uint32_t function, uint64_t offset); // a native frame
uint32_t builder_node(struct builder *builder, uint32_t parent, uint32_t frame);
uint32_t builder_reaped(struct builder *builder, uint32_t pid, int status, uint64_t time_ns);

// An account of variances, to be filled in by hand.
uint32_t builder_estimate(struct builder *builder, enum record_estimated kind, uint32_t of);

void builder_command(struct builder *builder, const char *const *argv);

void builder_allocate(struct builder *builder, uint32_t node, int64_t size);
// Frees `size` bytes that `node` had allocated, be it folded or not, while `free_node` runs (0 = not known).
void builder_release(struct builder *builder, uint32_t node, int64_t size, uint32_t free_node);

// Folds a node whose children are all folded, as record_format.h describes it. Its number is not used again.
void builder_fold(struct builder *builder, uint32_t node);

// Forgets a frame whose nodes are all folded.
void builder_forget(struct builder *builder, uint32_t frame);

// The file's bytes; the caller frees them.
unsigned char *builder_image(const struct builder *builder, size_t *size);

// Writes `<pid>.<n>` into a directory.
void builder_write(const struct builder *builder, const char *directory);
void builder_write_bytes(const char *directory, const char *name, const void *bytes, size_t size);

// A fresh empty directory below the system's temporary one, and its removal with the files in it.
char *builder_directory(void);
void builder_remove_directory(char *directory);

#endif
