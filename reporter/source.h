// SPDX-License-Identifier: MIT
//
// Source files, read when the report is made, and the extent of functions in them.
//
// A file may be gone, or have been edited since the recording: source_state tells, and nobody shows such
// text. Ownership: the cache owns its sources. Lines are numbered from 1; their bytes have no terminator.

#ifndef PEAKLINE_SOURCE_H
#define PEAKLINE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source;
struct source_cache;

enum source_state {
    SOURCE_GOOD,
    SOURCE_MISSING, // no such file, or not a readable regular file, or it never was one ("<string>")
    SOURCE_PACKED,  // there is a file where a folder should be: a zip file that Python imports from
    SOURCE_NEWER,   // changed after the recording began
};

struct source_cache *source_cache_new(void);
void source_cache_free(struct source_cache *cache);

// The text of a file that is none on disk, which stays the caller's, for as long as the cache is there. The
// first one of a file stays.
void source_add(struct source_cache *cache, const char *file, const char *cwd, const char *text,
                size_t length);

// Whether it is such a text.
bool source_is_text(const struct source *source);

// `file` as recorded (NULL is allowed); relative names are relative to `cwd` (NULL = not known). Never NULL.
const struct source *source_open(struct source_cache *cache, const char *file, const char *cwd);

// `recorded_ns`: when the recording began, since 1970.
enum source_state source_state(const struct source *source, uint64_t recorded_ns);

uint32_t source_line_count(const struct source *source);
const char *source_line(const struct source *source, uint32_t line, size_t *length); // "" when there is none

// The last line of the function that begins at `first_line`; 0 when it cannot be told. Python: by
// indentation, for a def, a class, a lambda or a comprehension, decorators included. Others: by braces.
uint32_t source_python_end(const struct source *source, uint32_t first_line);
uint32_t source_braces_end(const struct source *source, uint32_t first_line);

#endif
