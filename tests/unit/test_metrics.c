// SPDX-License-Identifier: MIT
// needs: reporter/metrics.c reporter/model.c reporter/ending.c reporter/reader.c
// needs: reporter/reader_recording.c reporter/memory.c reporter/text.c tests/unit/recording_builder.c
//
// Metrics against brute force: random trees with recursion, call sites that share lines, inlined functions
// and both languages; every sum and every peak worked out again from the list of events.

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
#define NODES 40
#define EVENTS 300

static unsigned random_state;

static unsigned pick(unsigned below) {
    random_state = random_state * 1103515245u + 12345u;
    return (random_state >> 12) % below;
}

// ---- a world ----

enum kind { PYTHON, NATIVE, MIXED };

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

static struct builder *random_world(enum kind kind) {
    struct builder *b = builder_new(1, 0);
    uint32_t module = builder_module(b, "/bin/x"), frames[FUNCTIONS * SITES], nodes[NODES + 1] = {1};
    for (unsigned f = 0; f < FUNCTIONS; f++) {
        char name[8] = {'p', (char)('0' + f), '\0'};
        bool python = kind == PYTHON || (kind == MIXED && f % 2);
        uint32_t function =
            python ? builder_python(b, "p.py", name, f + 1) : builder_native(b, module, (f + 1) << 8);
        for (unsigned s = 0; s < SITES; s++)
            frames[f * SITES + s] =
                python ? builder_line(b, function, s + 1) : builder_site(b, function, ((f + 1) << 8) + s + 1);
    }
    for (unsigned i = 1; i <= NODES; i++)
        nodes[i] = builder_node(b, nodes[pick(i)], frames[pick(FUNCTIONS * SITES)]);
    int64_t live[NODES + 1] = {0};
    for (unsigned i = 0; i < EVENTS; i++) {
        unsigned at = 1 + pick(NODES), where = pick(4) ? 1 + pick(NODES) : 0;
        // Mostly allocations at first, mostly frees at last: so that the peak is inside.
        if (live[at] && pick(EVENTS) < i) {
            int64_t size = pick(3) ? live[at] : 1 + (int64_t)pick((unsigned)live[at]);
            live[at] -= size;
            builder_release(b, nodes[at], size, where ? nodes[where] : 0);
        } else {
            int64_t size = 1 + (int64_t)pick(1000);
            live[at] += size;
            builder_allocate(b, nodes[at], size);
        }
    }
    for (unsigned i = 1; i <= NODES; i++)
        b->nodes[nodes[i]].temporary = pick(5);
    return b;
}

// ---- the truth ----

static uint32_t entry_of(const struct model_process *p, uint32_t line, bool functions) {
    return functions ? p->lines[line].function : line;
}

static bool is_on_path(const struct model_process *p, uint32_t node, uint32_t entry, bool functions) {
    for (; node > 1; node = p->image->nodes[node].parent) {
        uint32_t frame = p->image->nodes[node].frame;
        for (uint32_t i = p->first_level[frame]; i < p->first_level[frame + 1]; i++)
            if (entry_of(p, p->levels[i], functions) == entry)
                return true;
    }
    return false;
}

static bool is_innermost(const struct model_process *p, uint32_t node, uint32_t entry, bool functions) {
    uint32_t line = functions ? 0 : entry, function = functions ? entry : p->lines[line].function;
    for (; node > 1; node = p->image->nodes[node].parent) {
        uint32_t frame = p->image->nodes[node].frame, last = p->levels[p->first_level[frame + 1] - 1];
        if (p->functions[p->lines[last].function].language == p->functions[function].language)
            return entry_of(p, last, functions) == entry;
    }
    return false;
}

struct truth {
    struct metrics_measure measure;
    int64_t mem_usage;
};

static struct truth work_out(const struct builder *b, const struct model_process *p, const bool *members) {
    struct truth t = {0};
    int64_t heap = 0, heap_peak = 0;
    for (size_t i = 0; i < b->event_count; i++) {
        const struct builder_event *e = &b->events[i];
        heap += e->change;
        if (members[e->node]) {
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
        if (e->free_node && members[e->free_node]) {
            t.measure.freed_bytes += (uint64_t)-e->change;
            t.measure.frees++;
        }
    }
    for (uint32_t i = 2; i < p->image->node_count; i++)
        if (members[i])
            t.measure.temporary += p->image->nodes[i].temporary;
    return t;
}

static unsigned bounds, entries;

static void compare(const struct metrics_measure *got, const struct metrics_measure *truth,
                    int64_t heap_peak) {
    assert_int_equal(got->allocated_bytes, truth->allocated_bytes);
    assert_int_equal(got->allocations, truth->allocations);
    assert_int_equal(got->freed_bytes, truth->freed_bytes);
    assert_int_equal(got->frees, truth->frees);
    assert_int_equal(got->temporary, truth->temporary);
    assert_int_equal(got->at_peak, truth->at_peak);
    assert_int_equal(got->live, truth->live);
    if (got->peak_exact)
        assert_int_equal(got->peak, truth->peak);
    else
        assert_true(got->peak >= truth->peak && got->peak <= heap_peak &&
                    got->peak <= (int64_t)got->allocated_bytes);
    bounds += !got->peak_exact;
    entries++;
}

static void check_entries(const struct builder *b, const struct model_process *p, const struct metrics *m,
                          bool functions) {
    uint32_t count = functions ? p->function_count : p->line_count;
    for (uint32_t entry = 0; entry < count; entry++) {
        const struct metrics_entry *got = functions ? &m->functions[entry] : &m->lines[entry];
        bool total[NODES + 2] = {0}, self[NODES + 2] = {0};
        uint32_t contexts = 0;
        for (uint32_t node = 2; node < NODES + 2; node++) {
            total[node] = is_on_path(p, node, entry, functions);
            self[node] = is_innermost(p, node, entry, functions);
            contexts += total[node] && !is_on_path(p, p->image->nodes[node].parent, entry, functions);
        }
        struct truth total_truth = work_out(b, p, total), self_truth = work_out(b, p, self);
        compare(&got->total, &total_truth.measure, p->image->header.heap_peak);
        compare(&got->self, &self_truth.measure, p->image->header.heap_peak);
        assert_int_equal(got->mem_usage, total_truth.mem_usage);
        assert_int_equal(got->contexts, contexts);
        assert_true(got->self.peak <= got->total.peak);
        if (!functions) {
            const struct metrics_entry *owner = &m->functions[p->lines[entry].function];
            assert_true(got->total.peak <= owner->total.peak);
        }
    }
}

static void check_nodes(const struct builder *b, const struct model_process *p) {
    for (uint32_t node = 2; node < NODES + 2; node++) {
        bool members[NODES + 2] = {0};
        members[node] = true;
        struct truth truth = work_out(b, p, members);
        struct metrics_measure got = metrics_of_node(p, node);
        compare(&got, &truth.measure, p->image->header.heap_peak);
        assert_true(got.peak_exact);
    }
}

static void run_worlds(enum kind kind) {
    struct model_resolver resolver = {.resolve = fake_resolve};
    bounds = entries = 0;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        random_state = seed * 2654435761u;
        struct builder *b = random_world(kind);
        char *directory = builder_directory();
        struct reader_error error;
        builder_write(b, directory);
        struct model *model = model_open(directory, &error);
        assert_non_null(model);
        struct model_process *p = &model->processes[0];
        assert_true(model_load(model, p, &resolver, &error));
        struct metrics *m = metrics_compute(p);
        check_entries(b, p, m, false);
        check_entries(b, p, m, true);
        check_nodes(b, p);
        metrics_free(m);
        model_close(model);
        builder_remove_directory(directory);
        builder_free(b);
    }
}

static void python_is_exact(void **state) {
    (void)state;
    run_worlds(PYTHON);
    assert_int_equal(bounds, 0);
}

static void native_is_exact_or_bounded(void **state) {
    (void)state;
    run_worlds(NATIVE);
    assert_true(bounds > 0);
    assert_true(bounds * 2 < entries);
}

static void both_languages_have_their_own_innermost(void **state) {
    (void)state;
    run_worlds(MIXED);
    assert_true(bounds * 2 < entries);
}

// ---- by hand ----

struct hand {
    struct builder *b;
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
    assert_true(model_load(h->model, h->process, NULL, &error));
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_is_exact),
        cmocka_unit_test(native_is_exact_or_bounded),
        cmocka_unit_test(both_languages_have_their_own_innermost),
        cmocka_unit_test(segments_that_were_pending_count),
        cmocka_unit_test(a_deep_tree_is_no_trouble),
        cmocka_unit_test(an_empty_recording_has_no_metrics),
        cmocka_unit_test(numbers_at_the_end_of_their_range_do_not_wrap),
        cmocka_unit_test(the_peak_is_shared_among_chosen_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
