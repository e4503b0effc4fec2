// SPDX-License-Identifier: MIT
//
// Where the fields that we read lie in CPython's structures, per minor version and build.
//
// The numbers are facts about the interpreters' headers: scripts/python-layouts.py writes and checks them.
// From 3.13 on the interpreter carries most of them itself (_Py_DebugOffsets), which then count. Debug builds
// have the same. Offsets in bytes. LAYOUT_NONE: that version has no such field.

#ifndef PEAKLINE_PYTHON_LAYOUT_H
#define PEAKLINE_PYTHON_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#define LAYOUT_NONE 0xffffu
#define LAYOUT_LAST 15 // minor version

// In the order of the rows of layout_rows.h.
struct python_layout {
    uint16_t minor;
    uint16_t free_threaded;
    uint16_t tstate_frame;  // to the innermost frame, or
    uint16_t tstate_frame2; // to a structure that has it here
    uint16_t tstate_thread_id;
    uint16_t
        tstate_context; // of contextvars: the innermost one that was entered; then how often that changed
    uint16_t tstate_id; // no other one of the interpreter's has it, then or later
    uint16_t frame_previous;
    uint16_t frame_code;
    uint16_t frame_instr;    // 3.8 to 3.10: an int
    uint16_t frame_owner;    // a char
    uint16_t frame_entry;    // a char: whether the evaluation loop was entered for this frame
    uint16_t frame_tlbc;     // an int32: which thread's copy of the bytecode runs
    uint16_t frame_function; // the function object that it was made for
    uint16_t code_filename;
    uint16_t code_name;
    uint16_t code_qualname;
    uint16_t code_firstlineno; // an int
    uint16_t code_flags;       // likewise
    uint16_t code_linetable;
    uint16_t code_bytecode; // 3.8 to 3.10: a bytes object; later the instructions themselves
    uint16_t code_tlbc;
    uint16_t object_type;
    uint16_t object_size; // of variable-sized objects, bytes and code included
    uint16_t type_name;
    uint16_t type_dealloc;
    uint16_t bytes_data;
    uint16_t text_length;
    uint16_t text_state;
    uint16_t text_ascii;   // size of the head of ASCII strings
    uint16_t text_compact; // and of others
    uint16_t text_kind_shift;
    uint16_t text_compact_bit;
    uint16_t text_ascii_bit;
    uint16_t owner_hidden; // frames with this owner or a higher one are none of Python's
};

// False: not a version that is known.
bool layout_choose(struct python_layout *layout, unsigned minor, bool free_threaded);

// What the interpreter at `offsets` (_PyRuntime) says about itself replaces what the row says. False: it is
// not what `version` (PY_VERSION_HEX) leads to expect. `*free_threaded` tells the build.
bool layout_identify(const void *offsets, uint64_t version, bool *free_threaded);
bool layout_refine(struct python_layout *layout, const void *offsets);

#endif
