// SPDX-License-Identifier: MIT
//
// Writes JSON as it comes: nothing is kept, so a report of any size needs no memory.
//
// Commas are put where they belong. Numbers are integers of at most 63 bits, or seconds with nine decimals.
// Failure shows in the stream (ferror).
//
// Strings may hold any bytes. Each byte that is not UTF-8 becomes U+FFFD and its two hexadecimal digits, and
// so does each byte of a real U+FFFD: different strings stay different, and the bytes can be had back. Not
// the lone surrogates of Python's surrogateescape: RFC 8259 leaves what they mean to the parser. Strict ones
// refuse the whole report, others put U+FFFD in their place.

#ifndef PEAKLINE_EMIT_H
#define PEAKLINE_EMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define EMIT_DEPTH 16

struct emit {
    FILE *out;
    unsigned depth;
    bool filled[EMIT_DEPTH]; // by depth: there is a value already
    bool after_key;
};

// `open` is { or [, `close` its counterpart.
void emit_open(struct emit *emit, char open);
void emit_close(struct emit *emit, char close);
void emit_new_line(struct emit *emit, unsigned indent); // before the next value or key

void emit_key(struct emit *emit, const char *key); // of plain ASCII; the value comes next
void emit_null(struct emit *emit);
void emit_bool(struct emit *emit, bool value);
void emit_integer(struct emit *emit, int64_t value);
void emit_count(struct emit *emit, uint64_t value); // above INT64_MAX: that
void emit_seconds(struct emit *emit, double value);
void emit_string(struct emit *emit, const char *bytes); // NULL: null

#endif
