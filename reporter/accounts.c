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
    struct record_folded *rests; // per function: what its frames that were forgotten held as self
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

// Of what was forgotten no more is known than that its function's is not exceeded.
static int64_t frame_peak(const struct shares *s, const struct record_frame *frame) {
    return account_peak(s, frame->flags & READER_FRAME_REST ? &s->image->functions[frame->function].account
                                                            : &frame->account);
}

static bool has_peak(const struct shares *s, const struct record_frame *frame) {
    return frame_peak(s, frame) > 0 || frame->flags & RECORD_FRAME_AGAIN;
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
        if (p->image->frames[frame].flags & RECORD_FRAME_FREE || !wanted(s, &p->image->frames[frame]))
            continue;
        s->frames[p->image->frames[frame].function]++;
        if (p->image->frames[frame].flags & READER_FRAME_REST && !s->of_functions)
            continue; // it is no line
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

static int64_t multiply(int64_t bytes, uint32_t count) {
    int64_t product;
    return __builtin_mul_overflow(bytes, (int64_t)count, &product) ? INT64_MAX : product;
}

// The peak of frames of one function. `*exact` says whether it is more than a bound, `*forgotten` by how much
// it was raised for what is missing. Call sites that were forgotten may have been on any line of their
// function.
static int64_t group_peak(const struct shares *s, size_t begin, size_t end, bool *exact, int64_t *forgotten) {
    const struct share *share = &s->list[begin];
    const struct record_function *function = function_of(s, share);
    bool all = end - begin == s->frames[share->function], one = end - begin == 1;
    int64_t whole = account_peak(s, &function->account), sum = 0;
    *exact = all || one;
    *forgotten = 0;
    // What was forgotten of a native function may have been self of one that is inlined in it.
    const struct record_frame *last = frame_of(s, &s->list[end - 1]);
    const bool native = function->language == RECORD_NATIVE, rest = last->flags & READER_FRAME_REST;
    if (s->self && rest && native)
        *exact = false;
    const bool partial = native && function->forgotten && !rest;
    if (partial)
        *forgotten = multiply(s->image->header.forgotten_peak, function->forgotten);
    if (all && !one)
        return whole;
    for (size_t i = begin; i < end; i++) {
        const struct record_frame *frame = frame_of(s, &s->list[i]);
        sum = model_add(sum, frame_peak(s, frame));
        if (frame->flags & RECORD_FRAME_AGAIN)
            *forgotten = model_add(*forgotten, s->image->header.forgotten_peak);
    }
    if (*forgotten > 0)
        *exact = false;
    sum = model_add(sum, *forgotten);
    return sum < whole || (one && !partial) ? sum : whole;
}

static void find_peaks(struct shares *s, struct metrics_entry *entries) {
    shares_collect(s, has_peak);
    for (size_t begin = 0, end; begin < s->count; begin = end) {
        bool exact;
        int64_t forgotten;
        end = shares_group(s, begin);
        struct metrics_measure *measure = measure_of(s, entries, begin);
        measure->peak = model_add(measure->peak, group_peak(s, begin, end, &exact, &forgotten));
        measure->forgotten = model_add(measure->forgotten, forgotten);
        measure->peak_exact = exact && is_first_of_entry(s, begin);
    }
    shares_free(s);
}

// Makes a bound as small as it can be, `outer` being a measure of which this one is a part (or NULL).
static void limit(const struct record_header *h, struct metrics_measure *measure,
                  const struct metrics_measure *outer) {
    int64_t most = model_add(h->heap_peak, model_signed(h->peak_error_bytes));
    int64_t allocated = model_add(model_signed(measure->allocated_bytes), measure->forgotten);
    if (allocated < most)
        most = allocated;
    if (outer && outer->peak < most)
        most = outer->peak;
    if (!measure->peak_exact && !measure->sums_bound && outer && outer->peak_exact && measure->allocations &&
        outer->allocations == measure->allocations) {
        measure->peak = outer->peak; // the very same blocks
        measure->at_peak = outer->at_peak;
        measure->live = outer->live;
        measure->peak_exact = true;
        measure->unseen = measure->forgotten = 0;
    }
    if (!measure->peak_exact && measure->peak > most)
        measure->peak = most;
    // Frames that call each other may have counted a path twice.
    if (!measure->peak_exact && measure->at_peak > measure->peak)
        measure->at_peak = measure->peak;
    if (!measure->peak_exact && measure->live > measure->peak)
        measure->live = measure->peak;
    if (measure->peak <= 0) {
        measure->peak = measure->unseen = 0;
        measure->peak_exact = true;
    }
}

// Blocks that were no longer remembered when contexts were folded are gone for the account; they may have
// been part of a peak.
static void add_unseen(struct metrics_measure *measure) {
    if (measure->unseen > 0)
        measure->peak = model_add(measure->peak, measure->unseen);
    if (measure->unseen <= 0 || !measure->peak_exact)
        measure->unseen = 0;
    else
        measure->peak_exact = false;
}

// A peak comes with an allocation, so it is no higher than the heap was at any of those.
static void limit_by_heap(const struct record_header *h, struct metrics_entry *entry) {
    struct metrics_measure *const measures[] = {&entry->self, &entry->total};
    const int64_t most = model_add(entry->mem_usage, model_signed(h->peak_error_bytes));
    for (int i = 0; i < 2; i++)
        if (!measures[i]->peak_exact && !measures[i]->forgotten && entry->mem_usage > 0 &&
            measures[i]->peak > most)
            measures[i]->peak = most;
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

static void add_sums(struct record_folded *to, const struct record_folded *from) {
    to->allocated_bytes = model_add_unsigned(to->allocated_bytes, from->allocated_bytes);
    to->allocations = model_add_unsigned(to->allocations, from->allocations);
    to->temporary = model_add_unsigned(to->temporary, from->temporary);
    to->freed_bytes = model_add_unsigned(to->freed_bytes, from->freed_bytes);
    to->frees = model_add_unsigned(to->frees, from->frees);
    to->live = model_add(to->live, from->live);
    to->saved = model_add(to->saved, from->saved);
    to->unseen_bytes = model_add(to->unseen_bytes, from->unseen_bytes);
    to->heap_high = from->heap_high > to->heap_high ? from->heap_high : to->heap_high;
}

static uint64_t difference(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static void subtract_sums(struct record_folded *from, const struct record_folded *what) {
    from->allocated_bytes = difference(from->allocated_bytes, what->allocated_bytes);
    from->allocations = difference(from->allocations, what->allocations);
    from->temporary = difference(from->temporary, what->temporary);
    from->freed_bytes = difference(from->freed_bytes, what->freed_bytes);
    from->frees = difference(from->frees, what->frees);
    from->live = model_add(from->live, what->live == INT64_MIN ? 0 : -what->live);
    from->saved = model_add(from->saved, what->saved == INT64_MIN ? 0 : -what->saved);
    from->unseen_bytes =
        model_add(from->unseen_bytes, what->unseen_bytes == INT64_MIN ? 0 : -what->unseen_bytes);
}

// What folded nodes of one frame or function held; `saved` is of the process's peak.
static struct record_folded read_folded(const struct shares *s, uint32_t self, uint32_t total) {
    uint32_t number = s->self ? self : total;
    if (!number)
        return (struct record_folded){0};
    struct record_folded folded = s->image->folded[number];
    if (folded.saved_seq != s->image->header.peak_seq)
        folded.saved = folded.live;
    return folded;
}

static struct record_folded read_function(const struct shares *s, uint32_t number) {
    const struct record_function *function = &s->image->functions[number];
    return read_folded(s, function->folded_self, function->folded_total);
}

static struct record_folded read_frame(const struct shares *s, const struct record_frame *frame) {
    if (frame->flags & READER_FRAME_REST)
        return s->self ? s->rests[frame->function] : read_function(s, frame->function);
    return read_folded(s, frame->folded_self, frame->folded_total);
}

// Each node is self of one frame, so what is left of a function is what was forgotten.
static void find_rests(struct shares *s) {
    const struct reader_image *image = s->process->image;
    s->rests = memory_alloc(image->function_count, sizeof *s->rests);
    for (uint32_t i = 1; i < image->function_count; i++)
        if (image->functions[i].forgotten)
            s->rests[i] = read_function(s, i);
    for (uint32_t i = 1; i < image->frame_count; i++) {
        const struct record_frame *frame = &image->frames[i];
        if (frame->flags & (RECORD_FRAME_FREE | READER_FRAME_REST) ||
            !image->functions[frame->function].forgotten)
            continue;
        struct record_folded folded = read_frame(s, frame);
        subtract_sums(&s->rests[frame->function], &folded);
    }
}

// What all frames of a function miss together is in its own record, each path counted once. Some of its
// frames may count a path twice where they call each other.
static struct record_folded group_folded(const struct shares *s, size_t begin, size_t end) {
    if (end - begin == s->frames[s->list[begin].function])
        return read_function(s, s->list[begin].function);
    struct record_folded sum = {0};
    for (size_t i = begin; i < end; i++) {
        struct record_folded folded = read_frame(s, frame_of(s, &s->list[i]));
        add_sums(&sum, &folded);
    }
    return sum;
}

static void add_folded(struct shares *s, struct metrics_entry *entries) {
    if (s->process->image->folded_count <= 1)
        return;
    shares_collect(s, is_any);
    find_rests(s);
    for (size_t begin = 0, end; begin < s->count; begin = end) {
        end = shares_group(s, begin);
        struct record_folded sums = group_folded(s, begin, end);
        struct metrics_measure *measure = measure_of(s, entries, begin);
        struct metrics_entry *entry = &entries[s->list[begin].entry];
        measure->allocated_bytes = model_add_unsigned(measure->allocated_bytes, sums.allocated_bytes);
        measure->allocations = model_add_unsigned(measure->allocations, sums.allocations);
        measure->temporary = model_add_unsigned(measure->temporary, sums.temporary);
        measure->freed_bytes = model_add_unsigned(measure->freed_bytes, sums.freed_bytes);
        measure->frees = model_add_unsigned(measure->frees, sums.frees);
        measure->at_peak = model_add(measure->at_peak, sums.saved);
        measure->live = model_add(measure->live, sums.live);
        measure->unseen = model_add(measure->unseen, sums.unseen_bytes);
        uint32_t frames = s->frames[s->list[begin].function];
        measure->sums_bound |= sums.allocations && end - begin > 1 && end - begin < frames;
        entry->folded |= sums.allocations || sums.frees;
        if (!s->self && sums.heap_high > entry->mem_usage)
            entry->mem_usage = sums.heap_high;
    }
    free(s->rests);
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
        limit_by_heap(h, &metrics->functions[i]);
        limit(h, &metrics->functions[i].total, NULL);
        limit(h, &metrics->functions[i].self, &metrics->functions[i].total);
    }
    for (uint32_t i = 0; i < process->line_count; i++) {
        struct metrics_entry *line = &metrics->lines[i];
        limit_by_heap(h, line);
        const struct metrics_entry *function = &metrics->functions[process->lines[i].function];
        limit(h, &line->total, &function->total);
        limit(h, &line->self, &function->self);
        limit(h, &line->self, &line->total);
    }
}
