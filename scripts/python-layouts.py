#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Offsets of CPython's structures, from the headers of the versions found here, beside shim/python/layout_rows.h.

    scripts/python-layouts.py           check the rows against the headers found (exit 1 when one differs)
    scripts/python-layouts.py --write   write the rows; those whose headers are not here stay as they are

Headers are looked for where pyenv, Debian's python3-dev and scripts/fetch-pythons.sh leave them; more include
directories may be named as arguments. Each is compiled for the build with the GIL (and, with Py_DEBUG, checked to
give the same row) and, from 3.13 on, for the free-threaded build.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROWS = os.path.join(ROOT, "shim", "python", "layout_rows.h")

# Column: the C expression for each version, most specific first; None = the version has no such field.
OLD = lambda minor: minor <= 10
NONE = "LAYOUT_NONE"
FRAME = "struct _PyInterpreterFrame"


def columns(minor, free_threaded):
    """(name, C expression) in the order of struct python_layout."""
    code = lambda field: f"offsetof(PyCodeObject, {field})"
    if OLD(minor):
        frame, executable, instruction = "struct _frame", "f_code", "f_lasti"
        previous, first, second = "f_back", "offsetof(PyThreadState, frame)", NONE
    else:
        frame = "_PyInterpreterFrame"
        previous = "previous"
        executable = "f_code" if minor <= 12 else "f_executable"
        instruction = "prev_instr" if minor <= 12 else "instr_ptr"
        if minor <= 12:
            first, second = "offsetof(PyThreadState, cframe)", "offsetof(_PyCFrame, current_frame)"
        else:
            first, second = "offsetof(PyThreadState, current_frame)", NONE
    tlbc = free_threaded and minor >= 14
    kind_shift, compact, ascii_ = (8, 11, 12) if tlbc else (2, 5, 6)
    return [
        ("minor", str(minor)),
        ("free_threaded", "1" if free_threaded else "0"),
        ("tstate_frame", first),
        ("tstate_frame2", second),
        ("tstate_thread_id", "offsetof(PyThreadState, thread_id)"),
        # Followed by context_ver.
        ("tstate_context", "CONTEXT"),
        ("tstate_id", "offsetof(PyThreadState, id)"),
        ("frame_previous", f"offsetof({frame}, {previous})"),
        ("frame_code", f"offsetof({frame}, {executable})"),
        ("frame_instr", f"offsetof({frame}, {instruction})"),
        ("frame_owner", f"offsetof({frame}, owner)" if minor >= 12 else NONE),
        ("frame_entry", f"offsetof({frame}, is_entry)" if minor == 11 else NONE),
        ("frame_tlbc", f"offsetof({frame}, tlbc_index)" if tlbc else NONE),
        ("frame_function", NONE if OLD(minor) else f"offsetof({frame}, {'f_func' if minor == 11 else 'f_funcobj'})"),
        ("code_filename", code("co_filename")),
        ("code_name", code("co_name")),
        ("code_qualname", code("co_qualname") if minor >= 11 else NONE),
        ("code_firstlineno", code("co_firstlineno")),
        ("code_flags", code("co_flags")),
        ("code_linetable", code("co_lnotab" if minor <= 9 else "co_linetable")),
        ("code_bytecode", code("co_code" if minor <= 10 else "co_code_adaptive")),
        ("code_tlbc", code("co_tlbc") if tlbc else NONE),
        ("object_type", "offsetof(PyObject, ob_type)"),
        ("object_size", "offsetof(PyVarObject, ob_size)"),
        ("type_name", "offsetof(PyTypeObject, tp_name)"),
        ("type_dealloc", "offsetof(PyTypeObject, tp_dealloc)"),
        ("bytes_data", "offsetof(PyBytesObject, ob_sval)"),
        ("text_length", "offsetof(PyASCIIObject, length)"),
        ("text_state", "offsetof(PyASCIIObject, state)"),
        ("text_ascii", "sizeof(PyASCIIObject)"),
        ("text_compact", "sizeof(PyCompactUnicodeObject)"),
        ("text_kind_shift", f"state_bit({kind_shift}, 1u << {kind_shift}, kind)"),
        ("text_compact_bit", f"state_bit({compact}, 1u << {compact}, compact)"),
        ("text_ascii_bit", f"state_bit({ascii_}, 1u << {ascii_}, ascii)"),
        ("owner_hidden", "HIDDEN" if minor >= 12 else "255"),
    ]


# Member of struct _Py_DebugOffsets for the columns that it has.
DEBUG = [
    ("tstate_frame", "thread_state.current_frame"),
    ("frame_previous", "interpreter_frame.previous"),
    ("frame_code", "interpreter_frame.executable"),
    ("frame_instr", "interpreter_frame.instr_ptr"),
    ("frame_owner", "interpreter_frame.owner"),
    ("frame_tlbc", "interpreter_frame.tlbc_index"),
    ("code_filename", "code_object.filename"),
    ("code_name", "code_object.name"),
    ("code_qualname", "code_object.qualname"),
    ("code_firstlineno", "code_object.firstlineno"),
    ("code_linetable", "code_object.linetable"),
    ("code_bytecode", "code_object.co_code_adaptive"),
    ("code_tlbc", "code_object.co_tlbc"),
    ("object_type", "pyobject.ob_type"),
    ("object_size", "bytes_object.ob_size"),
    ("bytes_data", "bytes_object.ob_sval"),
    ("text_length", "unicode_object.length"),
    ("text_state", "unicode_object.state"),
    ("text_ascii", "unicode_object.asciiobject_size"),
]

PROBE = r"""
#define Py_BUILD_CORE 1
#include <Python.h>
#include <frameobject.h>
#if PY_VERSION_HEX >= 0x030b0000
#include "internal/pycore_frame.h"
#include "internal/pycore_code.h"
#endif
#if PY_VERSION_HEX >= 0x030d0000
#include "internal/pycore_runtime.h"
#endif
#if __has_include("internal/pycore_debug_offsets.h")
#include "internal/pycore_debug_offsets.h"
#endif
#if __has_include("internal/pycore_interpframe.h")
#include "internal/pycore_interpframe.h"
#endif
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#define LAYOUT_NONE 65535
#define CONTEXT (offsetof(PyThreadState, context_ver) == offsetof(PyThreadState, context) + 8 ? offsetof(PyThreadState, context) : 0)
#define MEMBER(field) (offsetof(struct _Py_DebugOffsets, field) / 8)
#if PY_VERSION_HEX >= 0x030e0000
#define HIDDEN FRAME_OWNED_BY_INTERPRETER
#elif PY_VERSION_HEX >= 0x030c0000
#define HIDDEN FRAME_OWNED_BY_CSTACK
#endif
/* `bit`, once the bit field's lowest bit has been seen to be there. */
#define state_bit(bit, mask, field)                                                                                    \
    ({                                                                                                                 \
        PyASCIIObject text;                                                                                            \
        memset(&text, 0, sizeof text);                                                                                 \
        text.state.field = 1;                                                                                          \
        unsigned word;                                                                                                 \
        memcpy(&word, &text.state, sizeof word);                                                                       \
        word == (mask) ? (bit) : 254;                                                                                  \
    })
int main(void)
{
%s
    return 0;
}
"""


def compile_and_run(include, statements, defines):
    with tempfile.TemporaryDirectory() as directory:
        source, binary = os.path.join(directory, "probe.c"), os.path.join(directory, "probe")
        with open(source, "w") as out:
            out.write(PROBE.replace("%s", statements))
        # Debian keeps pyconfig.h of each architecture beside the shared headers.
        name = os.path.basename(include)
        extra = ["-I" + path for path in glob.glob(os.path.join(os.path.dirname(include), "*-linux-gnu"))]
        extra += ["-I" + path for path in glob.glob(os.path.join(os.path.dirname(include), "*-linux-gnu", name))]
        command = ["gcc", "-w", "-I" + include, "-I" + os.path.join(include, "internal"),
                   "-I" + os.path.dirname(include), *extra, *defines, source, "-o", binary]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(f"{include} {' '.join(defines)}: {done.stderr.strip().splitlines()[:5]}")
        return [int(word) for word in subprocess.run([binary], stdout=subprocess.PIPE, text=True).stdout.split()]


def include_directories(arguments):
    patterns = [
        os.path.expanduser("~/.pyenv/versions/*/include/python3.*"),
        "/usr/include/python3.*",
        os.path.join(ROOT, "build", "pythons", "*", "root", "usr", "include", "python3.*"),
    ]
    found = list(arguments)
    for pattern in patterns:
        found += sorted(glob.glob(pattern))
    for path in found:
        match = re.fullmatch(r"python3\.(\d+)t?", os.path.basename(path.rstrip("/")))
        if match and 8 <= int(match.group(1)) <= 15 and os.path.isdir(os.path.join(path, "internal")):
            yield int(match.group(1)), path.rstrip("/")


def rows_of(minor, include):
    """[(kind, row)]: kind is "LAYOUT" or "DEBUG"; a row's first two numbers are its key."""
    result = []
    # The headers of a free-threaded installation are those of that build alone.
    builds = [True] if include.endswith("t") else [False, True] if minor >= 13 else [False]
    for free_threaded in builds:
        names = columns(minor, free_threaded)
        statements = "".join(f'    printf("%d ", (int)({expression}));\n' for _, expression in names)
        gil = ["-DPy_GIL_DISABLED=1"] if free_threaded else []
        row = compile_and_run(include, statements, gil)
        if 254 in row[-4:-1]:
            raise RuntimeError(f"{include}: the bits of str's state are elsewhere")
        if compile_and_run(include, statements, gil + ["-DPy_DEBUG=1"]) != row:
            raise RuntimeError(f"{include}: the debug build differs")
        result.append(("LAYOUT", row))
    if minor >= 13:
        fields = [f"MEMBER({member})" if minor >= 14 or "tlbc" not in member else NONE for _, member in DEBUG]
        statements = f'    printf("{minor} 0 ");\n' + "".join(f'    printf("%d ", (int)({f}));\n' for f in fields)
        result.append(("DEBUG", compile_and_run(include, statements, [])))
    return result


def read_rows():
    rows = {}
    if os.path.exists(ROWS):
        for kind, text in re.findall(r"^(LAYOUT|DEBUG)\(([^)]*)\)", open(ROWS).read(), re.M):
            row = [65535 if word.strip() == "NO" else int(word) for word in text.split(",")]
            rows[kind, row[0], row[1]] = row
    return rows


def comment(names):
    lines, line = [], "//"
    for number, name in enumerate(names):
        word = f" {name}" + ("," if number + 1 < len(names) else "")
        if len(line + word) > 108:
            lines.append(line)
            line = "//"
        line += word
    return "\n".join(lines + [line])


def write_rows(rows):
    text = "// SPDX-License-Identifier: MIT\n//\n"
    text += "// Where CPython keeps what we read: written and checked by scripts/python-layouts.py, see layout.h.\n\n"
    text += "// clang-format off\n"
    text += comment([name for name, _ in columns(8, False)]) + "\n"
    word = lambda value: "NO" if value == 65535 else str(value)
    for kind in "LAYOUT", "DEBUG":
        for key in sorted(rows):
            if key[0] == kind:
                text += f"{kind}({', '.join(word(value) for value in rows[key])})\n"
        if kind == "LAYOUT":
            text += "\n// Index in _Py_DebugOffsets of: (minor, 0,)\n"
            text += comment([name for name, _ in DEBUG]) + "\n"
    text += "// clang-format on\n"
    with open(ROWS, "w") as out:
        out.write(text)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--write"]
    rows, passed, failed, seen = read_rows(), 0, 0, set()
    for minor, include in include_directories(arguments):
        try:
            found = rows_of(minor, include)
        except RuntimeError as problem:
            print(f"FAIL {problem}")
            failed += 1
            continue
        for kind, row in found:
            key = (kind, row[0], row[1])
            if "--write" in sys.argv and key not in seen:
                rows[key] = row
            seen.add(key)
            if rows.get(key) == row:
                passed += 1
            else:
                failed += 1
                print(f"FAIL {include}: {kind} is {row}, recorded as {rows.get(key)}")
    if "--write" in sys.argv:
        write_rows(rows)
    unseen = sorted(set(rows) - seen)
    for key in unseen:
        print(f"SKIP {key[0]} 3.{key[1]}{'t' if key[2] else ''}: no headers of that version here")
    print(f"{passed} passed, {failed} failed, {len(unseen)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
