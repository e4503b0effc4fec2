// SPDX-License-Identifier: MIT
// needs: shim/peak.c reporter/reader_replay.c
//
// The arithmetic of peaks against brute force: random trees with recursion, random events, every account
// recomputed from scratch after each event. And flushes against a process that ends at any instruction of
// them.

#include "reporter/reader_replay.h"
#include "tests/programs/single_step.h"
#include "tests/unit/peak_event.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FUNCTIONS 4
#define LINES 3 // per function
#define FRAMES (FUNCTIONS * LINES + 1)
#define NODES 60
#define EVENTS 400
#define SEEDS 400

struct world {
    struct record_header header;
    struct record_node nodes[NODES];
    struct record_frame frames[FRAMES];
    struct record_function functions[FUNCTIONS + 1];
    struct peak_books books;
};

// What brute force knows: live bytes by node, and the highest sum that each account ever had.
struct judge {
    int64_t live[NODES], peak[NODES];
    int64_t frame_total[FRAMES], frame_self[FRAMES];
    int64_t function_total[FUNCTIONS + 1], function_self[FUNCTIONS + 1];
    int64_t frame_live[FRAMES], function_live[FUNCTIONS + 1]; // with all that they called
    int64_t heap, heap_peak, slack, slack_at_peak;
    int64_t at_peak[NODES], heap_high[NODES];
};

static int on_path(const struct world *w, uint32_t node, uint32_t frame, uint32_t function) {
    for (; node > 1; node = w->nodes[node].parent)
        if (w->nodes[node].frame == frame || w->frames[w->nodes[node].frame].function == function)
            return 1;
    return 0;
}

// The innermost frame of the other language on the way to a node; 0 = none.
static uint32_t other_of(const struct world *w, uint32_t node) {
    uint16_t language = w->functions[w->frames[w->nodes[node].frame].function].language;
    for (node = w->nodes[node].parent; node > 1; node = w->nodes[node].parent)
        if (w->functions[w->frames[w->nodes[node].frame].function].language != language)
            return w->nodes[node].frame;
    return 0;
}

static void world_make(struct world *w) {
    memset(w, 0, sizeof *w);
    w->books = (struct peak_books){&w->header, w->nodes, w->frames, w->functions};
    for (uint32_t f = 1; f <= FUNCTIONS; f++)
        w->functions[f].language = f % 2 ? RECORD_PYTHON : RECORD_NATIVE;
    for (uint32_t f = 1; f < FRAMES; f++)
        w->frames[f].function = 1 + (f - 1) / LINES;
    for (uint32_t n = 2; n < NODES; n++) {
        struct record_node *node = &w->nodes[n];
        node->parent = 1 + (uint32_t)rand() % (n - 1);
        node->frame = 1 + (uint32_t)rand() % (FRAMES - 1); // with recursion, also of a frame in itself
        node->depth = w->nodes[node->parent].depth + 1;
        if (!on_path(w, node->parent, node->frame, 0))
            node->flags |= RECORD_NODE_OUTERMOST_FRAME;
        if (!on_path(w, node->parent, 0, w->frames[node->frame].function))
            node->flags |= RECORD_NODE_OUTERMOST_FUNCTION;
        node->flags |= other_of(w, n) << RECORD_NODE_OTHER_SHIFT;
    }
}

static void judge_raise(int64_t *peak, int64_t value) {
    if (value > *peak)
        *peak = value;
}

static void judge_event(struct judge *j, const struct world *w, uint32_t node, int64_t change,
                        int64_t slack) {
    j->live[node] += change;
    j->heap += change;
    j->slack += slack;
    if (slack >= 0) // an allocation
        judge_raise(&j->heap_high[node], j->heap);
    int64_t frame_total[FRAMES] = {0}, frame_self[FRAMES] = {0};
    int64_t function_total[FUNCTIONS + 1] = {0}, function_self[FUNCTIONS + 1] = {0};
    for (uint32_t n = 1; n < NODES; n++) {
        judge_raise(&j->peak[n], j->live[n]);
        for (uint32_t f = 1; f < FRAMES; f++)
            if (on_path(w, n, f, 0))
                frame_total[f] += j->live[n];
        for (uint32_t f = 1; f <= FUNCTIONS; f++)
            if (on_path(w, n, 0, f))
                function_total[f] += j->live[n];
        frame_self[w->nodes[n].frame] += j->live[n];
        function_self[w->frames[w->nodes[n].frame].function] += j->live[n];
        frame_self[other_of(w, n)] += j->live[n];
        function_self[w->frames[other_of(w, n)].function] += j->live[n];
    }
    for (uint32_t f = 1; f < FRAMES; f++) {
        judge_raise(&j->frame_total[f], frame_total[f]);
        judge_raise(&j->frame_self[f], frame_self[f]);
    }
    for (uint32_t f = 1; f <= FUNCTIONS; f++) {
        judge_raise(&j->function_total[f], function_total[f]);
        judge_raise(&j->function_self[f], function_self[f]);
    }
    memcpy(j->frame_live, frame_total, sizeof j->frame_live);
    memcpy(j->function_live, function_total, sizeof j->function_live);
    if (j->heap > j->heap_peak) {
        j->heap_peak = j->heap;
        j->slack_at_peak = j->slack;
        memcpy(j->at_peak, j->live, sizeof j->at_peak);
    }
}

static void compare(const struct judge *j, const struct world *original) {
    struct world w = *original; // flushing must not disturb what follows
    w.books = (struct peak_books){&w.header, w.nodes, w.frames, w.functions};
    peak_flush(&w.books);
    assert_int_equal(w.header.heap_live, j->heap);
    assert_int_equal(w.header.heap_peak, j->heap_peak);
    assert_int_equal(w.header.slack_live, j->slack);
    assert_int_equal(w.header.slack_at_peak, j->slack_at_peak);
    for (uint32_t n = 1; n < NODES; n++) {
        assert_int_equal(w.nodes[n].live, j->live[n]);
        assert_int_equal(w.nodes[n].peak, j->peak[n]);
        assert_int_equal(w.nodes[n].heap_high, j->heap_high[n]);
        assert_int_equal(peak_saved(&w.header, &w.nodes[n]), j->at_peak[n]);
        assert_int_equal(w.nodes[n].segment_net, 0);
        assert_int_equal(w.nodes[n].segment_high, 0);
    }
    for (uint32_t f = 1; f < FRAMES; f++) {
        assert_int_equal(w.frames[f].account.total_peak, j->frame_total[f]);
        assert_int_equal(w.frames[f].account.total_live, j->frame_live[f]);
        assert_int_equal(w.frames[f].account.self_peak, j->frame_self[f]);
    }
    for (uint32_t f = 1; f <= FUNCTIONS; f++) {
        assert_int_equal(w.functions[f].account.total_peak, j->function_total[f]);
        assert_int_equal(w.functions[f].account.total_live, j->function_live[f]);
        assert_int_equal(w.functions[f].account.self_peak, j->function_self[f]);
    }
}

// A run of events of the node, or of another one. Returns how many they were.
static int random_run(struct world *w, struct judge *j, uint32_t *node) {
    if (rand() % 3)
        *node = 2 + (uint32_t)rand() % (NODES - 2);
    struct peak_run run = PEAK_RUN_NONE;
    const int length = 1 + rand() % 4;
    for (int i = 0; i < length; i++) {
        int64_t size = rand() % 1000, slack = rand() % 16;
        if (rand() % 2 && j->live[*node]) {
            size %= j->live[*node] + 1;
            peak_subtract(&run, size, slack + 1);
            judge_event(j, w, *node, -size, -slack - 1);
        } else {
            peak_add(&run, size, slack);
            judge_event(j, w, *node, size, slack);
        }
    }
    peak_apply(&w->books, *node, &run);
    return length;
}

static void random_programs_equal_brute_force(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        srand(seed);
        struct world w;
        struct judge j;
        memset(&j, 0, sizeof j);
        world_make(&w);
        uint32_t node = 2;
        for (int event = 0; event < EVENTS;) {
            event += random_run(&w, &j, &node);
            if (rand() % 20 == 0)
                compare(&j, &w);
        }
        compare(&j, &w);
    }
}

// ---- a process that ends in the midst of a flush ----

#define COPIES 4096

static struct world copies[COPIES], stepped;
static volatile int copied;

// After each instruction.
static void on_step(int signal) {
    (void)signal;
    if (copied < COPIES)
        copies[copied++] = stepped;
}

static void read_back(struct world *w) {
    struct reader_image image = {.header = w->header,
                                 .nodes = w->nodes,
                                 .frames = w->frames,
                                 .functions = w->functions,
                                 .node_count = NODES,
                                 .frame_count = FRAMES,
                                 .function_count = FUNCTIONS + 1};
    reader_replay(&image, NULL, 0);
    w->header = image.header;
}

static void flushes_can_end_anywhere(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); // it would deliver the signal later
#endif
    struct judge j;
    assert_true(signal(SIGTRAP, on_step) != SIG_ERR);
    for (unsigned seed = 1; seed <= 10; seed++) {
        srand(seed);
        memset(&j, 0, sizeof j);
        world_make(&stepped);
        uint32_t node = 2;
        for (int event = 0; event < EVENTS;)
            event += random_run(&stepped, &j, &node);
        copied = 0;
        single_step_begin();
        peak_move(&stepped.books, NODES - 1);
        peak_move(&stepped.books, 2);
        peak_flush(&stepped.books);
        single_step_end();
        assert_in_range(copied, 100, COPIES - 1);
        for (int i = 0; i < copied; i++) {
            read_back(&copies[i]);
            compare(&j, &copies[i]);
        }
    }
}

static void raise_is_reported(void **state) {
    (void)state;
    struct world w;
    world_make(&w);
    assert_true(peak_event(&w.books, 2, 7, 1));
    assert_false(peak_event(&w.books, 2, -7, -1));
    assert_false(peak_event(&w.books, 2, 7, 9)); // as high as before is no raise
    assert_true(peak_event(&w.books, 3, 1, 2));
    assert_int_equal(w.header.heap_peak, 8);
    assert_int_equal(w.header.slack_at_peak, 11);
    assert_int_equal(w.header.peak_seq, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_equal_brute_force),
        cmocka_unit_test(raise_is_reported),
        cmocka_unit_test(flushes_can_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
