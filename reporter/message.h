// SPDX-License-Identifier: MIT
//
// What peakline says to its user: one line on standard error, starting with "peakline: ". A line says what is
// wrong, why, and what to do. Control characters and bytes that are not UTF-8 appear as \xNN, so that a
// file's name can neither break the line nor drive the terminal.
//
// Threads: main thread only. Failure to write is ignored.

#ifndef PEAKLINE_MESSAGE_H
#define PEAKLINE_MESSAGE_H

#include <stdarg.h>
#include <stddef.h>

void message_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void message_vprint(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

// Writes `text` to `out` (of `size` bytes, at least 1) as message_print would show it, cut where it no longer
// fits. Returns `out`.
char *message_escape(const char *text, char *out, size_t size);

// The candidate (of `count`) that `word` is most likely meant to be, or NULL when none is near.
const char *message_nearest(const char *word, const char *const *candidates, size_t count);

#endif
