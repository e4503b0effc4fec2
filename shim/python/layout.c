// SPDX-License-Identifier: MIT
//
// The table of layouts, and _Py_DebugOffsets. See layout.h.

#include "shim/python/layout.h"

#include <stddef.h>

#define NO LAYOUT_NONE
#define LAYOUT(...) {__VA_ARGS__},
#define DEBUG(...)
static const struct python_layout layout_rows[] = {
#include "shim/python/layout_rows.h"
};
#undef LAYOUT
#undef DEBUG

// Which member of _Py_DebugOffsets, counted in words of 64 bits, has which field.
struct layout_debug {
    uint16_t minor, zero;
    uint16_t tstate_frame, frame_previous, frame_code, frame_instr, frame_owner, frame_tlbc;
    uint16_t code_filename, code_name, code_qualname, code_firstlineno, code_linetable, code_bytecode,
        code_tlbc;
    uint16_t object_type, object_size, bytes_data, text_length, text_state, text_ascii;
};

#define LAYOUT(...)
#define DEBUG(...) {__VA_ARGS__},
static const struct layout_debug layout_debugs[] = {
#include "shim/python/layout_rows.h"
};
#undef LAYOUT
#undef DEBUG
#undef NO

bool layout_choose(struct python_layout *layout, unsigned minor, bool free_threaded) {
    for (size_t i = 0; i < sizeof layout_rows / sizeof *layout_rows; i++) {
        const struct python_layout *row = &layout_rows[i];
        if (row->minor == minor && row->free_threaded == free_threaded) {
            *layout = *row;
            return true;
        }
    }
    return false;
}

static uint64_t layout_word(const void *offsets, unsigned index) {
    uint64_t word;
    __builtin_memcpy(&word, (const char *)offsets + 8 * (size_t)index, sizeof word);
    return word;
}

bool layout_identify(const void *offsets, uint64_t version, bool *free_threaded) {
    if (__builtin_memcmp(offsets, "xdebugpy", 8) != 0 || layout_word(offsets, 1) != version ||
        layout_word(offsets, 2) > 1)
        return false;
    *free_threaded = layout_word(offsets, 2) == 1;
    return true;
}

bool layout_refine(struct python_layout *layout, const void *offsets) {
    const struct layout_debug *debug = NULL;
    for (size_t i = 0; i < sizeof layout_debugs / sizeof *layout_debugs; i++)
        if (layout_debugs[i].minor == layout->minor)
            debug = &layout_debugs[i];
    if (!debug)
        return false;
    const struct {
        uint16_t index;
        uint16_t *field;
    } fields[] = {
        {debug->tstate_frame, &layout->tstate_frame},
        {debug->frame_previous, &layout->frame_previous},
        {debug->frame_code, &layout->frame_code},
        {debug->frame_instr, &layout->frame_instr},
        {debug->frame_owner, &layout->frame_owner},
        {debug->frame_tlbc, &layout->frame_tlbc},
        {debug->code_filename, &layout->code_filename},
        {debug->code_name, &layout->code_name},
        {debug->code_qualname, &layout->code_qualname},
        {debug->code_firstlineno, &layout->code_firstlineno},
        {debug->code_linetable, &layout->code_linetable},
        {debug->code_bytecode, &layout->code_bytecode},
        {debug->code_tlbc, &layout->code_tlbc},
        {debug->object_type, &layout->object_type},
        {debug->object_size, &layout->object_size},
        {debug->bytes_data, &layout->bytes_data},
        {debug->text_length, &layout->text_length},
        {debug->text_state, &layout->text_state},
        {debug->text_ascii, &layout->text_ascii},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].index == LAYOUT_NONE || *fields[i].field == LAYOUT_NONE)
            continue;
        uint64_t value = layout_word(offsets, fields[i].index);
        if (value >= 4096)
            return false;
        if (*fields[i].field != value)
            layout->frame_function = LAYOUT_NONE; // of which the interpreter says nothing
        *fields[i].field = (uint16_t)value;
    }
    // The words that are loaded whole must be whole words.
    return ((layout->tstate_frame | layout->frame_previous | layout->frame_code | layout->frame_instr |
             layout->code_filename | layout->code_name | layout->code_qualname | layout->code_linetable |
             layout->object_type | layout->object_size | layout->text_length) &
            7) == 0;
}
