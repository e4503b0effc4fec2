// SPDX-License-Identifier: MIT
//
// What the recording's accounts add to the metrics. See accounts.h.

#include "reporter/accounts.h"

#include <stdlib.h>

// One frame that takes part in an entry.
struct share {
    uint32_t entry, function, frame; // function: of the recording
};

struct shares {
    const struct model_process *process;
    const struct reader_image *image;
    bool self;          // the entry is the frame's innermost level; otherwise any of its levels
    bool of_functions;  // the entries are functions; otherwise lines
    struct share *list; // sorted by entry, function and frame
    size_t count;
    uint32_t *frames; // per function of the recording: how many of its frames take part in anything
};

static const struct record_frame *frame_of(const struct shares *s, const struct share *share) {
    return &s->image->frames[share->frame];
}

static const struct record_function *function_of(const struct shares *s, const struct share *share) {
    return &s->image->functions[share->function];
}

static int64_t account_peak(const struct shares *s, const struct record_account *account) {
    return s->self ? account->self_peak : account->total_peak;
}

static bool has_peak(const struct shares *s, const struct record_frame *frame) {
    return account_peak(s, &frame->account) > 0;
}

static bool is_any(const struct shares *s, const struct record_frame *frame) {
    (void)s;
    (void)frame;
    return true;
}

static int compare_shares(const void *a, const void *b) {
    const struct share *x = a, *y = b;
    if (x->entry != y->entry)
        return x->entry < y->entry ? -1 : 1;
    if (x->function != y->function)
        return x->function < y->function ? -1 : 1;
    return (x->frame > y->frame) - (x->frame < y->frame);
}

// Which frames take part in which entry, among those that `wanted` accepts.
static void shares_collect(struct shares *s,
                           bool (*wanted)(const struct shares *, const struct record_frame *)) {
    const struct model_process *p = s->process;
    size_t count = 0, capacity = 0;
    s->image = p->image;
    s->list = NULL;
    s->count = 0;
    s->frames = memory_alloc(p->image->function_count, sizeof *s->frames);
    for (uint32_t frame = 1; frame < p->image->frame_count; frame++) {
        if (!wanted(s, &p->image->frames[frame]))
            continue;
        s->frames[p->image->frames[frame].function]++;
        uint32_t end = p->first_level[frame + 1], begin = s->self ? end - 1 : p->first_level[frame];
        for (uint32_t i = begin; i < end; i++) {
            uint32_t line = p->levels[i];
            s->list = memory_grow(s->list, count, &capacity, sizeof *s->list);
            s->list[count++] = (struct share){.entry = s->of_functions ? p->lines[line].function : line,
                                              .function = p->image->frames[frame].function,
                                              .frame = frame};
        }
    }
    if (count)
        qsort(s->list, count, sizeof *s->list, compare_shares);
    for (size_t i = 0; i < count; i++) // a frame may hold the same entry twice
        if (!i || compare_shares(&s->list[i], &s->list[i - 1]) != 0)
            s->list[s->count++] = s->list[i];
}

static void shares_free(struct shares *s) {
    free(s->list);
    free(s->frames);
}

// The end of the shares that belong to the same entry and function as the one at `begin`.
static size_t shares_group(const struct shares *s, size_t begin) {
    size_t end = begin;
    while (end < s->count && s->list[end].entry == s->list[begin].entry &&
           s->list[end].function == s->list[begin].function)
        end++;
    return end;
}

static bool is_first_of_entry(const struct shares *s, size_t begin) {
    return !begin || s->list[begin - 1].entry != s->list[begin].entry;
}

static struct metrics_measure *measure_of(const struct shares *s, struct metrics_entry *entries, size_t at) {
    struct metrics_entry *entry = &entries[s->list[at].entry];
    return s->self ? &entry->self : &entry->total;
}

// ---- peaks ----

// The peak of frames of one function. `*exact` says whether it is more than a bound.
static int64_t group_peak(const struct shares *s, size_t begin, size_t end, bool *exact) {
    const struct share *share = &s->list[begin];
    *exact = true;
    if (end - begin == 1)
        return account_peak(s, &frame_of(s, share)->account);
    int64_t whole = account_peak(s, &function_of(s, share)->account);
    if (end - begin == s->frames[share->function])
        return whole;
    *exact = false;
    int64_t sum = 0;
    for (size_t i = begin; i < end; i++)
        sum = model_add(sum, account_peak(s, &frame_of(s, &s->list[i])->account));
    return sum < whole ? sum : whole;
}

static void find_peaks(struct shares *s, struct metrics_entry *entries) {
    shares_collect(s, has_peak);
    for (size_t begin = 0, end; begin < s->count; begin = end) {
        bool exact;
        end = shares_group(s, begin);
        struct metrics_measure *measure = measure_of(s, entries, begin);
        measure->peak = model_add(measure->peak, group_peak(s, begin, end, &exact));
        measure->peak_exact = exact && is_first_of_entry(s, begin);
    }
    shares_free(s);
}

static int64_t as_signed(uint64_t value) {
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

// Makes a bound as small as it can be, `outer` being a measure of which this one is a part (or NULL).
static void limit(const struct record_header *h, struct metrics_measure *measure,
                  const struct metrics_measure *outer) {
    int64_t most = model_add(h->heap_peak, as_signed(h->peak_error_bytes));
    if (as_signed(measure->allocated_bytes) < most)
        most = as_signed(measure->allocated_bytes);
    if (outer && outer->peak < most)
        most = outer->peak;
    if (!measure->peak_exact && outer && outer->peak_exact && outer->allocations == measure->allocations) {
        measure->peak = outer->peak; // the very same blocks
        measure->peak_exact = true;
        measure->unseen = 0;
    }
    if (!measure->peak_exact && measure->peak > most)
        measure->peak = most;
    if (measure->peak <= 0) {
        measure->peak = measure->unseen = 0;
        measure->peak_exact = true;
    }
}

// Blocks that were alive when their node was folded are gone for its accounts; they may have been part of a
// peak.
static void add_unseen(struct metrics_measure *measure) {
    if (measure->unseen > 0)
        measure->peak = model_add(measure->peak, measure->unseen);
    if (measure->unseen <= 0 || !measure->peak_exact)
        measure->unseen = 0;
    else
        measure->peak_exact = false;
}

static void add_uncertain(struct metrics_entry *entries, const int64_t *extra, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (extra[i] > 0) {
            entries[i].self.peak_exact = false;
            entries[i].self.peak = model_add(entries[i].self.peak, extra[i]);
        }
        add_unseen(&entries[i].self);
        add_unseen(&entries[i].total);
    }
}

// ---- what was folded ----

static void add_sums(struct record_sums *to, const struct record_sums *from) {
    to->allocated_bytes = model_add_unsigned(to->allocated_bytes, from->allocated_bytes);
    to->allocations = model_add_unsigned(to->allocations, from->allocations);
    to->temporary = model_add_unsigned(to->temporary, from->temporary);
    to->freed_bytes = model_add_unsigned(to->freed_bytes, from->freed_bytes);
    to->frees = model_add_unsigned(to->frees, from->frees);
    to->at_peak = model_add(to->at_peak, from->at_peak);
}

// What folded nodes of one frame or function held, as of the process's peak.
static struct record_folded read_folded(const struct shares *s, uint32_t number) {
    if (!number)
        return (struct record_folded){0};
    struct record_folded folded = s->image->folded[number];
    if (folded.at_peak_seq != s->image->header.peak_seq)
        folded.self.at_peak = folded.total.at_peak = 0;
    return folded;
}

// What all frames of a function miss together is in its own record, each path counted once. Some of its
// frames may count a path twice where they call each other.
static struct record_folded group_folded(const struct shares *s, size_t begin, size_t end) {
    if (end - begin == s->frames[s->list[begin].function])
        return read_folded(s, function_of(s, &s->list[begin])->folded);
    if (end - begin == 1)
        return read_folded(s, frame_of(s, &s->list[begin])->folded);
    struct record_folded sum = {0};
    for (size_t i = begin; i < end; i++) {
        struct record_folded folded = read_folded(s, frame_of(s, &s->list[i])->folded);
        add_sums(&sum.self, &folded.self);
        add_sums(&sum.total, &folded.total);
        sum.unseen_bytes = model_add(sum.unseen_bytes, folded.unseen_bytes);
        sum.nodes = model_add_unsigned(sum.nodes, folded.nodes);
        sum.heap_high = folded.heap_high > sum.heap_high ? folded.heap_high : sum.heap_high;
    }
    return sum;
}

static void add_folded(struct shares *s, struct metrics_entry *entries) {
    if (s->process->image->folded_count <= 1)
        return;
    shares_collect(s, is_any);
    for (size_t begin = 0, end; begin < s->count; begin = end) {
        end = shares_group(s, begin);
        struct record_folded folded = group_folded(s, begin, end);
        const struct record_sums *sums = s->self ? &folded.self : &folded.total;
        struct metrics_measure *measure = measure_of(s, entries, begin);
        struct metrics_entry *entry = &entries[s->list[begin].entry];
        measure->allocated_bytes = model_add_unsigned(measure->allocated_bytes, sums->allocated_bytes);
        measure->allocations = model_add_unsigned(measure->allocations, sums->allocations);
        measure->temporary = model_add_unsigned(measure->temporary, sums->temporary);
        measure->freed_bytes = model_add_unsigned(measure->freed_bytes, sums->freed_bytes);
        measure->frees = model_add_unsigned(measure->frees, sums->frees);
        measure->at_peak = model_add(measure->at_peak, sums->at_peak);
        measure->unseen = model_add(measure->unseen, folded.unseen_bytes);
        entry->folded |= folded.nodes > 0;
        if (folded.heap_high > entry->mem_usage)
            entry->mem_usage = folded.heap_high;
    }
    shares_free(s);
}

void accounts_apply(const struct model_process *process, struct metrics *metrics, const int64_t *line_extra,
                    const int64_t *function_extra) {
    const struct record_header *h = &process->image->header;
    for (int i = 0; i < 4; i++) {
        struct shares shares = {.process = process, .self = i & 1, .of_functions = i & 2};
        struct metrics_entry *entries = shares.of_functions ? metrics->functions : metrics->lines;
        add_folded(&shares, entries);
        find_peaks(&shares, entries);
    }
    add_uncertain(metrics->functions, function_extra, process->function_count);
    add_uncertain(metrics->lines, line_extra, process->line_count);
    for (uint32_t i = 0; i < process->function_count; i++) {
        limit(h, &metrics->functions[i].total, NULL);
        limit(h, &metrics->functions[i].self, &metrics->functions[i].total);
    }
    for (uint32_t i = 0; i < process->line_count; i++) {
        struct metrics_entry *line = &metrics->lines[i];
        const struct metrics_entry *function = &metrics->functions[process->lines[i].function];
        limit(h, &line->total, &function->total);
        limit(h, &line->self, &function->self);
        limit(h, &line->self, &line->total);
    }
}
