// SPDX-License-Identifier: MIT
//
// Text as people and JSON readers see it: UTF-8, escapes, sizes.
//
// Names come out of a recording as arbitrary bytes. Functions that return char * return a NUL-terminated
// block of the caller's to free.

#ifndef PEAKLINE_TEXT_H
#define PEAKLINE_TEXT_H

#include <stddef.h>
#include <stdint.h>

// Decodes the code point at the start of `bytes`: returns its length, or 0 when it is not valid UTF-8
// (overlong forms, surrogates and what lies above U+10FFFF are not).
size_t text_decode(const char *bytes, size_t length, uint32_t *code_point);

// For terminals: control characters, escape sequences, marks that reorder text, and invalid bytes become \n,
// \xNN or \u{N}; a tab too. At most `columns` wide (0 = no limit), the last column "…" when something was
// cut.
char *text_escape(const char *bytes, size_t length, size_t columns);
char *text_escape_string(const char *string);

// As one word for a shell: quoted when it has to be, otherwise unchanged.
char *text_quote(const char *string);

// Columns that an escaped string takes on a terminal.
size_t text_width(const char *escaped);

// The text with tabs replaced by spaces up to multiples of 8 columns.
char *text_expand_tabs(const char *bytes, size_t length);

#define TEXT_SIZE_MAX 32

// 512 B, 58.4 MiB, -60.7 MiB, 1.20 GiB: three significant digits. Returns `out`.
const char *text_size(char out[TEXT_SIZE_MAX], int64_t bytes);

// "3.00 MiB": in MiB, with so many digits (0 to 9) after the point.
const char *text_mib(char out[TEXT_SIZE_MAX], int64_t bytes, unsigned digits);

// 10 422: thousands kept apart. Returns `out`.
const char *text_count(char out[TEXT_SIZE_MAX], uint64_t count);

// 0.42 s, 12.3 s, 4 min 05 s, 2 h 03 min. Returns `out`.
const char *text_seconds(char out[TEXT_SIZE_MAX], double seconds);

// The last component of a path.
const char *text_basename(const char *path);

#endif
