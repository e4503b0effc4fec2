// SPDX-License-Identifier: MIT
//
// See text.h.

#include "shim/python/text.h"

#define TEXT_REPLACEMENT 0xfffdu

static size_t text_encode(uint32_t character, char out[4]) {
    if (character >= 0xdc80 && character <= 0xdcff) {
        out[0] = (char)(character & 0xff);
        return 1;
    }
    if (character > 0x10ffff)
        character = TEXT_REPLACEMENT;
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    size_t length = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    out[0] = (char)((length == 2 ? 0xc0 : length == 3 ? 0xe0 : 0xf0) | character);
    return length;
}

static uint32_t text_character(const char *data, size_t index, unsigned kind) {
    if (kind == 1)
        return (unsigned char)data[index];
    uint16_t half;
    uint32_t whole;
    if (kind == 2) {
        __builtin_memcpy(&half, data + 2 * index, sizeof half);
        return half;
    }
    __builtin_memcpy(&whole, data + 4 * index, sizeof whole);
    return whole;
}

size_t text_copy(const struct python_layout *layout, const void *text, char *buffer, size_t size) {
    const char *object = text, *data;
    size_t length, used = 0;
    uint32_t state;
    if (!object)
        return 0;
    __builtin_memcpy(&length, object + layout->text_length, sizeof length);
    __builtin_memcpy(&state, object + layout->text_state, sizeof state);
    unsigned kind = state >> layout->text_kind_shift & 7;
    bool compact = state >> layout->text_compact_bit & 1, ascii = state >> layout->text_ascii_bit & 1;
    if ((kind != 1 && kind != 2 && kind != 4) || length > PTRDIFF_MAX / 4)
        return 0;
    if (!compact) // an instance of a subclass: the characters are elsewhere
        __builtin_memcpy(&data, object + layout->text_compact, sizeof data);
    else
        data = object + (ascii ? layout->text_ascii : layout->text_compact);
    if (!data)
        return 0;
    for (size_t i = 0; i < length; i++) {
        char bytes[4];
        size_t count = text_encode(text_character(data, i, kind), bytes);
        if (count > size - used)
            break;
        __builtin_memcpy(buffer + used, bytes, count);
        used += count;
    }
    return used;
}
