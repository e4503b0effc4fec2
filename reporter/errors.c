// SPDX-License-Identifier: MIT
//
// See errors.h.

#include "reporter/errors.h"

#include <stdlib.h>

struct work {
    const struct model_process *process;
    const struct reader_image *image;
    // By entry, how many frames or functions of the recording were added to it: lines, then functions; total,
    // then self.
    uint32_t *line_parts[2], *function_parts[2];
};

static struct metrics_variance read_variance(const struct record_variance *recorded, int64_t peak) {
    return (struct metrics_variance){
        .allocated = (double)recorded->allocated,
        .allocations = (double)recorded->allocations,
        .net = (double)recorded->net,
        .live = (double)recorded->live,
        .peak = (double)(recorded->peak == peak ? recorded->at_peak : recorded->live),
    };
}

static void add(struct metrics_measure *measure, const struct metrics_variance *more, uint32_t *parts) {
    struct metrics_variance *sum = &measure->variance;
    sum->allocated += more->allocated;
    sum->allocations += more->allocations;
    sum->net += more->net;
    sum->live += more->live;
    sum->peak += more->peak;
    (*parts)++;
}

static void add_to_line(struct work *w, struct metrics *metrics, uint32_t line,
                        const struct metrics_variance *more, bool self) {
    struct metrics_entry *entry = &metrics->lines[line];
    add(self ? &entry->self : &entry->total, more, &w->line_parts[self][line]);
}

static void add_to_function(struct work *w, struct metrics *metrics, uint32_t function,
                            const struct metrics_variance *more, bool self) {
    struct metrics_entry *entry = &metrics->functions[function];
    add(self ? &entry->self : &entry->total, more, &w->function_parts[self][function]);
}

// Of functions that were inlined there, only its frames know.
static void add_frame(struct work *w, struct metrics *metrics, uint32_t number,
                      const struct metrics_variance *more, bool self) {
    const struct model_process *p = w->process;
    uint32_t begin = p->first_level[number], end = p->first_level[number + 1];
    for (uint32_t i = self && end > begin ? end - 1 : begin; i < end; i++) {
        add_to_line(w, metrics, p->levels[i], more, self);
        if (i > begin)
            add_to_function(w, metrics, p->lines[p->levels[i]].function, more, self);
    }
}

// The model's function of each of the recording, plus 1: the outermost level of any of its frames.
static uint32_t *find_functions(const struct work *w) {
    uint32_t *found = memory_alloc(w->image->function_count, sizeof *found);
    for (uint32_t i = 1; i < w->image->frame_count; i++) {
        uint32_t level = w->process->first_level[i];
        if (level < w->process->first_level[i + 1])
            found[w->image->frames[i].function] = w->process->lines[w->process->levels[level]].function + 1;
    }
    return found;
}

static void add_all(struct work *w, struct metrics *metrics) {
    uint32_t *functions = find_functions(w);
    for (uint32_t i = 1; i < w->image->estimate_count; i++) {
        const struct record_estimate *estimate = &w->image->estimates[i];
        const struct record_account *account = NULL;
        if (estimate->kind == RECORD_OF_FRAME)
            account = &w->image->frames[estimate->number].account;
        else if (estimate->kind == RECORD_OF_FUNCTION && functions[estimate->number])
            account = &w->image->functions[estimate->number].account;
        if (!account)
            continue;
        for (int self = 0; self < 2; self++) {
            const struct metrics_variance more = self ? read_variance(&estimate->self, account->self_peak)
                                                      : read_variance(&estimate->total, account->total_peak);
            if (more.allocated == 0 && more.net == 0)
                continue;
            if (estimate->kind == RECORD_OF_FRAME)
                add_frame(w, metrics, estimate->number, &more, self);
            else
                add_to_function(w, metrics, functions[estimate->number] - 1, &more, self);
        }
    }
    free(functions);
}

static void bound(const struct work *w, struct metrics_measure *measure, uint32_t parts) {
    struct metrics_variance *variance = &measure->variance;
    double most = (double)w->image->header.sampling_bytes * (double)measure->peak;
    if (parts > 1 || !measure->peak_exact)
        variance->peak = most;
    if (variance->peak > most)
        variance->peak = most;
    if (variance->peak > variance->allocated)
        variance->peak = variance->allocated;
}

void errors_apply(const struct model_process *process, struct metrics *metrics) {
    struct work w = {.process = process, .image = process->image};
    metrics->sampled = process->image->header.objects == RECORD_OBJECTS_SAMPLED;
    if (!metrics->sampled)
        return;
    for (int self = 0; self < 2; self++) {
        w.line_parts[self] = memory_alloc(process->line_count, sizeof **w.line_parts);
        w.function_parts[self] = memory_alloc(process->function_count, sizeof **w.function_parts);
    }
    add_all(&w, metrics);
    for (int self = 0; self < 2; self++) {
        for (uint32_t i = 0; i < process->line_count; i++)
            bound(&w, self ? &metrics->lines[i].self : &metrics->lines[i].total, w.line_parts[self][i]);
        for (uint32_t i = 0; i < process->function_count; i++)
            bound(&w, self ? &metrics->functions[i].self : &metrics->functions[i].total,
                  w.function_parts[self][i]);
        free(w.line_parts[self]);
        free(w.function_parts[self]);
    }
}

struct metrics_variance errors_of_process(const struct model_process *process) {
    const struct reader_image *image = process->image;
    for (uint32_t i = 1; image->estimates && i < image->estimate_count; i++)
        if (image->estimates[i].kind == RECORD_OF_PROCESS)
            return read_variance(&image->estimates[i].total, image->header.heap_peak);
    return (struct metrics_variance){0};
}

// Newton's method (Heron's, for roots): from above, each step comes closer until rounding stops it.
uint64_t errors_standard(double variance) {
    if (variance < 0.25)
        return 0;
    double next = variance > 1 ? variance : 1, root;
    do {
        root = next;
        next = (root + variance / root) / 2;
    } while (next < root);
    return (uint64_t)(root + 0.5);
}
