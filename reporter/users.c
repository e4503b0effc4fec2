// SPDX-License-Identifier: MIT
//
// Which functions are the user's own. See users.h.

#include "reporter/users.h"

#include <stdlib.h>
#include <string.h>

#include "reporter/metrics.h"
#include "reporter/text.h"

#define USERS_LITTLE 10         // one in so many of the peak's bytes
#define USERS_START 2           // functions: main, and the one that has it called
#define USERS_MATTERS (4 << 20) // bytes: below, the interpreter's own start is much of it

static bool contains_any(const char *text, const char *const *parts, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strstr(text, parts[i]))
            return true;
    return false;
}

// The shim spares lines by the same names (shim/place.c).
static bool is_installed_python(const char *file) {
    static const char *const parts[] = {"/site-packages/",
                                        "/dist-packages/",
                                        "/lib/python2.",
                                        "/lib/python3.",
                                        "/lib/python3/",
                                        "/lib64/python",
                                        "<frozen ",
                                        "<__array_function__",
                                        "/python/peakline/",
                                        "/python/memory_profiler.py",
                                        "/python/sitecustomize.py"};
    return contains_any(file, parts, sizeof parts / sizeof *parts);
}

static bool is_system_source(const char *file) {
    static const char *const parts[] = {"/include/c++/",     "/usr/include/", "/usr/lib/",
                                        "/usr/src/",         "/rustc/",       "/rust/deps/",
                                        "/.cargo/registry/", "/.cargo/git/"};
    return contains_any(file, parts, sizeof parts / sizeof *parts);
}

// Where distributions and installers put libraries.
static bool is_system_module(const char *module) {
    static const char *const begins[] = {"/usr/", "/lib", "/opt/", "/snap/", "/nix/", "/gnu/", "["};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(module, begins[i], strlen(begins[i])) == 0)
            return true;
    return strstr(module, "/libpeakline.so") != NULL;
}

// Without a file, or from "<stdin>", "<string>", "<ipython-input-1>". Libraries and the C library's startup
// code make such functions, too.
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

// The function itself, or the one whose threads these are.
static const char *starter_of(const struct model_function *function) {
    return function->starter ? function->starter : function->name;
}

// Such a file may be a launcher, which has nothing to do but to call, when it has no functions.
static bool may_be_launcher(const struct model_process *process, const struct model_function *function) {
    if (!function->file || !is_in_bin(function))
        return false;
    for (uint32_t i = 0; i < process->function_count; i++)
        if (process->functions[i].file == function->file &&
            strcmp(starter_of(&process->functions[i]), "<module>") != 0)
            return false;
    return strcmp(starter_of(function), "<module>") == 0;
}

static bool is_nameless(const struct model_function *function) {
    return function->language == RECORD_PYTHON && function->file && is_without_file(function);
}

// What people type in is called by a shell's or a test runner's code.
static bool is_typed(const char *file) {
    static const char *const begins[] = {"<ipython-input", "<python-input", "<pyshell#",   "<console>",
                                         "<stdin>",        "<doctest ",     "<timeit-src>"};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(file, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

static bool is_candidate(const struct model_process *process, const struct model_function *function,
                         struct source_cache *sources) {
    if (function->language == RECORD_SCOPE)
        return false;
    if (function->language == RECORD_PYTHON)
        return function->file && !is_installed_python(function->file);
    if (function->file && is_system_source(function->file))
        return false;
    // The program itself and its own libraries, with or without debug information; but not the interpreter of
    // a Python program.
    if (!process->python_version && function->module &&
        ((process->executable && strcmp(function->module, process->executable) == 0) ||
         !is_system_module(function->module)))
        return true;
    return source_line_count(source_open(sources, function->file, process->cwd)) > 0;
}

// Sets the functions that were the outermost of Python's on a stack.
static bool *find_outermost(const struct model_process *process) {
    const struct reader_image *image = process->image;
    bool *outermost = memory_alloc(process->function_count, sizeof *outermost);
    bool *beneath = memory_alloc(image->node_count, sizeof *beneath); // there is Python on the path
    for (uint32_t i = 0; i < process->order_count; i++) {
        uint32_t number = process->order[i], frame = image->nodes[number].frame;
        beneath[number] = beneath[image->nodes[number].parent];
        for (uint32_t at = process->first_level[frame]; frame && at < process->first_level[frame + 1]; at++) {
            uint32_t function = process->lines[process->levels[at]].function;
            if (process->functions[function].language != RECORD_PYTHON)
                continue;
            outermost[function] |= !beneath[number];
            beneath[number] = true;
        }
    }
    free(beneath);
    return outermost;
}

static bool has_outermost(const struct model_process *process, const bool *outermost, const char *file) {
    for (uint32_t i = 0; i < process->function_count; i++)
        if (outermost[i] && process->functions[i].file == file)
            return true;
    return false;
}

// Takes those out that libraries have made from text: the files' names are of no use to tell. A program is
// not called (`python -c`), or has been typed in.
static void drop_generated(const struct model_process *process, bool *user) {
    bool *outermost = find_outermost(process);
    for (uint32_t i = 0; i < process->function_count; i++) {
        const struct model_function *function = &process->functions[i];
        if (user[i] && is_nameless(function) && !is_typed(function->file) &&
            !has_outermost(process, outermost, function->file))
            user[i] = false;
    }
    free(outermost);
}

static void drop_native_without_file(const struct model_process *process, bool *user) {
    bool in_files = false;
    for (uint32_t i = 0; i < process->function_count; i++)
        in_files |= user[i] && !is_without_file(&process->functions[i]);
    for (uint32_t i = 0; in_files && i < process->function_count; i++)
        if (process->functions[i].language == RECORD_NATIVE && is_without_file(&process->functions[i]))
            user[i] = false;
}

// Sums of lines by their functions; frees `lines`. *sum: all together.
static int64_t *by_function(const struct model_process *process, int64_t *lines, int64_t *sum) {
    int64_t *of = memory_alloc(process->function_count, sizeof *of);
    *sum = 0;
    for (uint32_t i = 0; i < process->line_count; i++) {
        of[process->lines[i].function] = model_add(of[process->lines[i].function], lines[i]);
        *sum = model_add(*sum, lines[i]);
    }
    free(lines);
    return of;
}

// What each function of a set held at the peak, with what it called outside of the set; and all together.
static int64_t *find_held(const struct model_process *process, const bool *set, int64_t *sum) {
    return by_function(process, metrics_share_peak(process, set), sum);
}

// Takes out the lines that started threads where most of what these allocated is on lines of the user's own
// anyway.
static void drop_own_threads(const struct model_process *process, bool *user) {
    bool *starts = memory_alloc(process->function_count, sizeof *starts), any = false;
    for (uint32_t i = 0; i < process->function_count; i++)
        any |= starts[i] = process->functions[i].starter != NULL;
    if (any) {
        int64_t sum, *all = by_function(process, metrics_share_allocated(process, starts), &sum);
        int64_t *others = by_function(process, metrics_share_allocated(process, user), &sum);
        for (uint32_t i = 0; i < process->function_count; i++)
            if (starts[i] && others[i] <= all[i] / USERS_LITTLE)
                user[i] = false;
        free(all);
        free(others);
    }
    free(starts);
}

// Takes launchers out, and `python -c` where it has only called what is in files, as multiprocessing does it.
// `held`: with all of Python's in the set, or with the user's own.
static void drop_callers(const struct model_process *process, bool *user, const int64_t *held_of_all,
                         const int64_t *held_of_user, int64_t sum_of_user) {
    bool in_files = false;
    for (uint32_t i = 0; i < process->function_count; i++) {
        if (user[i] && may_be_launcher(process, &process->functions[i]) &&
            held_of_all[i] <= process->image->header.heap_peak / USERS_LITTLE)
            user[i] = false;
        in_files |= user[i] && !is_without_file(&process->functions[i]);
    }
    for (uint32_t i = 0; in_files && i < process->function_count; i++)
        if (is_nameless(&process->functions[i]) && held_of_user[i] <= sum_of_user / USERS_LITTLE)
            user[i] = false;
}

// Whether native functions are to be shown of which nothing but the name is known, too: where the others have
// to do with little of what there is. Some of a program's parts may have debug information, or what is linked
// into it.
static bool is_too_little_native(const struct model_process *process, const bool *user) {
    int64_t sum;
    free(find_held(process, user, &sum));
    return !process->python_version && sum < process->image->header.heap_peak / USERS_LITTLE;
}

// Whether Python functions are to be shown whoever has made them: there are none of the user's, or these have
// to do with little of what there is.
static bool is_too_little(const struct model_process *process, const bool *user, int64_t sum_of_all) {
    bool any = false;
    int64_t sum, peak = process->image->header.heap_peak;
    for (uint32_t i = 0; i < process->function_count; i++)
        any |= user[i];
    free(find_held(process, user, &sum));
    return !any || (peak >= USERS_MATTERS && sum < peak / USERS_LITTLE && sum_of_all >= peak / 2);
}

// What each function held at the peak, with all beneath, where the last of the user's functions on the path
// had called it.
static int64_t *find_called(const struct model_process *process, const bool *user) {
    const struct reader_image *image = process->image;
    int64_t *held = memory_alloc(process->function_count, sizeof *held);
    // Per node: that function's number + 1; 0 = there is none.
    uint32_t *called = memory_alloc(image->node_count, sizeof *called);
    bool *own = memory_alloc(image->node_count, sizeof *own); // its innermost function is the user's
    for (uint32_t i = 0; i < process->order_count; i++) {
        const uint32_t number = process->order[i], parent = image->nodes[number].parent;
        const uint32_t frame = image->nodes[number].frame;
        called[number] = called[parent];
        own[number] = own[parent];
        for (uint32_t at = process->first_level[frame]; frame && at < process->first_level[frame + 1]; at++) {
            const uint32_t function = process->lines[process->levels[at]].function;
            if (user[function])
                called[number] = 0;
            else if (own[number])
                called[number] = function + 1;
            own[number] = user[function];
        }
        if (called[number])
            held[called[number] - 1] =
                model_add(held[called[number] - 1], metrics_of_node(process, number).at_peak);
    }
    free(called);
    free(own);
    return held;
}

// The module that held half of the peak, by what its functions held; NULL: there is none.
static const char *find_main_module(const struct model_process *process, const int64_t *held) {
    struct map *numbers = map_new();
    int64_t *sums = memory_alloc(process->function_count, sizeof *sums);
    const char *found = NULL;
    for (uint32_t i = 0; i < process->function_count; i++) {
        const char *module = process->functions[i].module;
        if (!held[i] || !module)
            continue;
        int64_t *sum = &sums[map_number(numbers, (struct map_key){{(uintptr_t)module}}, NULL)];
        *sum = model_add(*sum, held[i]);
        if (*sum > process->image->header.heap_peak / 2)
            found = module;
    }
    free(sums);
    map_free(numbers);
    return found;
}

// A program whose own code, of which nothing but names is known, does nothing but start that of a library (R,
// ruby, LibreOffice): then that library is the program.
static void add_main_library(const struct model_process *process, bool *user) {
    size_t own = 0;
    bool in_files = false;
    for (uint32_t i = 0; i < process->function_count; i++) {
        own += user[i];
        in_files |= user[i] && !is_without_file(&process->functions[i]);
    }
    if (process->python_version || in_files || !own || own > USERS_START)
        return;
    int64_t *held = find_called(process, user);
    const char *module = find_main_module(process, held);
    for (uint32_t i = 0; module && i < process->function_count; i++)
        user[i] |= process->functions[i].module == module;
    free(held);
}

bool *users_find(const struct model_process *process, struct source_cache *sources, bool *all) {
    const uint32_t count = process->function_count;
    bool *user = memory_alloc(count, sizeof *user), *python = memory_alloc(count, sizeof *python);
    bool any = false;
    for (uint32_t i = 0; i < count; i++)
        user[i] = is_candidate(process, &process->functions[i], sources);
    bool *wide = memory_alloc(count, sizeof *wide);
    if (count)
        memcpy(wide, user, count * sizeof *wide);
    drop_native_without_file(process, user);
    if (is_too_little_native(process, user) && count)
        memcpy(user, wide, count * sizeof *wide);
    free(wide);
    add_main_library(process, user);
    drop_generated(process, user);
    drop_own_threads(process, user);
    for (uint32_t i = 0; i < count; i++) {
        python[i] = process->functions[i].language == RECORD_PYTHON &&
                    (user[i] || !is_without_file(&process->functions[i]));
        any |= python[i];
    }
    *all = false;
    if (any) {
        int64_t sum_of_all, sum_of_user;
        int64_t *held_of_all = find_held(process, python, &sum_of_all);
        int64_t *held_of_user = find_held(process, user, &sum_of_user);
        drop_callers(process, user, held_of_all, held_of_user, sum_of_user);
        free(held_of_all);
        free(held_of_user);
        *all = is_too_little(process, user, sum_of_all);
    }
    free(*all ? user : python);
    return *all ? python : user;
}
