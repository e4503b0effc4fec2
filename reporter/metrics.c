// SPDX-License-Identifier: MIT
//
// The numbers of a report. See metrics.h.
//
// A line is counted once per path where it first appears on it, so its total is the sum over those nodes of
// everything below them. One walk over the tree keeps, for each line, how often it is on the present path.
// What comes from the accounts of frames and functions instead, peaks above all, is in accounts.c.

#include "reporter/metrics.h"

#include <stdlib.h>

#include "reporter/accounts.h"
#include "reporter/errors.h"

struct sums {
    int64_t at_peak, live, heap_high;
    uint64_t allocated_bytes, allocations, freed_bytes, frees, temporary;
};

struct work {
    const struct model_process *process;
    const struct reader_image *image;
    struct metrics *metrics;
    struct sums *below;                    // per node: itself and its descendants
    uint32_t *line_depth, *function_depth; // how often on the present path
    uint32_t *inner[RECORD_NATIVE + 1];    // per node, by language: its innermost frame of that language
    int64_t *line_extra, *function_extra;  // see accounts_apply
};

static struct sums node_sums(const struct model_process *process, const struct record_node *node) {
    return (struct sums){.at_peak = model_at_peak(process, node),
                         .live = node->live,
                         .heap_high = node->heap_high,
                         .allocated_bytes = node->allocated_bytes,
                         .allocations = node->allocations,
                         .freed_bytes = node->freed_bytes,
                         .frees = node->frees,
                         .temporary = node->temporary};
}

static void add_sums(struct sums *to, const struct sums *from) {
    to->at_peak = model_add(to->at_peak, from->at_peak);
    to->live = model_add(to->live, from->live);
    if (from->heap_high > to->heap_high)
        to->heap_high = from->heap_high;
    to->allocated_bytes = model_add_unsigned(to->allocated_bytes, from->allocated_bytes);
    to->allocations = model_add_unsigned(to->allocations, from->allocations);
    to->freed_bytes = model_add_unsigned(to->freed_bytes, from->freed_bytes);
    to->frees = model_add_unsigned(to->frees, from->frees);
    to->temporary = model_add_unsigned(to->temporary, from->temporary);
}

static void add_measure(struct metrics_measure *to, const struct sums *from) {
    to->at_peak = model_add(to->at_peak, from->at_peak);
    to->live = model_add(to->live, from->live);
    to->allocated_bytes = model_add_unsigned(to->allocated_bytes, from->allocated_bytes);
    to->allocations = model_add_unsigned(to->allocations, from->allocations);
    to->freed_bytes = model_add_unsigned(to->freed_bytes, from->freed_bytes);
    to->frees = model_add_unsigned(to->frees, from->frees);
    to->temporary = model_add_unsigned(to->temporary, from->temporary);
}

// ---- totals ----

static void sum_below(struct work *w) {
    const struct model_process *p = w->process;
    w->below = memory_alloc(w->image->node_count, sizeof *w->below);
    for (uint32_t i = p->order_count; i-- > 0;) {
        uint32_t number = p->order[i];
        struct sums own = node_sums(p, &w->image->nodes[number]);
        add_sums(&w->below[number], &own);
        add_sums(&w->below[w->image->nodes[number].parent], &w->below[number]);
    }
}

static void add_total(struct metrics_entry *entry, const struct sums *below) {
    add_measure(&entry->total, below);
    if (below->heap_high > entry->mem_usage)
        entry->mem_usage = below->heap_high;
    entry->contexts++;
}

static void enter(struct work *w, uint32_t node) {
    const struct model_process *p = w->process;
    uint32_t frame = w->image->nodes[node].frame;
    for (uint32_t i = p->first_level[frame]; frame && i < p->first_level[frame + 1]; i++) {
        uint32_t line = p->levels[i], function = p->lines[line].function;
        if (!w->line_depth[line]++)
            add_total(&w->metrics->lines[line], &w->below[node]);
        if (!w->function_depth[function]++)
            add_total(&w->metrics->functions[function], &w->below[node]);
    }
}

static void leave(struct work *w, uint32_t node) {
    const struct model_process *p = w->process;
    uint32_t frame = w->image->nodes[node].frame;
    for (uint32_t i = p->first_level[frame]; frame && i < p->first_level[frame + 1]; i++) {
        w->line_depth[p->levels[i]]--;
        w->function_depth[p->lines[p->levels[i]].function]--;
    }
}

static void sum_totals(struct work *w) {
    const struct model_process *p = w->process;
    uint32_t at = 1; // the node whose path is entered
    for (uint32_t i = 0; i < p->order_count; i++) {
        uint32_t next = p->order[i];
        for (; at != w->image->nodes[next].parent; at = w->image->nodes[at].parent)
            leave(w, at);
        enter(w, next);
        at = next;
    }
}

// ---- selves ----

static uint32_t innermost_line(const struct model_process *process, uint32_t frame) {
    return process->levels[process->first_level[frame + 1] - 1];
}

static void add_self(struct work *w, uint32_t frame, const struct record_node *node, const struct sums *own) {
    uint32_t line = innermost_line(w->process, frame), function = w->process->lines[line].function;
    add_measure(&w->metrics->lines[line].self, own);
    add_measure(&w->metrics->functions[function].self, own);
    // With frames of the other language inside it. Where the shim could not keep it, this is a bound.
    if (frame != node->frame && frame != node->flags >> RECORD_NODE_OTHER_SHIFT) {
        w->line_extra[line] = model_add(w->line_extra[line], node->peak);
        w->function_extra[function] = model_add(w->function_extra[function], node->peak);
    }
}

static void sum_selves(struct work *w) {
    const struct model_process *p = w->process;
    for (uint32_t language = RECORD_PYTHON; language <= RECORD_NATIVE; language++)
        w->inner[language] = memory_alloc(w->image->node_count, sizeof **w->inner);
    for (uint32_t i = 0; i < p->order_count; i++) {
        uint32_t number = p->order[i];
        const struct record_node *node = &w->image->nodes[number];
        if (!node->frame)
            continue; // folded: the accounts know whose selves these were
        struct sums own = node_sums(p, node);
        uint32_t of = w->image->functions[w->image->frames[node->frame].function].language;
        for (uint32_t language = RECORD_PYTHON; language <= RECORD_NATIVE; language++) {
            uint32_t frame = language == of ? node->frame : w->inner[language][node->parent];
            w->inner[language][number] = frame;
            if (frame)
                add_self(w, frame, node, &own);
        }
    }
}

// ---- the whole ----

struct metrics *metrics_compute(const struct model_process *process) {
    struct work w = {
        .process = process, .image = process->image, .metrics = memory_alloc(1, sizeof *w.metrics)};
    w.metrics->lines = memory_alloc(process->line_count, sizeof *w.metrics->lines);
    w.metrics->functions = memory_alloc(process->function_count, sizeof *w.metrics->functions);
    w.metrics->frees_known = process->image->header.flags & RECORD_FLAG_FREES;
    w.line_depth = memory_alloc(process->line_count, sizeof *w.line_depth);
    w.function_depth = memory_alloc(process->function_count, sizeof *w.function_depth);
    w.line_extra = memory_alloc(process->line_count, sizeof *w.line_extra);
    w.function_extra = memory_alloc(process->function_count, sizeof *w.function_extra);

    sum_below(&w);
    sum_totals(&w);
    sum_selves(&w);
    accounts_apply(process, w.metrics, w.line_extra, w.function_extra);
    errors_apply(process, w.metrics);

    free(w.below);
    free(w.line_depth);
    free(w.function_depth);
    free(w.line_extra);
    free(w.function_extra);
    for (uint32_t language = RECORD_PYTHON; language <= RECORD_NATIVE; language++)
        free(w.inner[language]);
    return w.metrics;
}

void metrics_free(struct metrics *metrics) {
    if (!metrics)
        return;
    free(metrics->lines);
    free(metrics->functions);
    free(metrics);
}

struct metrics_measure metrics_of_node(const struct model_process *process, uint32_t node) {
    const struct record_node *n = &process->image->nodes[node];
    struct sums own = node_sums(process, n);
    struct metrics_measure measure = {.peak = n->peak > 0 ? n->peak : 0, .peak_exact = n->frame != 0};
    add_measure(&measure, &own);
    return measure;
}

typedef int64_t share_of(const struct model_process *process, const struct record_node *node);

static int64_t *share(const struct model_process *process, const bool *chosen_functions, share_of *of) {
    const struct reader_image *image = process->image;
    int64_t *shares = memory_alloc(process->line_count, sizeof *shares);
    uint32_t *owner = memory_alloc(image->node_count, sizeof *owner); // line + 1; 0 = nobody
    for (uint32_t i = 0; i < process->order_count; i++) {
        uint32_t number = process->order[i];
        const struct record_node *node = &image->nodes[number];
        owner[number] = owner[node->parent];
        uint32_t at = node->frame ? process->first_level[node->frame + 1] : 0;
        uint32_t outermost = node->frame ? process->first_level[node->frame] : 0;
        while (at-- > outermost) {
            if (chosen_functions[process->lines[process->levels[at]].function]) {
                owner[number] = process->levels[at] + 1;
                break;
            }
        }
        if (owner[number])
            shares[owner[number] - 1] = model_add(shares[owner[number] - 1], of(process, node));
    }
    free(owner);
    return shares;
}

int64_t *metrics_share_peak(const struct model_process *process, const bool *chosen_functions) {
    return share(process, chosen_functions, model_at_peak);
}

static int64_t allocated_at(const struct model_process *process, const struct record_node *node) {
    (void)process;
    return model_signed(node->allocated_bytes);
}

int64_t *metrics_share_allocated(const struct model_process *process, const bool *chosen_functions) {
    return share(process, chosen_functions, allocated_at);
}
