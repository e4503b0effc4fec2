// SPDX-License-Identifier: MIT
//
// Which functions are the user's own. See users.h.

#include "reporter/users.h"

#include <stdlib.h>
#include <string.h>

#include "reporter/text.h"

static bool contains_any(const char *text, const char *const *parts, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strstr(text, parts[i]))
            return true;
    return false;
}

static bool is_installed_python(const char *file) {
    static const char *const parts[] = {"/site-packages/",
                                        "/dist-packages/",
                                        "/lib/python2.",
                                        "/lib/python3",
                                        "/lib64/python3",
                                        "<frozen ",
                                        "<__array_function__",
                                        "/python/peakline/",
                                        "/python/memory_profiler.py",
                                        "/python/sitecustomize.py"};
    return contains_any(file, parts, sizeof parts / sizeof *parts);
}

static bool is_system_source(const char *file) {
    static const char *const parts[] = {"/include/c++/", "/usr/include/", "/usr/lib/", "/usr/src/",
                                        "/rustc/"};
    return contains_any(file, parts, sizeof parts / sizeof *parts);
}

// Without a file, or from "<stdin>", "<string>", "<ipython-input-1>": the user's if there is nothing better.
// Libraries and the C library's startup code make such functions, too.
static bool is_without_file(const struct model_function *function) {
    return !function->file || function->file[0] == '<';
}

// Could be what a package has put among the programs to be started by its name: "bin/NAME".
static bool is_in_bin(const struct model_function *function) {
    const char *name = text_basename(function->file);
    size_t directory = (size_t)(name - function->file);
    return function->language == RECORD_PYTHON && !strchr(name, '.') && directory >= 5 &&
           memcmp(name - 5, "/bin/", 5) == 0;
}

// Such a file is a launcher when it has nothing to do but to call.
static bool is_launcher(const struct model_process *process, const struct model_function *function) {
    if (!function->file || !is_in_bin(function))
        return false;
    for (uint32_t i = 0; i < process->function_count; i++)
        if (process->functions[i].file == function->file && &process->functions[i] != function)
            return false;
    return strcmp(function->name, "<module>") == 0;
}

// What is handed to exec as a string has this name when nobody gave it another: `python -c`, of which it is the
// outermost function; but also namedtuple, and lines of *.pth files.
static bool is_nameless(const struct model_function *function) {
    return function->language == RECORD_PYTHON && function->file && strcmp(function->file, "<string>") == 0;
}

static bool is_candidate(const struct model_process *process, const struct model_function *function,
                         struct source_cache *sources) {
    if (function->language == RECORD_SCOPE)
        return false;
    if (function->language == RECORD_PYTHON)
        return function->file && !is_installed_python(function->file) && !is_launcher(process, function);
    if (function->file && is_system_source(function->file))
        return false;
    // The program itself, with or without debug information; but not the interpreter of a Python program.
    if (!process->python_version && function->module && process->executable &&
        strcmp(function->module, process->executable) == 0)
        return true;
    return source_line_count(source_open(sources, function->file, process->cwd)) > 0;
}

// Sets those whose code was on a stack, but never as the outermost of Python's.
static bool *find_inner(const struct model_process *process) {
    const struct reader_image *image = process->image;
    bool *outermost = memory_alloc(process->function_count, sizeof *outermost);
    bool *inner = memory_alloc(process->function_count, sizeof *inner);
    bool *beneath = memory_alloc(image->node_count, sizeof *beneath); // there is Python on the path
    for (uint32_t i = 0; i < process->order_count; i++) {
        uint32_t number = process->order[i], frame = image->nodes[number].frame;
        beneath[number] = beneath[image->nodes[number].parent];
        for (uint32_t at = process->first_level[frame]; frame && at < process->first_level[frame + 1]; at++) {
            uint32_t function = process->lines[process->levels[at]].function;
            if (process->functions[function].language != RECORD_PYTHON)
                continue;
            (beneath[number] ? inner : outermost)[function] = true;
            beneath[number] = true;
        }
    }
    for (uint32_t i = 0; i < process->function_count; i++)
        inner[i] = inner[i] && !outermost[i];
    free(outermost);
    free(beneath);
    return inner;
}

bool *users_find(const struct model_process *process, struct source_cache *sources) {
    const uint32_t count = process->function_count;
    bool *user = memory_alloc(count, sizeof *user), in_files = false, any = false;
    for (uint32_t i = 0; i < count; i++) {
        user[i] = is_candidate(process, &process->functions[i], sources);
        in_files |= user[i] && !is_without_file(&process->functions[i]);
    }
    bool *inner = in_files ? NULL : find_inner(process);
    for (uint32_t i = 0; i < count; i++) {
        const struct model_function *function = &process->functions[i];
        if (user[i] && is_without_file(function) && (in_files || (is_nameless(function) && inner[i])))
            user[i] = false;
        any |= user[i];
    }
    free(inner);
    for (uint32_t i = 0; !any && i < count; i++)
        user[i] = process->functions[i].language == RECORD_PYTHON && !is_without_file(&process->functions[i]);
    return user;
}
