// SPDX-License-Identifier: MIT
//
// Text as people and JSON readers see it. See text.h.

#include "reporter/text.h"

#include "reporter/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

size_t text_decode(const char *bytes, size_t length, uint32_t *code_point) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (!length)
        return 0;
    unsigned char first = (unsigned char)bytes[0];
    if (first < 0x80) {
        *code_point = first;
        return 1;
    }
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || size > length)
        return 0;
    uint32_t value = first & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        unsigned char next = (unsigned char)bytes[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (next & 0x3fu);
    }
    if (value < smallest[size] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code_point = value;
    return size;
}

static bool in_ranges(const uint32_t (*ranges)[2], size_t count, uint32_t code_point) {
    for (size_t i = 0; i < count; i++)
        if (code_point >= ranges[i][0] && code_point <= ranges[i][1])
            return true;
    return false;
}

// What may not reach a terminal as it is: controls (C0, DEL, C1), line and paragraph separators, and the
// characters that are invisible or reorder their neighbours.
static bool is_hidden(uint32_t code_point) {
    static const uint32_t ranges[][2] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x200b, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff}};
    return in_ranges(ranges, sizeof ranges / sizeof *ranges, code_point);
}

static size_t columns_of(uint32_t code_point) {
    static const uint32_t none[][2] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},
                                       {0x64b, 0x65f},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x20d0, 0x20ff},
                                       {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
    static const uint32_t wide[][2] = {{0x1100, 0x115f},   {0x2e80, 0x303e},  {0x3041, 0xa4cf},
                                       {0xac00, 0xd7a3},   {0xf900, 0xfaff},  {0xfe30, 0xfe6f},
                                       {0xff00, 0xff60},   {0xffe0, 0xffe6},  {0x1f300, 0x1f64f},
                                       {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
    if (code_point < 0x300)
        return 1;
    if (in_ranges(none, sizeof none / sizeof *none, code_point))
        return 0;
    return in_ranges(wide, sizeof wide / sizeof *wide, code_point) ? 2 : 1;
}

// Writes the escaped form of what starts at `bytes` to `out`; returns how many bytes of the input it stands
// for.
static size_t escape_one(const char *bytes, size_t length, char out[16], size_t *width) {
    uint32_t code_point;
    size_t size = text_decode(bytes, length, &code_point);
    if (size && !is_hidden(code_point)) {
        memcpy(out, bytes, size);
        out[size] = '\0';
        *width = columns_of(code_point);
        return size;
    }
    if (!size)
        snprintf(out, 16, "\\x%02x", (unsigned char)bytes[0]);
    else if (code_point == '\n' || code_point == '\t' || code_point == '\r')
        snprintf(out, 16, "\\%c", code_point == '\n' ? 'n' : code_point == '\t' ? 't' : 'r');
    else if (code_point < 0x100)
        snprintf(out, 16, "\\x%02x", code_point);
    else
        snprintf(out, 16, "\\u{%x}", code_point);
    *width = strlen(out);
    return size ? size : 1;
}

char *text_escape(const char *bytes, size_t length, size_t columns) {
    char *out = NULL;
    size_t used = 0, capacity = 0, width = 0;
    size_t cut_at = 0; // where the text would end if it had to be cut: one column is left for the ellipsis
    for (size_t at = 0; at < length;) {
        char one[16];
        size_t wide;
        at += escape_one(bytes + at, length - at, one, &wide);
        if (columns && width + wide > columns) {
            out = memory_resize(out, cut_at + 4, 1);
            memcpy(out + cut_at, "…", 4);
            return out;
        }
        size_t size = strlen(one);
        while (used + size + 4 > capacity) {
            capacity = capacity ? capacity * 2 : 64;
            out = memory_resize(out, capacity, 1);
        }
        memcpy(out + used, one, size);
        used += size;
        width += wide;
        if (width < columns)
            cut_at = used;
    }
    out = memory_resize(out, used + 1, 1);
    out[used] = '\0';
    return out;
}

char *text_escape_string(const char *string) {
    return text_escape(string, strlen(string), 0);
}

char *text_quote(const char *string) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:,@%=";
    size_t length = strlen(string);
    if (length && strspn(string, plain) == length)
        return memory_copy(string, length);
    char *out = memory_alloc(length + 1, 4); // at worst each byte becomes '\\''
    size_t used = 0;
    out[used++] = '\'';
    for (; *string; string++) {
        if (*string == '\'') {
            memcpy(out + used, "'\\''", 4);
            used += 4;
        } else {
            out[used++] = *string;
        }
    }
    out[used++] = '\'';
    out[used] = '\0';
    return out;
}

size_t text_width(const char *escaped) {
    size_t width = 0;
    for (size_t left = strlen(escaped); left;) {
        uint32_t code_point = 0;
        size_t size = text_decode(escaped, left, &code_point);
        width += size ? columns_of(code_point) : 1;
        size = size ? size : 1;
        escaped += size;
        left -= size;
    }
    return width;
}

char *text_expand_tabs(const char *bytes, size_t length) {
    size_t tabs = 0;
    for (size_t i = 0; i < length; i++)
        tabs += bytes[i] == '\t';
    char *out = memory_alloc(length + tabs * 7 + 1, 1);
    size_t used = 0, column = 0;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\t') {
            do {
                out[used++] = ' ';
            } while (++column % 8);
        } else {
            out[used++] = bytes[i];
            column += ((unsigned char)bytes[i] & 0xc0) != 0x80; // continuation bytes take no column
        }
    }
    out[used] = '\0';
    return out;
}

const char *text_size(char out[TEXT_SIZE_MAX], int64_t bytes) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    uint64_t magnitude = bytes < 0 ? -(uint64_t)bytes : (uint64_t)bytes;
    const char *sign = bytes < 0 ? "-" : "";
    if (magnitude < 1024) {
        snprintf(out, TEXT_SIZE_MAX, "%s%d B", sign, (int)magnitude);
        return out;
    }
    double value = (double)magnitude / 1024;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    int digits = value < 0.9995 ? 3 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(out, TEXT_SIZE_MAX, "%s%.*f %s", sign, digits, value, units[unit]);
    return out;
}

const char *text_mib(char out[TEXT_SIZE_MAX], int64_t bytes, unsigned digits) {
    snprintf(out, TEXT_SIZE_MAX, "%.*f MiB", (int)digits, (double)bytes / (1 << 20));
    return out;
}

const char *text_count(char out[TEXT_SIZE_MAX], uint64_t count) {
    char digits[TEXT_SIZE_MAX];
    size_t length = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            out[used++] = ' ';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

const char *text_seconds(char out[TEXT_SIZE_MAX], double seconds) {
    long whole = (long)seconds;
    if (seconds < 99.95)
        snprintf(out, TEXT_SIZE_MAX, "%.*f s", seconds < 9.995 ? 2 : 1, seconds);
    else if (whole < 3600)
        snprintf(out, TEXT_SIZE_MAX, "%ld min %02ld s", whole / 60, whole % 60);
    else
        snprintf(out, TEXT_SIZE_MAX, "%ld h %02ld min", whole / 3600, whole / 60 % 60);
    return out;
}

const char *text_basename(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}
