// SPDX-License-Identifier: MIT
//
// See origin.h.

#include "shim/origin.h"
#include "shim/place.h"
#include "shim/scope_path.h"
#include "shim/stack.h"

#include <string.h>

#define ORIGIN_TEXT 4096 // bytes for a file's and a function's name

// `python -c` and what is read from standard input has no file.
static bool origin_is_typed(const struct python_location *location) {
    static const char frozen[] = "<frozen ";
    return location->file_length && location->file[0] == '<' &&
           (location->file_length < sizeof frozen - 1 ||
            memcmp(location->file, frozen, sizeof frozen - 1) != 0);
}

// The number of the frame's function and its line, if it is the program's own; else 0.
static uint32_t origin_function(const struct python_frame *frame, bool outermost, uint32_t *line) {
    char text[ORIGIN_TEXT];
    struct python_location location;
    uint32_t *known = python_function(frame, line);
    if (known && *known && (shim.functions_own[*known] || !outermost))
        return shim.functions_own[*known] ? *known : 0;
    if (!python_locate(frame, &location, text, sizeof text))
        return 0;
    const struct place_text file = {location.file, location.file_length},
                            name = {location.name, location.name_length};
    if (!place_is_own(file) && !(outermost && origin_is_typed(&location)))
        return 0;
    *line = location.line;
    return place_python_function(file, name, location.first_line);
}

uint32_t origin_find(struct thread *thread) {
    const uint32_t inherited = scope_path_origin();
    const struct python_stack *python = stack_python_now(thread);
    if (!python)
        return inherited;
    enum lock_got locked = lock_take(&shim.lock);
    if (locked == LOCK_REFUSED)
        return 0;
    uint32_t number = 0;
    for (uint32_t i = python->depth; i-- && !number;) {
        uint32_t line, function = origin_function(&python->frames[i], i == 0, &line);
        if (function)
            number = place_threads(function, line);
    }
    lock_drop(&shim.lock, locked);
    return number ? number : inherited;
}
