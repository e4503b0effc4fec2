// SPDX-License-Identifier: MIT
//
// The numbers of a report. See metrics.h.
//
// Sums: a line is counted once per path where it first appears on it, so its total is the sum over those
// nodes of everything below them. One walk over the tree in depth-first order keeps, for each line, how often
// it is on the present path.
//
// Peaks: the recording has exact accounts of frames and of functions. A line or a function of the report is a
// set of frames. When the set is one frame, or all frames of one function, its account is the answer;
// otherwise each of the functions that are involved contributes the smaller of its own peak and the sum of
// its frames' peaks.

#include "reporter/metrics.h"

#include <stdlib.h>

struct sums {
    int64_t at_peak, live, heap_high;
    uint64_t allocated_bytes, allocations, freed_bytes, frees, temporary;
};

struct work {
    const struct model_process *process;
    const struct reader_image *image;
    struct metrics *metrics;
    struct sums *below;                    // per node: itself and its descendants
    uint32_t *first_child, *next_sibling;  // per node
    uint32_t *line_depth, *function_depth; // how often on the present path
    uint32_t *inner[RECORD_NATIVE + 1];    // per node, by language: its innermost frame of that language
    int64_t *line_extra,
        *function_extra; // peaks of nodes that count as self of a frame that is not their own
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

// ---- the tree ----

// Parents have smaller numbers than their children: one pass from the end sums everything up.
static void link_tree(struct work *w) {
    uint32_t count = w->image->node_count;
    w->below = memory_alloc(count, sizeof *w->below);
    w->first_child = memory_alloc(count, sizeof *w->first_child);
    w->next_sibling = memory_alloc(count, sizeof *w->next_sibling);
    for (uint32_t i = count; i-- > 1;) {
        struct sums own = node_sums(w->process, &w->image->nodes[i]);
        add_sums(&w->below[i], &own);
        uint32_t parent = w->image->nodes[i].parent;
        if (parent) {
            add_sums(&w->below[parent], &w->below[i]);
            w->next_sibling[i] = w->first_child[parent];
            w->first_child[parent] = i;
        }
    }
}

static uint32_t frame_language(const struct work *w, uint32_t frame) {
    return w->image->functions[w->image->frames[frame].function].language;
}

static void find_innermost(struct work *w) {
    for (uint32_t language = RECORD_PYTHON; language <= RECORD_NATIVE; language++)
        w->inner[language] = memory_alloc(w->image->node_count, sizeof **w->inner);
    for (uint32_t i = 2; i < w->image->node_count; i++) {
        const struct record_node *node = &w->image->nodes[i];
        for (uint32_t language = RECORD_PYTHON; language <= RECORD_NATIVE; language++)
            w->inner[language][i] = w->inner[language][node->parent];
        w->inner[frame_language(w, node->frame)][i] = node->frame;
    }
}

static uint32_t innermost_line(const struct model_process *process, uint32_t frame) {
    return process->levels[process->first_level[frame + 1] - 1];
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
    for (uint32_t i = p->first_level[frame]; i < p->first_level[frame + 1]; i++) {
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
    for (uint32_t i = p->first_level[frame]; i < p->first_level[frame + 1]; i++) {
        w->line_depth[p->levels[i]]--;
        w->function_depth[p->lines[p->levels[i]].function]--;
    }
}

static void sum_totals(struct work *w) {
    if (w->image->node_count < 2)
        return;
    uint32_t node = 1;
    for (;;) {
        uint32_t next = w->first_child[node];
        while (!next) {
            if (node == 1)
                return;
            leave(w, node);
            next = w->next_sibling[node];
            node = w->image->nodes[node].parent;
        }
        node = next;
        enter(w, node);
    }
}

static void sum_selves(struct work *w) {
    const struct model_process *p = w->process;
    for (uint32_t i = 2; i < w->image->node_count; i++) {
        const struct record_node *node = &w->image->nodes[i];
        struct sums own = node_sums(p, node);
        for (uint32_t language = RECORD_PYTHON; language <= RECORD_NATIVE; language++) {
            uint32_t frame = w->inner[language][i];
            if (!frame)
                continue;
            uint32_t line = innermost_line(p, frame), function = p->lines[line].function;
            add_measure(&w->metrics->lines[line].self, &own);
            add_measure(&w->metrics->functions[function].self, &own);
            if (frame != node->frame) { // frames of the other language are inside it
                w->line_extra[line] = model_add(w->line_extra[line], node->peak);
                w->function_extra[function] = model_add(w->function_extra[function], node->peak);
            }
        }
    }
}

// ---- peaks ----

// One frame that takes part in an entry (a line or a function of the report).
struct share {
    uint32_t entry, function, frame; // function: of the recording
};

static int compare_shares(const void *a, const void *b) {
    const struct share *x = a, *y = b;
    if (x->entry != y->entry)
        return x->entry < y->entry ? -1 : 1;
    if (x->function != y->function)
        return x->function < y->function ? -1 : 1;
    return (x->frame > y->frame) - (x->frame < y->frame);
}

static int64_t account_peak(const struct record_account *account, bool self) {
    return self ? account->self_peak : account->total_peak;
}

// Which frames take part in which entry: for totals any level of the frame counts, for selves the innermost.
static struct share *collect_shares(const struct work *w, bool self, bool functions, size_t *share_count) {
    const struct model_process *p = w->process;
    struct share *shares = NULL;
    size_t count = 0, capacity = 0;
    for (uint32_t frame = 1; frame < w->image->frame_count; frame++) {
        if (account_peak(&w->image->frames[frame].account, self) <= 0)
            continue;
        uint32_t end = p->first_level[frame + 1], begin = self ? end - 1 : p->first_level[frame];
        for (uint32_t i = begin; i < end; i++) {
            uint32_t line = p->levels[i];
            shares = memory_grow(shares, count, &capacity, sizeof *shares);
            shares[count++] = (struct share){.entry = functions ? p->lines[line].function : line,
                                             .function = w->image->frames[frame].function,
                                             .frame = frame};
        }
    }
    if (count)
        qsort(shares, count, sizeof *shares, compare_shares);
    size_t kept = 0; // a frame may hold the same entry twice
    for (size_t i = 0; i < count; i++)
        if (!i || compare_shares(&shares[i], &shares[i - 1]) != 0)
            shares[kept++] = shares[i];
    *share_count = kept;
    return shares;
}

// How many frames of each function of the recording ever had a peak.
static uint32_t *count_frames(const struct work *w, bool self) {
    uint32_t *frames = memory_alloc(w->image->function_count, sizeof *frames);
    for (uint32_t i = 1; i < w->image->frame_count; i++)
        if (account_peak(&w->image->frames[i].account, self) > 0)
            frames[w->image->frames[i].function]++;
    return frames;
}

// The peak of frames of one function of the recording. `*exact` says whether it is more than a bound.
static int64_t peak_of_shares(const struct work *w, const struct share *shares, size_t count,
                              uint32_t all_frames, bool self, bool *exact) {
    *exact = true;
    if (count == 1)
        return account_peak(&w->image->frames[shares->frame].account, self);
    int64_t whole = account_peak(&w->image->functions[shares->function].account, self);
    if (count == all_frames)
        return whole;
    *exact = false;
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum = model_add(sum, account_peak(&w->image->frames[shares[i].frame].account, self));
    return sum < whole ? sum : whole;
}

static void find_peaks(struct work *w, bool self, bool functions, struct metrics_entry *entries) {
    size_t count;
    struct share *shares = collect_shares(w, self, functions, &count);
    uint32_t *frames = count_frames(w, self);
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin; end < count && shares[end].entry == shares[begin].entry &&
                          shares[end].function == shares[begin].function;)
            end++;
        struct metrics_entry *entry = &entries[shares[begin].entry];
        struct metrics_measure *measure = self ? &entry->self : &entry->total;
        bool exact, first = !begin || shares[begin - 1].entry != shares[begin].entry;
        int64_t peak =
            peak_of_shares(w, &shares[begin], end - begin, frames[shares[begin].function], self, &exact);
        measure->peak = model_add(measure->peak, peak);
        measure->peak_exact = exact && first;
    }
    free(shares);
    free(frames);
}

static int64_t as_signed(uint64_t value) {
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

// Makes a bound as small as it can be, `outer` being a measure of which this one is a part (or NULL).
static void limit(const struct work *w, struct metrics_measure *measure,
                  const struct metrics_measure *outer) {
    const struct record_header *h = &w->image->header;
    int64_t most = model_add(h->heap_peak, as_signed(h->peak_error_bytes));
    if (as_signed(measure->allocated_bytes) < most)
        most = as_signed(measure->allocated_bytes);
    if (outer && outer->peak < most)
        most = outer->peak;
    if (!measure->peak_exact && outer && outer->peak_exact && outer->allocations == measure->allocations) {
        measure->peak = outer->peak; // the very same blocks
        measure->peak_exact = true;
    }
    if (!measure->peak_exact && measure->peak > most)
        measure->peak = most;
    if (measure->peak <= 0) {
        measure->peak = 0;
        measure->peak_exact = true;
    }
}

static void add_extra(struct metrics_entry *entries, const int64_t *extra, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        struct metrics_measure *self = &entries[i].self;
        self->peak = model_add(self->peak, extra[i]);
        if (!self->peak)
            self->peak_exact = true;
        if (extra[i] > 0)
            self->peak_exact = false;
    }
}

static void compute_peaks(struct work *w) {
    const struct model_process *p = w->process;
    struct metrics_entry *lines = w->metrics->lines, *functions = w->metrics->functions;
    find_peaks(w, false, true, functions);
    find_peaks(w, true, true, functions);
    find_peaks(w, false, false, lines);
    find_peaks(w, true, false, lines);
    add_extra(functions, w->function_extra, p->function_count);
    add_extra(lines, w->line_extra, p->line_count);
    for (uint32_t i = 0; i < p->function_count; i++) {
        limit(w, &functions[i].total, NULL);
        limit(w, &functions[i].self, &functions[i].total);
    }
    for (uint32_t i = 0; i < p->line_count; i++) {
        const struct metrics_entry *function = &functions[p->lines[i].function];
        limit(w, &lines[i].total, &function->total);
        limit(w, &lines[i].self, &function->self);
        limit(w, &lines[i].self, &lines[i].total);
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

    link_tree(&w);
    find_innermost(&w);
    sum_totals(&w);
    sum_selves(&w);
    compute_peaks(&w);

    free(w.below);
    free(w.first_child);
    free(w.next_sibling);
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
    struct metrics_measure measure = {.peak = n->peak > 0 ? n->peak : 0, .peak_exact = true};
    add_measure(&measure, &own);
    return measure;
}

int64_t *metrics_share_peak(const struct model_process *process, const bool *chosen_functions) {
    const struct reader_image *image = process->image;
    int64_t *shares = memory_alloc(process->line_count, sizeof *shares);
    uint32_t *owner = memory_alloc(image->node_count, sizeof *owner); // line + 1; 0 = nobody
    for (uint32_t i = 2; i < image->node_count; i++) {
        const struct record_node *node = &image->nodes[i];
        owner[i] = owner[node->parent];
        for (uint32_t at = process->first_level[node->frame + 1]; at-- > process->first_level[node->frame];) {
            if (chosen_functions[process->lines[process->levels[at]].function]) {
                owner[i] = process->levels[at] + 1;
                break;
            }
        }
        if (owner[i])
            shares[owner[i] - 1] = model_add(shares[owner[i] - 1], model_at_peak(process, node));
    }
    free(owner);
    return shares;
}
