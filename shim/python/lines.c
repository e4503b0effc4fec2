// SPDX-License-Identifier: MIT
//
// See lines.h. Sums wrap rather than overflow: a table may be anything.

#include "shim/python/lines.h"

#include <stdbool.h>

static int lines_add(int line, int change) {
    return (int)((unsigned)line + (unsigned)change);
}

// Pairs: bytes of code that follow, change of the line after them.
int lines_lnotab(const unsigned char *table, size_t size, int first, int offset) {
    int line = first, address = 0;
    for (size_t i = 0; i + 1 < size; i += 2) {
        address += table[i];
        if (address > offset)
            break;
        line = lines_add(line, (signed char)table[i + 1]);
    }
    return line;
}

// Pairs: bytes of code covered, change of the line before them; -128 = no line.
int lines_ranges(const unsigned char *table, size_t size, int first, int offset, int *near) {
    int line = first, end = 0;
    bool none = false;
    for (size_t i = 0; i + 1 < size; i += 2) {
        signed char change = (signed char)table[i + 1];
        end += table[i];
        none = change == -128;
        if (!none)
            line = lines_add(line, change);
        if (offset < end)
            break;
    }
    if (near)
        *near = line;
    return none ? -1 : line;
}

// 6 bits a byte, the lowest first; bit 6: more follow.
static unsigned lines_varint(const unsigned char *table, size_t size, size_t *at) {
    unsigned value = 0;
    for (unsigned shift = 0; *at < size; shift += 6) {
        unsigned byte = table[(*at)++];
        if (shift < 32)
            value |= (byte & 63) << shift;
        if (!(byte & 64))
            break;
    }
    return value;
}

// The sign is the lowest bit.
static int lines_signed_varint(const unsigned char *table, size_t size, size_t *at) {
    unsigned value = lines_varint(table, size, at);
    return (int)(value & 1 ? 0u - (value >> 1) : value >> 1);
}

// Entries: 0x80 | kind << 3 | (units of 2 bytes of code covered - 1), then what the kind says:
//   0-9 columns (1 byte), same line; 10-12 columns (2 bytes), line + kind - 10; 13 change of the line (signed
//   varint); 14 change of the line and three more varints; 15 no line.
int lines_locations(struct lines_cursor *cursor, const unsigned char *table, size_t size, int offset,
                    int *near) {
    // From the entry that was found last, not from the one behind it: the next instruction is often its, too.
    struct lines_cursor now = *cursor;
    bool none = false;
    while (now.at < size) {
        *cursor = now;
        unsigned head = table[now.at++], kind = head >> 3 & 15;
        now.end += (int)(head & 7) * 2 + 2;
        none = kind == 15;
        if (kind <= 9) {
            now.at += 1;
        } else if (kind <= 12) {
            now.line = lines_add(now.line, (int)kind - 10);
            now.at += 2;
        } else if (!none) {
            now.line = lines_add(now.line, lines_signed_varint(table, size, &now.at));
            if (kind == 14)
                for (int i = 0; i < 3; i++)
                    lines_varint(table, size, &now.at);
        }
        if (offset < now.end)
            break;
    }
    if (near)
        *near = now.line;
    return none ? -1 : now.line;
}
