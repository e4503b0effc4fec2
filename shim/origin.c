// SPDX-License-Identifier: MIT
//
// See origin.h.

#include "shim/origin.h"
#include "shim/place.h"
#include "shim/scope_path.h"
#include "shim/stack.h"

#include <string.h>

#define ORIGIN_TEXT 4096 // bytes for a file's and a function's name
#define ORIGIN_NAME 256  // bytes of a name instead of a file's

static bool origin_begins(struct place_text text, const char *with) {
    const size_t length = __builtin_strlen(with);
    return text.length >= length && memcmp(text.bytes, with, length) == 0;
}

static bool origin_ends(struct place_text text, const char *with) {
    const size_t length = __builtin_strlen(with);
    return text.length >= length && memcmp(text.bytes + text.length - length, with, length) == 0;
}

// What people type in has names of its own (as reporter/users.c has it). `typed`: of `python -c` or standard
// input.
static bool origin_is_own(struct place_text file, struct place_text typed) {
    static const char *const begins[] = {"<ipython-input", "<python-input", "<pyshell#",   "<console>",
                                         "<stdin>",        "<doctest ",     "<timeit-src>"};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (origin_begins(file, begins[i]))
            return true;
    return place_is_own(file) ||
           (file.length && file.length == typed.length && memcmp(file.bytes, typed.bytes, file.length) == 0);
}

// Up to 3.11 they are functions of their own, for Python, not for who reads the program.
static bool origin_is_comprehension(struct place_text name) {
    return origin_ends(name, "<listcomp>") || origin_ends(name, "<setcomp>") ||
           origin_ends(name, "<dictcomp>") || origin_ends(name, "<genexpr>");
}

// The frame's number, if its line is the program's own; else 0.
static uint32_t origin_number(const struct python_frame *frame, struct place_text typed) {
    char text[ORIGIN_TEXT];
    struct python_location location;
    uint32_t line;
    const uint32_t *known = python_function(frame, &line);
    if ((known && *known && place_is_library(*known)) || !python_locate(frame, &location, text, sizeof text))
        return 0;
    const struct place_text file = {location.file, location.file_length},
                            name = {location.name, location.name_length};
    if (!origin_is_own(file, typed) || origin_is_comprehension(name))
        return 0;
    const uint32_t function = place_python_function(file, name, location.first_line);
    return function ? place_threads(function, location.line) : 0;
}

// The outermost frame's file, if it has a name instead of one; `buffer` receives it.
static struct place_text origin_typed(const struct python_frame *outermost, char buffer[ORIGIN_NAME]) {
    char text[ORIGIN_TEXT];
    struct python_location location;
    if (!python_locate(outermost, &location, text, sizeof text) || location.file_length > ORIGIN_NAME)
        return (struct place_text){NULL, 0};
    const struct place_text file = {location.file, location.file_length};
    if (!origin_begins(file, "<") || origin_begins(file, "<frozen "))
        return (struct place_text){NULL, 0};
    memcpy(buffer, file.bytes, file.length);
    return (struct place_text){buffer, file.length};
}

uint32_t origin_find(struct thread *thread) {
    char buffer[ORIGIN_NAME];
    uint32_t number = scope_path_origin();
    const struct python_stack *python = stack_python_now(thread);
    if (!python)
        return number;
    enum lock_got locked = lock_take(&shim.lock);
    if (locked != LOCK_REFUSED) {
        const struct place_text typed = origin_typed(&python->frames[0], buffer);
        uint32_t own = 0;
        for (uint32_t i = python->depth; i-- && !own;)
            own = origin_number(&python->frames[i], typed);
        if (own)
            number = own;
        lock_drop(&shim.lock, locked);
    }
    stack_forget(thread); // its frames have been looked at, and not their nodes
    return number;
}
