// SPDX-License-Identifier: MIT
// needs: reporter/metrics.c reporter/accounts.c reporter/errors.c reporter/model.c reporter/ending.c
// needs: reporter/reader.c reporter/reader_check.c reporter/reader_replay.c
// needs: reporter/reader_recording.c reporter/memory.c reporter/text.c tests/unit/recording_builder.c
//
// Metrics against brute force: random trees with recursion, call sites that share lines, inlined functions
// and both languages; every sum and every peak worked out again from the list of events.

#include "reporter/errors.h"
#include "reporter/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/recording_builder.h"

#define SEEDS 300
#define FUNCTIONS 5
#define SITES 4 // frames per function
#define CONTEXTS 40
#define EVENTS 300
#define LAST_EVENTS 15

static unsigned random_state;

static unsigned pick(unsigned below) {
    random_state = random_state * 1103515245u + 12345u;
    return (random_state >> 12) % below;
}

// ---- a world ----

enum kind { PYTHON, NATIVE, MIXED, SCOPED }; // SCOPED: Python, and a scope
enum folding {
    NEVER,
    ANY,    // any context may be folded
    FORGET, // and, before the last events, half of the frames that have no node are forgotten
};

// A calling context as the truth has it; its node may be folded away and made again.
struct context {
    unsigned parent; // index; 0 is the root
    uint32_t frame;
    uint32_t node; // 0 = not there now
};

struct block {
    unsigned context;
    uint32_t node; // that it had then
    int64_t size;
};

struct event {
    unsigned context, free_context; // 0 = none
    int64_t change;
};

struct world {
    struct builder *b;
    struct context contexts[CONTEXTS + 1];
    struct block blocks[EVENTS];
    unsigned block_count, folds, forgotten;
    struct event events[EVENTS];
};

// Names made up from the address: several call sites on one line, inlined functions, functions that are
// inlined in one place and called in another, the same one twice in a stack.
static size_t fake_resolve(struct model_resolver *resolver, const struct model_address *address,
                           struct model_found levels[MODEL_LEVELS_MAX]) {
    (void)resolver;
    static const char *const names[] = {"f0", "f1", "f2", "f3", "f4"};
    unsigned function = (unsigned)(address->address >> 8) - 1, site = (unsigned)(address->address & 0xff);
    size_t count = 0;
    if (site >= 2) // an inlined one, innermost
        levels[count++] = (struct model_found){.function = names[(function + site) % FUNCTIONS],
                                               .function_file = "a.c",
                                               .file = "a.h",
                                               .first_line = 1,
                                               .line = 5 + site / 3};
    if (site == 3)
        levels[count++] = (struct model_found){
            .function = "middle", .function_file = "a.c", .file = "a.c", .first_line = 1, .line = 50};
    levels[count++] = (struct model_found){.function = names[function],
                                           .function_file = "a.c",
                                           .file = "a.c",
                                           .first_line = 1,
                                           .line = 10 + site / 2};
    return count;
}

// The context's node, made again if it was folded.
static uint32_t node_of(struct world *w, unsigned context) {
    struct context *c = &w->contexts[context];
    if (!c->node) {
        c->node = builder_node(w->b, node_of(w, c->parent), c->frame);
        w->b->nodes[c->node].saved_seq = w->b->header.peak_seq;
    }
    return c->node;
}

static bool may_fold(const struct world *w, unsigned context) {
    uint32_t node = w->contexts[context].node;
    if (!node)
        return false;
    for (unsigned i = 1; i <= CONTEXTS; i++)
        if (w->contexts[i].node && w->contexts[w->contexts[i].parent].node == node)
            return false;
    return true;
}

static void fold(struct world *w, unsigned context) {
    builder_fold(w->b, w->contexts[context].node);
    w->contexts[context].node = 0;
    w->folds++;
}

static void allocate(struct world *w, unsigned event, unsigned context, int64_t size) {
    uint32_t node = node_of(w, context);
    builder_allocate(w->b, node, size);
    w->blocks[w->block_count++] = (struct block){.context = context, .node = node, .size = size};
    w->events[event] = (struct event){.context = context, .change = size};
}

static void release(struct world *w, unsigned event, unsigned block, unsigned free_context) {
    struct block gone = w->blocks[block];
    builder_release(w->b, gone.node, gone.size, free_context ? node_of(w, free_context) : 0);
    w->blocks[block] = w->blocks[--w->block_count];
    w->events[event] =
        (struct event){.context = gone.context, .free_context = free_context, .change = -gone.size};
}

static void forget(struct world *w) {
    for (uint32_t frame = 1; frame < w->b->frame_count; frame++) {
        bool there = pick(2);
        for (uint32_t i = 2; i < w->b->node_count; i++)
            there |= !(w->b->nodes[i].flags & RECORD_NODE_FREE) && w->b->nodes[i].frame == frame;
        if (!there) {
            builder_forget(w->b, frame);
            w->forgotten++;
        }
    }
}

static void random_world(struct world *w, enum kind kind, enum folding folding) {
    *w = (struct world){.b = builder_new(1, 0)};
    uint32_t module = builder_module(w->b, "/bin/x"), frames[FUNCTIONS * SITES];
    for (unsigned f = 0; f < FUNCTIONS; f++) {
        char name[8] = {'p', (char)('0' + f), '\0'};
        bool python = kind == PYTHON || (kind == MIXED && f % 2);
        if (kind == SCOPED) {
            bool scope = f == 0;
            uint32_t function = scope ? builder_scope(w->b, name) : builder_python(w->b, "p.py", name, f + 1);
            for (unsigned s = 0; s < SITES; s++)
                frames[f * SITES + s] =
                    scope && s ? frames[f * SITES] : builder_line(w->b, function, scope ? 0 : s + 1);
            continue;
        }
        uint32_t function =
            python ? builder_python(w->b, "p.py", name, f + 1) : builder_native(w->b, module, (f + 1) << 8);
        for (unsigned s = 0; s < SITES; s++)
            frames[f * SITES + s] = python ? builder_line(w->b, function, s + 1)
                                           : builder_site(w->b, function, ((f + 1) << 8) + s + 1);
    }
    w->contexts[0].node = 1;
    for (unsigned i = 1; i <= CONTEXTS; i++)
        w->contexts[i] = (struct context){.parent = pick(i), .frame = frames[pick(FUNCTIONS * SITES)]};
    for (unsigned i = 0; i < EVENTS; i++) {
        if (folding == FORGET && i == EVENTS - LAST_EVENTS)
            forget(w);
        if (w->forgotten) { // no context is made any more
            if (w->block_count)
                release(w, i, pick(w->block_count), 0);
            continue;
        }
        // Mostly allocations at first, mostly frees at last: so that the peak is inside.
        if (w->block_count && pick(EVENTS) < i)
            release(w, i, pick(w->block_count), pick(4) ? 1 + pick(CONTEXTS) : 0);
        else
            allocate(w, i, 1 + pick(CONTEXTS), 1 + (int64_t)pick(1000));
        unsigned context = 1 + pick(CONTEXTS);
        if (folding != NEVER && pick(2) && may_fold(w, context))
            fold(w, context);
    }
}

// ---- the truth ----

static uint32_t entry_of(const struct model_process *p, uint32_t line, bool functions) {
    return functions ? p->lines[line].function : line;
}

// The frame that speaks for it: what is left of its function when it was forgotten.
static uint32_t speaker(const struct model_process *p, uint32_t frame) {
    const struct record_frame *frames = p->image->frames;
    if (!(frames[frame].flags & RECORD_FRAME_FREE))
        return frame;
    uint32_t function = (frame - 1) / SITES + 1;
    for (frame = FUNCTIONS * SITES + 1; frame < p->image->frame_count; frame++)
        if (frames[frame].flags & READER_FRAME_REST && frames[frame].function == function)
            return frame;
    fail();
    return 0;
}

static bool is_on_path(const struct world *w, const struct model_process *p, unsigned context, uint32_t entry,
                       bool functions) {
    for (; context; context = w->contexts[context].parent) {
        uint32_t frame = speaker(p, w->contexts[context].frame);
        for (uint32_t i = p->first_level[frame]; i < p->first_level[frame + 1]; i++)
            if (entry_of(p, p->levels[i], functions) == entry)
                return true;
    }
    return false;
}

static bool is_innermost(const struct world *w, const struct model_process *p, unsigned context,
                         uint32_t entry, bool functions) {
    uint32_t language = p->functions[functions ? entry : p->lines[entry].function].language;
    for (; context; context = w->contexts[context].parent) {
        uint32_t last = p->levels[p->first_level[speaker(p, w->contexts[context].frame) + 1] - 1];
        if (p->functions[p->lines[last].function].language == language)
            return entry_of(p, last, functions) == entry;
    }
    return false;
}

struct truth {
    struct metrics_measure measure;
    int64_t mem_usage;
};

static struct truth work_out(const struct world *w, const bool *members) {
    struct truth t = {0};
    int64_t heap = 0, heap_peak = 0;
    for (size_t i = 0; i < EVENTS; i++) {
        const struct event *e = &w->events[i];
        heap += e->change;
        if (members[e->context]) {
            t.measure.live += e->change;
            if (e->change > 0) {
                t.measure.allocated_bytes += (uint64_t)e->change;
                t.measure.allocations++;
                t.mem_usage = heap > t.mem_usage ? heap : t.mem_usage;
            }
        }
        if (t.measure.live > t.measure.peak)
            t.measure.peak = t.measure.live;
        if (heap > heap_peak) {
            heap_peak = heap;
            t.measure.at_peak = t.measure.live;
        }
        if (e->free_context && members[e->free_context]) {
            t.measure.freed_bytes += (uint64_t)-e->change;
            t.measure.frees++;
        }
    }
    return t;
}

struct tally {
    unsigned entries, bounds; // measures compared, those that were only bounds
    unsigned folds, forgotten;
    bool folding, scopes;
    bool sums_are_bounds; // several call sites of a native line in folded contexts may count twice
};

static void compare(struct tally *tally, const struct metrics_measure *got,
                    const struct metrics_measure *truth, int64_t heap_peak) {
    tally->entries++;
    tally->bounds += !got->peak_exact;
    if (got->peak_exact)
        assert_int_equal(got->peak, truth->peak);
    else
        assert_true(got->peak >= truth->peak && got->peak <= heap_peak &&
                    got->peak <= (int64_t)got->allocated_bytes + got->forgotten);
    if (tally->sums_are_bounds) {
        assert_true(got->allocated_bytes >= truth->allocated_bytes);
        assert_true(got->allocations >= truth->allocations);
        assert_true(got->freed_bytes >= truth->freed_bytes);
        assert_true(got->at_peak >= truth->at_peak && got->live >= truth->live);
        return;
    }
    assert_int_equal(got->allocated_bytes, truth->allocated_bytes);
    assert_int_equal(got->allocations, truth->allocations);
    assert_int_equal(got->freed_bytes, truth->freed_bytes);
    assert_int_equal(got->frees, truth->frees);
    assert_int_equal(got->at_peak, truth->at_peak);
    assert_int_equal(got->live, truth->live);
}

static void check_entries(struct tally *tally, const struct world *w, const struct model_process *p,
                          const struct metrics *m, bool functions) {
    uint32_t count = functions ? p->function_count : p->line_count;
    for (uint32_t entry = 0; entry < count; entry++) {
        const struct metrics_entry *got = functions ? &m->functions[entry] : &m->lines[entry];
        bool total[CONTEXTS + 1] = {0}, self[CONTEXTS + 1] = {0};
        uint32_t contexts = 0;
        if (!functions && !p->lines[entry].line &&
            p->functions[p->lines[entry].function].language !=
                RECORD_SCOPE) { // what was forgotten is no line
            assert_true(!got->contexts && !got->folded);
            continue;
        }
        for (unsigned context = 1; context <= CONTEXTS; context++) {
            total[context] = is_on_path(w, p, context, entry, functions);
            self[context] = is_innermost(w, p, context, entry, functions);
            contexts += w->contexts[context].node && total[context] &&
                        !is_on_path(w, p, w->contexts[context].parent, entry, functions);
        }
        struct truth total_truth = work_out(w, total), self_truth = work_out(w, self);
        uint32_t function = functions ? entry : p->lines[entry].function;
        bool native = p->functions[function].language == RECORD_NATIVE;
        tally->sums_are_bounds = tally->folding && native;
        if (!tally->scopes && p->functions[function].language == RECORD_PYTHON)
            assert_true(got->total.peak_exact && got->self.peak_exact);
        compare(tally, &got->total, &total_truth.measure, p->image->header.heap_peak);
        if (p->functions[function].language == RECORD_SCOPE)
            assert_true(got->total.peak_exact && got->self.allocations == 0);
        else { // each context is self of one frame: none counts twice
            tally->sums_are_bounds = false;
            compare(tally, &got->self, &self_truth.measure, p->image->header.heap_peak);
        }
        assert_int_equal(got->mem_usage, total_truth.mem_usage);
        assert_int_equal(got->contexts, contexts);
        assert_true(got->self.peak <= got->total.peak);
        if (!functions)
            assert_true(got->total.peak <= m->functions[p->lines[entry].function].total.peak);
    }
}

// Nodes that nobody folded.
static void check_nodes(struct tally *tally, const struct world *w, const struct model_process *p) {
    for (unsigned context = 1; context <= CONTEXTS && !w->folds; context++) {
        if (!w->contexts[context].node)
            continue;
        bool members[CONTEXTS + 1] = {0};
        members[context] = true;
        struct truth truth = work_out(w, members);
        struct metrics_measure got = metrics_of_node(p, w->contexts[context].node);
        compare(tally, &got, &truth.measure, p->image->header.heap_peak);
        assert_true(got.peak_exact);
    }
}

static struct tally run_worlds(enum kind kind, enum folding folding) {
    struct model_resolver resolver = {.resolve = fake_resolve};
    struct tally tally = {.folding = folding != NEVER, .scopes = kind == SCOPED};
    static struct world w;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        random_state = seed * 2654435761u;
        random_world(&w, kind, folding);
        char *directory = builder_directory();
        struct reader_error error;
        builder_write(w.b, directory);
        struct model *model = model_open(directory, &error);
        assert_non_null(model);
        struct model_process *p = &model->processes[0];
        assert_true(model_load(model, p, &resolver, &error));
        assert_int_equal(p->image->orphan_count, 0);
        struct metrics *m = metrics_compute(p);
        check_entries(&tally, &w, p, m, false);
        check_entries(&tally, &w, p, m, true);
        check_nodes(&tally, &w, p);
        tally.folds += w.folds;
        tally.forgotten += w.forgotten;
        metrics_free(m);
        model_close(model);
        builder_remove_directory(directory);
        builder_free(w.b);
    }
    return tally;
}

static void python_is_exact(void **state) {
    (void)state;
    struct tally tally = run_worlds(PYTHON, NEVER);
    assert_int_equal(tally.bounds, 0);
}

static void native_is_exact_or_bounded(void **state) {
    (void)state;
    struct tally tally = run_worlds(NATIVE, NEVER);
    assert_true(tally.bounds > 0 && tally.bounds * 2 < tally.entries);
}

static void both_languages_have_their_own_innermost(void **state) {
    (void)state;
    struct tally tally = run_worlds(MIXED, NEVER);
    assert_true(tally.bounds * 2 < tally.entries);
}

static void folding_loses_nothing_of_both_languages(void **state) {
    (void)state;
    struct tally tally = run_worlds(MIXED, ANY);
    assert_true(tally.folds > SEEDS * 20);
}

static void scopes_are_exact(void **state) {
    (void)state;
    struct tally tally = run_worlds(SCOPED, NEVER);
    assert_true(tally.bounds * 2 < tally.entries); // selves of lines where the scope itself is a leaf
}

// Folding contexts changes no number of any line or function, whether they have live blocks or not.
static void folding_loses_nothing(void **state) {
    (void)state;
    struct tally tally = run_worlds(PYTHON, ANY);
    assert_true(tally.folds > SEEDS * 20);
    assert_int_equal(tally.bounds, 0);
}

static void forgotten_lines_stay_in_their_functions(void **state) {
    (void)state;
    struct tally tally = run_worlds(PYTHON, FORGET);
    assert_true(tally.forgotten > SEEDS);
    assert_int_equal(tally.bounds, 0);
}

static void folded_call_sites_have_bounds(void **state) {
    (void)state;
    struct tally tally = run_worlds(NATIVE, ANY);
    assert_true(tally.folds > SEEDS * 20);
    tally = run_worlds(NATIVE, FORGET);
    assert_true(tally.forgotten > SEEDS);
}

// ---- by hand ----

struct hand {
    struct builder *b;
    struct model_resolver resolver;
    char *directory;
    struct model *model;
    struct model_process *process;
    struct metrics *metrics;
};

static void hand_compute(struct hand *h) {
    struct reader_error error;
    h->directory = builder_directory();
    builder_write(h->b, h->directory);
    h->model = model_open(h->directory, &error);
    assert_non_null(h->model);
    h->process = &h->model->processes[0];
    assert_true(model_load(h->model, h->process, h->resolver.resolve ? &h->resolver : NULL, &error));
    h->metrics = metrics_compute(h->process);
}

static void hand_free(struct hand *h) {
    metrics_free(h->metrics);
    model_close(h->model);
    builder_remove_directory(h->directory);
    builder_free(h->b);
}

static void segments_that_were_pending_count(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0)};
    uint32_t function = builder_python(h.b, "a.py", "f", 1), callee = builder_python(h.b, "a.py", "g", 9);
    uint32_t outer = builder_node(h.b, 1, builder_line(h.b, function, 2));
    uint32_t inner = builder_node(h.b, outer, builder_line(h.b, callee, 10));
    builder_allocate(h.b, outer, 1000);
    builder_allocate(h.b, inner, 50);
    builder_release(h.b, inner, 50, inner);
    assert_int_equal(h.b->header.current_node, inner);
    assert_int_equal(h.b->frames[2].account.total_peak, 0); // nothing has been flushed yet
    hand_compute(&h);
    assert_int_equal(h.metrics->lines[0].total.peak, 1050);
    assert_int_equal(h.metrics->lines[1].total.peak, 50);
    assert_int_equal(h.metrics->lines[0].self.peak, 1000);
    // Loading it again gives the same: what was flushed is read anew.
    struct reader_error error;
    model_unload(h.process);
    assert_true(model_load(h.model, h.process, NULL, &error));
    metrics_free(h.metrics);
    h.metrics = metrics_compute(h.process);
    assert_int_equal(h.metrics->lines[0].total.peak, 1050);
    hand_free(&h);
}

// A function all of whose lines are forgotten, one of whose lines came back, and one whose call sites are.
static void what_was_forgotten_is_bounded(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0), .resolver = {.resolve = fake_resolve}};
    uint32_t gone = builder_python(h.b, "a.py", "gone", 1), back = builder_python(h.b, "a.py", "back", 9);
    uint32_t native = builder_native(h.b, builder_module(h.b, "/bin/x"), 1 << 8);
    uint32_t frames[] = {builder_line(h.b, gone, 2), builder_line(h.b, back, 10),
                         builder_site(h.b, native, (1 << 8) + 3)};
    for (int i = 0; i < 3; i++) {
        uint32_t node = builder_node(h.b, 1, frames[i]);
        builder_allocate(h.b, node, 101 + i);
        builder_release(h.b, node, 101 + i, node);
        builder_fold(h.b, node);
        builder_forget(h.b, frames[i]);
    }
    uint32_t again = builder_line(h.b, back, 10), other = builder_line(h.b, back, 11);
    h.b->frames[again].flags = RECORD_FRAME_AGAIN;
    builder_allocate(h.b, builder_node(h.b, 1, again), 50);
    builder_allocate(h.b, builder_node(h.b, 1, other), 7);
    hand_compute(&h);
    assert_int_equal(h.process->image->header.forgotten_bytes, 306);
    assert_int_equal(h.process->image->header.forgotten_peak, 103);
    assert_int_equal(h.process->function_count, 3);
    for (uint32_t i = 0; i < h.process->function_count; i++) {
        const struct metrics_entry *entry = &h.metrics->functions[i];
        const char *name = h.process->functions[i].name;
        bool is_back = strcmp(name, "back") == 0;
        int64_t size = is_back ? 102 : strcmp(name, "gone") == 0 ? 101 : 103;
        assert_true(size != 103 || strcmp(name, "f0") == 0);
        const struct metrics_measure *measures[] = {&entry->self, &entry->total};
        for (int m = 0; m < 2; m++) {
            assert_int_equal(measures[m]->peak, size);
            assert_true(measures[m]->peak_exact);
            assert_int_equal(measures[m]->allocated_bytes, size + (is_back ? 57 : 0));
            assert_int_equal(measures[m]->freed_bytes, size);
        }
        assert_true(entry->folded);
    }
    for (uint32_t i = 0; i < h.process->line_count; i++) {
        const struct metrics_entry *entry = &h.metrics->lines[i];
        uint32_t line = h.process->lines[i].line;
        if (line == 10) { // what it did before is missing, its peak is a bound
            assert_int_equal(entry->total.allocated_bytes, 50);
            assert_int_equal(entry->total.peak, 102); // its function's
            assert_false(entry->total.peak_exact);
        } else if (line == 11) {
            assert_int_equal(entry->total.peak, 7);
            assert_true(entry->total.peak_exact);
        } else {
            assert_int_equal(line, 0);
            assert_true(!entry->contexts && !entry->folded);
        }
    }
    hand_free(&h);
}

// A native call site that was forgotten may have been on the line of one that is left.
static void forgotten_call_sites_may_be_of_any_line(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0)};
    uint32_t native = builder_native(h.b, builder_module(h.b, "/bin/x"), 1 << 8);
    uint32_t gone = builder_site(h.b, native, (1 << 8) + 3), left = builder_site(h.b, native, (1 << 8) + 9);
    uint32_t node = builder_node(h.b, 1, gone);
    builder_allocate(h.b, node, 103);
    builder_fold(h.b, node);
    builder_forget(h.b, gone);
    builder_allocate(h.b, builder_node(h.b, 1, left), 50);
    builder_allocate(h.b, builder_node(h.b, 1, left), 51);
    hand_compute(&h);
    assert_int_equal(h.metrics->functions[0].self.peak, 204);
    assert_true(h.metrics->functions[0].self.peak_exact);
    bool met = false;
    for (uint32_t i = 0; i < h.process->line_count; i++) {
        const struct metrics_entry *line = &h.metrics->lines[i];
        if (line->self.allocated_bytes != 101)
            continue;
        met = true;
        assert_false(line->self.peak_exact);
        assert_int_equal(line->self.peak, 204);
        assert_false(line->total.peak_exact);
        assert_int_equal(line->total.peak, 204);
    }
    assert_true(met);
    hand_free(&h);
}

// Blocks that were too many to be remembered.
static void what_is_no_longer_seen_is_bounded(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0)};
    uint32_t caller = builder_python(h.b, "a.py", "f", 1), callee = builder_python(h.b, "a.py", "g", 9);
    uint32_t calls = builder_line(h.b, caller, 3);
    uint32_t outer = builder_node(h.b, 1, calls),
             inner = builder_node(h.b, outer, builder_line(h.b, callee, 10));
    builder_allocate(h.b, inner, 700);
    builder_fold(h.b, inner);
    builder_fold(h.b, outer);
    const uint32_t records[] = {h.b->frames[calls].folded_total, h.b->functions[caller].folded_total};
    for (int i = 0; i < 2; i++) {
        struct record_folded *folded = &h.b->folded[records[i]];
        folded->live = folded->saved = 100;
        folded->unseen_bytes = 600;
    }
    h.b->frames[calls].account.total_peak = h.b->functions[caller].account.total_peak = 90;
    hand_compute(&h);
    const struct metrics_measure *line = &h.metrics->lines[0].total;
    assert_int_equal(h.process->lines[0].line, 3);
    assert_int_equal(line->peak, 690);
    assert_false(line->peak_exact);
    assert_int_equal(line->live, 100);
    assert_int_equal(line->at_peak, 100);
    hand_free(&h);
}

// For want of room the shim may leave out what a function itself did in folded contexts.
static void nothing_is_not_the_same_as_what_was_lost(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0)};
    uint32_t caller = builder_python(h.b, "a.py", "f", 1), callee = builder_python(h.b, "a.py", "g", 9);
    uint32_t alone = builder_line(h.b, caller, 2), calls = builder_line(h.b, caller, 3);
    uint32_t node = builder_node(h.b, 1, alone);
    builder_allocate(h.b, node, 700);
    builder_fold(h.b, node);
    h.b->frames[alone].folded_self = h.b->functions[caller].folded_self = 0;
    builder_allocate(h.b, builder_node(h.b, builder_node(h.b, 1, calls), builder_line(h.b, callee, 10)), 5);
    hand_compute(&h);
    assert_int_equal(h.metrics->functions[0].self.peak, 700);
    assert_int_equal(h.process->lines[1].line, 3);
    assert_int_equal(h.metrics->lines[1].total.peak, 5);
    assert_int_equal(h.metrics->lines[1].self.peak, 0);
    assert_true(h.metrics->lines[1].self.peak_exact);
    hand_free(&h);
}

static void pending_recursion_counts_once(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0)};
    uint32_t frame = builder_line(h.b, builder_python(h.b, "a.py", "f", 1), 2);
    uint32_t outer = builder_node(h.b, 1, frame), inner = builder_node(h.b, outer, frame);
    builder_allocate(h.b, inner, 100);
    hand_compute(&h);
    assert_int_equal(h.metrics->lines[0].total.peak, 100);
    assert_int_equal(h.metrics->functions[0].total.peak, 100);
    hand_free(&h);
}

// "outer" has three call sites; "inner" was inlined at the second and the third.
static size_t resolve_inner(struct model_resolver *resolver, const struct model_address *address,
                            struct model_found levels[MODEL_LEVELS_MAX]) {
    (void)resolver;
    size_t count = 0;
    if (address->address > 0x1010)
        levels[count++] = (struct model_found){.function = "inner", .line = 5};
    levels[count++] = (struct model_found){.function = "outer", .line = (uint32_t)address->address & 0xff};
    return count;
}

static void bounds_are_as_small_as_the_accounts_allow(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0), .resolver = {.resolve = resolve_inner}};
    uint32_t module = builder_module(h.b, "/bin/x"), outer = builder_native(h.b, module, 0x1000);
    for (uint32_t site = 1; site <= 3; site++) { // one after the other
        uint32_t node = builder_node(h.b, 1, builder_site(h.b, outer, 0x1000 + site * 0x10 + 1));
        builder_allocate(h.b, node, 1000);
        builder_release(h.b, node, 1000, node);
    }
    uint32_t elsewhere = builder_line(h.b, builder_python(h.b, "a.py", "f", 1), 2);
    builder_allocate(h.b, builder_node(h.b, 1, elsewhere), 9000);
    hand_compute(&h);
    uint32_t inner = 0;
    while (strcmp(h.process->functions[inner].name, "inner") != 0)
        inner++;
    assert_int_equal(h.metrics->functions[inner].total.allocated_bytes, 2000);
    assert_false(h.metrics->functions[inner].total.peak_exact);
    assert_int_equal(h.metrics->functions[inner].total.peak, 1000); // what outer held at most
    hand_free(&h);
}

static void a_deep_tree_is_no_trouble(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0)};
    enum { DEPTH = 3000 };
    uint32_t function = builder_python(h.b, "a.py", "f", 1), node = 1;
    for (uint32_t i = 0; i < DEPTH; i++)
        node = builder_node(h.b, node, builder_line(h.b, function, i + 1));
    builder_allocate(h.b, node, 7);
    hand_compute(&h);
    for (uint32_t i = 0; i < DEPTH; i++)
        assert_int_equal(h.metrics->lines[i].total.peak, 7);
    assert_int_equal(h.metrics->functions[0].contexts, 1);
    hand_free(&h);
}

static void an_empty_recording_has_no_metrics(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0)};
    h.b->node_count = h.b->frame_count = h.b->function_count = h.b->module_count = 0;
    hand_compute(&h);
    assert_int_equal(h.process->line_count, 0);
    hand_free(&h);
}

static void numbers_at_the_end_of_their_range_do_not_wrap(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0)};
    uint32_t function = builder_python(h.b, "a.py", "f", 1), frame = builder_line(h.b, function, 2);
    for (int i = 0; i < 3; i++) {
        uint32_t number = builder_node(h.b, 1, frame);
        struct record_node *node = &h.b->nodes[number];
        node->live = i ? INT64_MAX : INT64_MIN;
        node->saved = INT64_MAX;
        node->allocated_bytes = UINT64_MAX;
        node->segment_net = node->segment_high = INT64_MAX;
    }
    h.b->header.current_node = 4;
    h.b->frames[frame].account.total_live = INT64_MAX;
    hand_compute(&h);
    assert_int_equal(h.metrics->lines[0].total.allocated_bytes, UINT64_MAX);
    assert_int_equal(h.metrics->lines[0].total.peak, INT64_MAX);
    hand_free(&h);
}

static void folded_numbers_do_not_wrap_either(void **state) {
    (void)state;
    const int64_t ends[] = {INT64_MIN, INT64_MAX};
    for (int live = 0; live < 2; live++) {
        struct hand h = {.b = builder_new(1, 0)};
        uint32_t function = builder_python(h.b, "a.py", "f", 1);
        for (uint32_t line = 2; line < 5; line++) {
            uint32_t node = builder_node(h.b, 1, builder_line(h.b, function, line));
            builder_allocate(h.b, node, 1);
            builder_fold(h.b, node);
        }
        builder_forget(h.b, 3);
        builder_allocate(h.b, builder_node(h.b, 1, 1), 9);
        for (size_t i = 1; i < h.b->folded_count; i++) {
            h.b->folded[i].live = ends[live];
            h.b->folded[i].saved = ends[!live];
            h.b->folded[i].saved_seq = h.b->header.peak_seq;
        }
        hand_compute(&h);
        const struct metrics_measure *total = &h.metrics->lines[0].total;
        assert_int_equal(total->live, live ? INT64_MAX : INT64_MIN + 9);
        assert_int_equal(total->at_peak, live ? INT64_MIN + 9 : INT64_MAX);
        hand_free(&h);
    }
}

static void the_peak_is_shared_among_chosen_functions(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0)};
    uint32_t mine = builder_python(h.b, "mine.py", "f", 1), theirs = builder_python(h.b, "lib.py", "g", 1);
    uint32_t outer = builder_node(h.b, 1, builder_line(h.b, mine, 2));
    uint32_t inner = builder_node(h.b, outer, builder_line(h.b, theirs, 3));
    uint32_t back = builder_node(h.b, inner, builder_line(h.b, mine, 4));
    builder_allocate(h.b, outer, 1);
    builder_allocate(h.b, inner, 20);
    builder_allocate(h.b, back, 300);
    hand_compute(&h);
    bool chosen[2] = {true, false};
    int64_t *shares = metrics_share_peak(h.process, chosen);
    assert_int_equal(shares[0], 21);
    assert_int_equal(shares[1], 0);
    assert_int_equal(shares[2], 300);
    free(shares);
    hand_free(&h);
}

// An estimate's variances: of its peak 900, if the account still has the peak that it had then, else 400.
static void estimate(struct builder *b, enum record_estimated kind, uint32_t of, int64_t peak) {
    uint32_t number = builder_estimate(b, kind, of);
    struct record_variance *total = &b->estimates[number].total;
    *total = (struct record_variance){
        .allocated = 1600, .allocations = 49, .net = 2500, .live = 400, .at_peak = 900, .peak = peak};
}

static void variances_reach_their_rows(void **state) {
    (void)state;
    struct hand h = {.b = builder_new(1, 0)};
    h.b->header.objects = RECORD_OBJECTS_SAMPLED;
    h.b->header.sampling_bytes = 16384;
    uint32_t function = builder_python(h.b, "a.py", "f", 1), again = builder_python(h.b, "a.py", "f", 1);
    uint32_t one = builder_line(h.b, function, 2), two = builder_line(h.b, function, 3),
             same = builder_line(h.b, again, 2);
    builder_allocate(h.b, builder_node(h.b, 1, one), 5000);
    builder_allocate(h.b, builder_node(h.b, 1, two), 6000);
    builder_allocate(h.b, builder_node(h.b, 1, same), 7000);
    estimate(h.b, RECORD_OF_PROCESS, 0, 18000);
    estimate(h.b, RECORD_OF_FRAME, one, 5000);
    estimate(h.b, RECORD_OF_FRAME, two, 1);
    estimate(h.b, RECORD_OF_FRAME, same, 7000);
    estimate(h.b, RECORD_OF_FUNCTION, function, 11000);
    hand_compute(&h);
    assert_true(h.metrics->sampled);
    // Line 2 is two frames, which may call each other: what was allocated bounds its peak.
    const struct metrics_variance *first = &h.metrics->lines[0].total.variance;
    assert_true(first->allocated == 3200 && first->net == 5000 && first->live == 800 && first->peak == 3200);
    const struct metrics_variance *second = &h.metrics->lines[1].total.variance;
    assert_true(second->allocated == 1600 && second->allocations == 49 && second->peak == 400);
    assert_true(h.metrics->lines[1].self.variance.allocated == 0);
    assert_true(h.metrics->functions[0].total.variance.allocated == 1600);
    assert_true(errors_of_process(h.process).peak == 900);
    hand_free(&h);
}

static void standard_errors_are_roots(void **state) {
    (void)state;
    assert_int_equal(errors_standard(0), 0);
    assert_int_equal(errors_standard(-5), 0);
    assert_int_equal(errors_standard(1), 1);
    assert_int_equal(errors_standard(6), 2);
    assert_int_equal(errors_standard(6.5), 3);
    for (uint64_t root = 1; root < UINT64_C(1) << 31; root = root * 3 / 2 + 1)
        assert_int_equal(errors_standard((double)(root * root)), root);
    assert_true(errors_standard(1e38) > UINT64_C(9999999999999999000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_is_exact),
        cmocka_unit_test(native_is_exact_or_bounded),
        cmocka_unit_test(both_languages_have_their_own_innermost),
        cmocka_unit_test(folding_loses_nothing_of_both_languages),
        cmocka_unit_test(scopes_are_exact),
        cmocka_unit_test(folding_loses_nothing),
        cmocka_unit_test(forgotten_lines_stay_in_their_functions),
        cmocka_unit_test(folded_call_sites_have_bounds),
        cmocka_unit_test(segments_that_were_pending_count),
        cmocka_unit_test(what_was_forgotten_is_bounded),
        cmocka_unit_test(forgotten_call_sites_may_be_of_any_line),
        cmocka_unit_test(what_is_no_longer_seen_is_bounded),
        cmocka_unit_test(nothing_is_not_the_same_as_what_was_lost),
        cmocka_unit_test(pending_recursion_counts_once),
        cmocka_unit_test(bounds_are_as_small_as_the_accounts_allow),
        cmocka_unit_test(a_deep_tree_is_no_trouble),
        cmocka_unit_test(an_empty_recording_has_no_metrics),
        cmocka_unit_test(numbers_at_the_end_of_their_range_do_not_wrap),
        cmocka_unit_test(folded_numbers_do_not_wrap_either),
        cmocka_unit_test(the_peak_is_shared_among_chosen_functions),
        cmocka_unit_test(variances_reach_their_rows),
        cmocka_unit_test(standard_errors_are_roots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
