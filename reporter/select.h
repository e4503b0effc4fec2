// SPDX-License-Identifier: MIT
//
// What of a report to show, and in which order.

#ifndef PEAKLINE_SELECT_H
#define PEAKLINE_SELECT_H

#include "reporter/metrics.h"

enum select_column {
    SELECT_PEAK,
    SELECT_MEM_USAGE,
    SELECT_INCREMENT,
    SELECT_ALLOCATIONS,
    SELECT_ALLOCATED,
    SELECT_AT_PEAK,
    SELECT_LIVE_AT_EXIT,
    SELECT_FREED,
    SELECT_TEMPORARY,
    SELECT_FILE, // and line: ascending; the others descend
};

struct select_options {
    const char *function;   // glob; NULL = all
    const char *file;       // glob; NULL = all
    uint32_t pid;           // 0 = all
    uint32_t image;         // of that pid, the first one being 1; 0 = each
    uint32_t top;           // 0 = not limited (tables: a page)
    const uint32_t *chosen; // only these of the functions that the program chose; NULL = no such restriction
    size_t chosen_count;
    enum select_column sort;
};

bool select_process(const struct select_options *options, const struct model_process *process);

// What entries are sorted by: "increment", "live at the end".
struct select_key {
    const char *name;
    int64_t value;
    bool counts; // not bytes
};

// False: by nothing that has a number, or by the peak.
bool select_key(const struct metrics *metrics, const struct metrics_entry *entry, enum select_column sort,
                struct select_key *key);

bool select_parse_column(const char *name, enum select_column *column);
const char *select_column_names(void); // "peak, mem-usage, …"

// Numbers of the lines or functions that match, sorted, at most `top`. The caller frees the array.
uint32_t *select_lines(const struct model_process *process, const struct metrics *metrics,
                       const struct select_options *options, size_t *count);
uint32_t *select_functions(const struct model_process *process, const struct metrics *metrics,
                           const struct select_options *options, size_t *count);

// Numbers of the functions whose table the program wants, in the order of their definition, also of those
// that never allocated.
uint32_t *select_chosen(const struct model_process *process, const struct select_options *options,
                        size_t *count);

// Numbers of the scopes (among the functions), sorted.
uint32_t *select_scopes(const struct model_process *process, const struct metrics *metrics,
                        enum select_column sort, size_t *count);

#endif
