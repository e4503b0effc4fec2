// SPDX-License-Identifier: MIT
//
// Where CPython keeps what we read: written and checked by scripts/python-layouts.py, see layout.h.

// clang-format off
// minor, free_threaded, tstate_frame, tstate_frame2, tstate_thread_id, tstate_context, tstate_id,
// frame_previous, frame_code, frame_instr, frame_owner, frame_entry, frame_tlbc, frame_function,
// code_filename, code_name, code_qualname, code_firstlineno, code_flags, code_linetable, code_bytecode,
// code_tlbc, object_type, object_size, type_name, type_dealloc, bytes_data, text_length, text_state,
// text_ascii, text_compact, text_kind_shift, text_compact_bit, text_ascii_bit, owner_hidden
LAYOUT(8, 0, 24, NO, 176, 240, 256, 24, 32, 104, NO, NO, NO, NO, 104, 112, NO, 40, 36, 120, 48, NO, 8, 16, 24, 48, 32, 16, 32, 48, 72, 2, 5, 6, 255)
LAYOUT(9, 0, 24, NO, 176, 240, 256, 24, 32, 104, NO, NO, NO, NO, 104, 112, NO, 40, 36, 120, 48, NO, 8, 16, 24, 48, 32, 16, 32, 48, 72, 2, 5, 6, 255)
LAYOUT(10, 0, 24, NO, 176, 240, 256, 24, 32, 96, NO, NO, NO, NO, 104, 112, NO, 40, 36, 120, 48, NO, 8, 16, 24, 48, 32, 16, 32, 48, 72, 2, 5, 6, 255)
LAYOUT(11, 0, 56, 8, 152, 224, 240, 48, 32, 56, NO, 68, NO, 0, 112, 120, 128, 72, 48, 136, 184, NO, 8, 16, 24, 48, 32, 16, 32, 48, 72, 2, 5, 6, 255)
LAYOUT(12, 0, 56, 0, 136, 208, 224, 8, 0, 56, 70, NO, NO, 16, 112, 120, 128, 68, 48, 136, 192, NO, 8, 16, 24, 48, 32, 16, 32, 40, 56, 2, 5, 6, 3)
LAYOUT(13, 0, 72, NO, 152, 208, 224, 8, 0, 56, 70, NO, NO, 16, 112, 120, 128, 68, 48, 136, 200, NO, 8, 16, 24, 48, 32, 16, 32, 40, 56, 2, 5, 6, 3)
LAYOUT(13, 1, 72, NO, 152, 208, 224, 8, 0, 56, 70, NO, NO, 16, 128, 136, 144, 84, 64, 152, 216, NO, 24, 32, 40, 64, 48, 32, 48, 56, 72, 2, 5, 6, 3)
LAYOUT(14, 0, 72, NO, 152, 208, 224, 8, 0, 56, 74, NO, NO, 16, 112, 120, 128, 68, 48, 136, 208, NO, 8, 16, 24, 48, 32, 16, 32, 40, 56, 2, 5, 6, 3)
LAYOUT(14, 1, 72, NO, 152, 208, 224, 8, 0, 56, 78, NO, 72, 16, 128, 136, 144, 84, 64, 152, 232, 224, 24, 32, 40, 64, 48, 32, 48, 56, 72, 8, 11, 12, 3)
LAYOUT(15, 0, 72, NO, 176, 232, 248, 8, 0, 56, 74, NO, NO, 16, 112, 120, 128, 68, 48, 136, 208, NO, 8, 16, 24, 48, 32, 16, 32, 40, 56, 2, 5, 6, 3)
LAYOUT(15, 1, 72, NO, 176, 232, 248, 8, 0, 56, 78, NO, 72, 16, 128, 136, 144, 84, 64, 152, 232, 224, 24, 32, 40, 64, 48, 32, 48, 56, 72, 8, 11, 12, 3)

// Index in _Py_DebugOffsets of: (minor, 0,)
// tstate_frame, frame_previous, frame_code, frame_instr, frame_owner, frame_tlbc, code_filename, code_name,
// code_qualname, code_firstlineno, code_linetable, code_bytecode, code_tlbc, object_type, object_size,
// bytes_data, text_length, text_state, text_ascii
DEBUG(13, 0, 23, 29, 30, 31, 33, NO, 35, 36, 37, 39, 38, 43, NO, 45, 65, 66, 69, 68, 70)
DEBUG(14, 0, 26, 32, 33, 34, 36, 38, 40, 41, 42, 44, 43, 48, 49, 51, 75, 76, 79, 78, 80)
DEBUG(15, 0, 26, 40, 41, 42, 44, 46, 48, 49, 50, 52, 51, 56, 57, 59, 87, 88, 91, 90, 92)
// clang-format on
