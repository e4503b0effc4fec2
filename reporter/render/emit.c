// SPDX-License-Identifier: MIT
//
// Writes JSON as it comes. See emit.h.

#include "reporter/render/emit.h"

#include <inttypes.h>
#include <string.h>

#include "reporter/text.h"

#define REPLACEMENT 0xfffd

// What has to stand before a value or a key.
static void separate(struct emit *e) {
    if (e->after_key) {
        e->after_key = false;
        return;
    }
    if (e->filled[e->depth])
        putc_unlocked(',', e->out);
    e->filled[e->depth] = true;
}

void emit_open(struct emit *e, char open) {
    separate(e);
    putc_unlocked(open, e->out);
    if (e->depth + 1 < EMIT_DEPTH)
        e->depth++;
    e->filled[e->depth] = false;
}

void emit_close(struct emit *e, char close) {
    putc_unlocked(close, e->out);
    if (e->depth)
        e->depth--;
}

void emit_new_line(struct emit *e, unsigned indent) {
    if (e->filled[e->depth])
        putc_unlocked(',', e->out);
    e->filled[e->depth] = false; // the comma is there
    fprintf(e->out, "\n%*s", (int)indent, "");
}

static void write_string(struct emit *e, const char *bytes, size_t length) {
    putc_unlocked('"', e->out);
    for (size_t at = 0; at < length;) {
        unsigned char c = (unsigned char)bytes[at];
        uint32_t code_point;
        size_t size = text_decode(bytes + at, length - at, &code_point);
        if (c == '"' || c == '\\') {
            putc_unlocked('\\', e->out);
            putc_unlocked(c, e->out);
        } else if (c < 0x20 || c == 0x7f) {
            fprintf(e->out, "\\u%04x", c);
        } else if (!size || code_point == REPLACEMENT) {
            for (size_t i = 0; i < (size ? size : 1); i++)
                fprintf(e->out, "\xef\xbf\xbd%02x", (unsigned char)bytes[at + i]);
        } else {
            for (size_t i = 0; i < size; i++)
                putc_unlocked(bytes[at + i], e->out);
        }
        at += size ? size : 1;
    }
    putc_unlocked('"', e->out);
}

void emit_key(struct emit *e, const char *key) {
    separate(e);
    fprintf(e->out, "\"%s\":", key);
    e->after_key = true;
}

void emit_null(struct emit *e) {
    separate(e);
    fputs("null", e->out);
}

void emit_bool(struct emit *e, bool value) {
    separate(e);
    fputs(value ? "true" : "false", e->out);
}

void emit_integer(struct emit *e, int64_t value) {
    char digits[24], *at = digits + sizeof digits;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    separate(e);
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (value < 0)
        *--at = '-';
    while (at < digits + sizeof digits)
        putc_unlocked(*at++, e->out);
}

void emit_count(struct emit *e, uint64_t value) {
    emit_integer(e, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

void emit_seconds(struct emit *e, double value) {
    separate(e);
    fprintf(e->out, "%.9f", value);
}

void emit_string(struct emit *e, const char *bytes) {
    if (!bytes) {
        emit_null(e);
        return;
    }
    separate(e);
    write_string(e, bytes, strlen(bytes));
}
