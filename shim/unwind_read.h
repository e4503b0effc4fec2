// SPDX-License-Identifier: MIT
//
// Reading unwind tables: a cursor that never leaves its bounds. Once something did not fit, `bad` is set, the
// cursor stays where it is and reads are 0; the caller looks once, at the end.

#ifndef PEAKLINE_UNWIND_READ_H
#define PEAKLINE_UNWIND_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unwind_cursor {
    const uint8_t *at, *end;
    bool bad;
};

static inline const uint8_t *unwind_read_bytes(struct unwind_cursor *cursor, uint64_t size) {
    if (cursor->bad || (uint64_t)(cursor->end - cursor->at) < size) {
        cursor->bad = true;
        return NULL;
    }
    const uint8_t *bytes = cursor->at;
    cursor->at += size;
    return bytes;
}

// Little-endian; size 1, 2, 4 or 8.
static inline uint64_t unwind_read_unsigned(struct unwind_cursor *cursor, unsigned size) {
    const uint8_t *bytes = unwind_read_bytes(cursor, size);
    uint64_t value = 0;
    for (unsigned i = 0; bytes && i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static inline int64_t unwind_read_signed(struct unwind_cursor *cursor, unsigned size) {
    unsigned shift = 64 - 8 * size;
    return (int64_t)(unwind_read_unsigned(cursor, size) << shift) >> shift;
}

static inline uint8_t unwind_read_byte(struct unwind_cursor *cursor) {
    return (uint8_t)unwind_read_unsigned(cursor, 1);
}

static inline uint64_t unwind_read_leb(struct unwind_cursor *cursor, bool is_signed) {
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        byte = unwind_read_byte(cursor);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while ((byte & 0x80) && !cursor->bad);
    if (is_signed && shift < 64 && (byte & 0x40))
        value |= ~(uint64_t)0 << shift;
    return value;
}

static inline uint64_t unwind_read_uleb(struct unwind_cursor *cursor) {
    return unwind_read_leb(cursor, false);
}

static inline int64_t unwind_read_sleb(struct unwind_cursor *cursor) {
    return (int64_t)unwind_read_leb(cursor, true);
}

// How a pointer is stored (DW_EH_PE_*).
enum unwind_encoding {
    UNWIND_ENCODE_ABSOLUTE = 0x00,
    UNWIND_ENCODE_PC_RELATIVE = 0x10,
    UNWIND_ENCODE_DATA_RELATIVE = 0x30,
    UNWIND_ENCODE_ALIGNED = 0x50,
    UNWIND_ENCODE_INDIRECT = 0x80,
    UNWIND_ENCODE_OMIT = 0xff,
};

// A number in one of the formats that the low four bits of an encoding name.
static inline uint64_t unwind_read_format(struct unwind_cursor *cursor, uint8_t encoding) {
    switch (encoding & 0x0f) {
    case 0x00:
    case 0x04:
    case 0x0c:
        return unwind_read_unsigned(cursor, 8);
    case 0x01:
        return unwind_read_uleb(cursor);
    case 0x02:
        return unwind_read_unsigned(cursor, 2);
    case 0x03:
        return unwind_read_unsigned(cursor, 4);
    case 0x09:
        return (uint64_t)unwind_read_sleb(cursor);
    case 0x0a:
        return (uint64_t)unwind_read_signed(cursor, 2);
    case 0x0b:
        return (uint64_t)unwind_read_signed(cursor, 4);
    }
    cursor->bad = true;
    return 0;
}

// An address. Indirect ones are not followed: only what we skip over has them. `data` is what data-relative
// ones are relative to.
static inline uint64_t unwind_read_pointer(struct unwind_cursor *cursor, uint8_t encoding, uint64_t data) {
    if (encoding == UNWIND_ENCODE_OMIT)
        return 0;
    if (encoding == UNWIND_ENCODE_ALIGNED) {
        unwind_read_bytes(cursor, -(uintptr_t)cursor->at & 7);
        return unwind_read_unsigned(cursor, 8);
    }
    uint64_t here = (uintptr_t)cursor->at;
    uint64_t value = unwind_read_format(cursor, encoding);
    switch (encoding & 0x70) {
    case UNWIND_ENCODE_ABSOLUTE:
        return value;
    case UNWIND_ENCODE_PC_RELATIVE:
        return here + value;
    case UNWIND_ENCODE_DATA_RELATIVE:
        return data + value;
    }
    cursor->bad = true;
    return 0;
}

#endif
