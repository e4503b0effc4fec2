// SPDX-License-Identifier: MIT
//
// What of a report to show. See select.h.

#include "reporter/select.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "reporter/text.h"

static const char *const column_names[] = {"peak",    "mem-usage",    "increment", "allocations", "allocated",
                                           "at-peak", "live-at-exit", "freed",     "temporary",   "file"};

bool select_parse_column(const char *name, enum select_column *column) {
    for (size_t i = 0; i < sizeof column_names / sizeof *column_names; i++) {
        size_t at = 0; // "_" is as good as "-": the JSON report has names with it
        while (name[at] &&
               (name[at] == column_names[i][at] || (name[at] == '_' && column_names[i][at] == '-')))
            at++;
        if (!name[at] && !column_names[i][at]) {
            *column = (enum select_column)i;
            return true;
        }
    }
    return false;
}

const char *select_column_names(void) {
    return "peak, mem-usage, increment, allocations, allocated, at-peak, live-at-exit, freed, temporary, "
           "file";
}

// ---- filters ----

bool select_process(const struct select_options *options, const struct model_process *process) {
    const struct record_header *header = &process->image->header;
    return (!options->pid || header->pid == options->pid) &&
           (!options->image || header->image == options->image - 1);
}

static bool match_file(const char *glob, const char *file) {
    return file && (fnmatch(glob, file, 0) == 0 || fnmatch(glob, text_basename(file), 0) == 0);
}

// The whole name, or the name without a C++ parameter list.
static bool match_native(const char *glob, const char *name) {
    if (fnmatch(glob, name, 0) == 0)
        return true;
    const char *parameters = strchr(name, '(');
    if (!parameters || parameters == name)
        return false;
    char *plain = memory_copy(name, (size_t)(parameters - name));
    bool matches = fnmatch(glob, plain, 0) == 0;
    free(plain);
    return matches;
}

// A qualified name, whole or its last part.
static bool match_python(const char *glob, const char *name) {
    const char *dot = strrchr(name, '.');
    return fnmatch(glob, name, 0) == 0 || (dot && dot[1] && fnmatch(glob, dot + 1, 0) == 0);
}

// A native function by any of its names; a Python one also by the last part of its qualified name, and the
// threads of a function by that one's, too.
static bool match_function(const char *glob, const struct model_function *function) {
    if (function->language == RECORD_PYTHON)
        return match_python(glob, function->name) ||
               (function->starter && match_python(glob, function->starter));
    if (match_native(glob, function->name))
        return true;
    for (size_t i = 0; function->aliases && function->aliases[i]; i++)
        if (match_native(glob, function->aliases[i]))
            return true;
    return false;
}

static bool function_selected(const struct model_process *process, uint32_t number, const char *file,
                              const struct select_options *options) {
    const struct model_function *function = &process->functions[number];
    if (function->language == RECORD_SCOPE)
        return false;
    if (options->function && !match_function(options->function, function))
        return false;
    return !options->file || match_file(options->file, file);
}

// ---- order ----

struct order {
    uint32_t number;
    const struct metrics_entry *entry;
    const char *file, *name;
    uint32_t line;
    enum select_column sort;
};

static int compare_strings(const char *a, const char *b) {
    if (!a || !b)
        return (a == NULL) - (b == NULL);
    return strcmp(a, b);
}

static int compare_places(const struct order *x, const struct order *y) {
    int files = compare_strings(x->file, y->file);
    if (files)
        return files;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return compare_strings(x->name, y->name);
}

static int64_t column_value(const struct metrics_entry *entry, enum select_column column) {
    const struct metrics_measure *total = &entry->total;
    switch (column) {
    case SELECT_PEAK:
        return total->peak;
    case SELECT_MEM_USAGE:
        return entry->mem_usage;
    case SELECT_INCREMENT:
        return model_add(model_signed(total->allocated_bytes), -model_signed(total->freed_bytes));
    case SELECT_ALLOCATIONS:
        return model_signed(total->allocations);
    case SELECT_ALLOCATED:
        return model_signed(total->allocated_bytes);
    case SELECT_AT_PEAK:
        return total->at_peak;
    case SELECT_LIVE_AT_EXIT:
        return total->live;
    case SELECT_FREED:
        return model_signed(total->freed_bytes);
    case SELECT_TEMPORARY:
        return model_signed(total->temporary);
    case SELECT_FILE:
        break;
    }
    return 0;
}

// Where nobody knows which line has freed, what it still holds at the end stands for its increment.
static enum select_column sort_by(const struct metrics *metrics, enum select_column wanted) {
    return wanted == SELECT_INCREMENT && !metrics->frees_known ? SELECT_LIVE_AT_EXIT : wanted;
}

bool select_key(const struct metrics *metrics, const struct metrics_entry *entry, enum select_column sort,
                struct select_key *key) {
    static const char *const names[] = {
        [SELECT_PEAK] = NULL,
        [SELECT_MEM_USAGE] = "mem usage",
        [SELECT_INCREMENT] = "increment",
        [SELECT_ALLOCATIONS] = "allocations",
        [SELECT_ALLOCATED] = "allocated",
        [SELECT_AT_PEAK] = "at the process's peak",
        [SELECT_LIVE_AT_EXIT] = "live at the end",
        [SELECT_FREED] = "freed",
        [SELECT_TEMPORARY] = "temporary allocations",
        [SELECT_FILE] = NULL,
    };
    sort = sort_by(metrics, sort);
    *key = (struct select_key){
        .name = names[sort],
        .value = column_value(entry, sort),
        .counts = sort == SELECT_ALLOCATIONS || sort == SELECT_TEMPORARY,
    };
    return key->name != NULL;
}

static int compare_orders(const void *a, const void *b) {
    const struct order *x = a, *y = b;
    int64_t left = column_value(x->entry, x->sort), right = column_value(y->entry, y->sort);
    if (left != right)
        return left > right ? -1 : 1;
    // A caller before what it calls, as a rule: it allocated at least as much.
    uint64_t x_bytes = x->entry->total.allocated_bytes, y_bytes = y->entry->total.allocated_bytes;
    if (x->sort != SELECT_FILE && x_bytes != y_bytes)
        return x_bytes > y_bytes ? -1 : 1;
    return compare_places(x, y);
}

static uint32_t *finish(struct order *orders, size_t found, const struct select_options *options,
                        size_t *count) {
    if (found)
        qsort(orders, found, sizeof *orders, compare_orders);
    if (options->top && found > options->top)
        found = options->top;
    uint32_t *numbers = memory_alloc(found, sizeof *numbers);
    for (size_t i = 0; i < found; i++)
        numbers[i] = orders[i].number;
    free(orders);
    *count = found;
    return numbers;
}

uint32_t *select_lines(const struct model_process *process, const struct metrics *metrics,
                       const struct select_options *options, size_t *count) {
    struct order *orders = memory_alloc(process->line_count, sizeof *orders);
    size_t found = 0;
    for (uint32_t i = 0; i < process->line_count; i++) {
        const struct model_line *line = &process->lines[i];
        if ((metrics->lines[i].contexts || metrics->lines[i].folded) &&
            function_selected(process, line->function, line->file, options))
            orders[found++] = (struct order){.number = i,
                                             .entry = &metrics->lines[i],
                                             .file = line->file,
                                             .name = process->functions[line->function].name,
                                             .line = line->line,
                                             .sort = sort_by(metrics, options->sort)};
    }
    return finish(orders, found, options, count);
}

uint32_t *select_functions(const struct model_process *process, const struct metrics *metrics,
                           const struct select_options *options, size_t *count) {
    struct order *orders = memory_alloc(process->function_count, sizeof *orders);
    size_t found = 0;
    for (uint32_t i = 0; i < process->function_count; i++) {
        const struct model_function *function = &process->functions[i];
        if ((metrics->functions[i].contexts || metrics->functions[i].folded) &&
            function_selected(process, i, function->file, options))
            orders[found++] = (struct order){.number = i,
                                             .entry = &metrics->functions[i],
                                             .file = function->file,
                                             .name = function->name,
                                             .line = function->first_line,
                                             .sort = sort_by(metrics, options->sort)};
    }
    return finish(orders, found, options, count);
}

static bool is_chosen(const struct select_options *options, uint32_t number) {
    for (size_t i = 0; i < options->chosen_count; i++)
        if (options->chosen[i] == number)
            return true;
    return number && !options->chosen;
}

static const struct model_function *choosing; // qsort has no argument for it; one thread

static int compare_chosen(const void *a, const void *b) {
    const struct model_function *x = &choosing[*(const uint32_t *)a], *y = &choosing[*(const uint32_t *)b];
    if (x->chosen != y->chosen)
        return (x->chosen > y->chosen) - (x->chosen < y->chosen);
    return (x->starter != NULL) - (y->starter != NULL); // a function's threads come after it
}

uint32_t *select_chosen(const struct model_process *process, const struct select_options *options,
                        size_t *count) {
    uint32_t *numbers = memory_alloc(process->function_count, sizeof *numbers);
    *count = 0;
    for (uint32_t i = 0; i < process->function_count; i++)
        if (is_chosen(options, process->functions[i].chosen))
            numbers[(*count)++] = i;
    choosing = process->functions;
    if (*count)
        qsort(numbers, *count, sizeof *numbers, compare_chosen);
    return numbers;
}

uint32_t *select_scopes(const struct model_process *process, const struct metrics *metrics,
                        enum select_column sort, size_t *count) {
    const struct select_options options = {.sort = sort};
    struct order *orders = memory_alloc(process->function_count, sizeof *orders);
    size_t found = 0;
    for (uint32_t i = 0; i < process->function_count; i++)
        if (process->functions[i].language == RECORD_SCOPE)
            orders[found++] = (struct order){.number = i,
                                             .entry = &metrics->functions[i],
                                             .name = process->functions[i].name,
                                             .sort = sort_by(metrics, sort)};
    return finish(orders, found, &options, count);
}
