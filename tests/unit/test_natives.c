// SPDX-License-Identifier: MIT
// needs: reporter/natives.c reporter/metrics.c reporter/accounts.c reporter/errors.c reporter/model.c
// needs: reporter/ending.c
// needs: reporter/reader.c reporter/reader_check.c reporter/reader_replay.c reporter/reader_recording.c
// needs: reporter/memory.c reporter/text.c tests/unit/recording_builder.c
//
// Which native functions are named in a Python program, and for which line.

#include "reporter/natives.h"
#include "tests/unit/recording_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct builder *b;
    uint32_t user, library;       // nodes of Python lines: a.py:2, and inside it lib.py:7
    uint32_t taker, caller, back; // native functions
    char *directory;
    struct model *model;
    struct metrics *metrics;
};

static void world_make(struct world *w) {
    w->b = builder_new(1, 0);
    uint32_t module = builder_module(w->b, "/lib/numbers.so");
    uint32_t main = builder_python(w->b, "a.py", "main", 1),
             helper = builder_python(w->b, "lib.py", "helper", 5);
    w->user = builder_node(w->b, 1, builder_line(w->b, main, 2));
    w->library = builder_node(w->b, w->user, builder_line(w->b, helper, 7));
    w->taker = builder_native(w->b, module, 0x100);
    w->caller = builder_native(w->b, module, 0x200);
    w->back = builder_python(w->b, "a.py", "back", 10);
}

static struct natives_row *world_find(struct world *w, size_t most, size_t *count) {
    struct reader_error error;
    w->directory = builder_directory();
    builder_write(w->b, w->directory);
    w->model = model_open(w->directory, &error);
    assert_non_null(w->model);
    struct model_process *p = &w->model->processes[0];
    assert_true(model_load(w->model, p, NULL, &error));
    w->metrics = metrics_compute(p);
    bool *user = calloc(p->function_count, sizeof *user);
    for (uint32_t i = 0; i < p->function_count; i++)
        user[i] = p->functions[i].file && strcmp(p->functions[i].file, "a.py") == 0;
    struct natives_row *rows = natives_find(p, w->metrics, user, most, count);
    free(user);
    return rows;
}

static void world_free(struct world *w) {
    metrics_free(w->metrics);
    model_close(w->model);
    builder_remove_directory(w->directory);
    builder_free(w->b);
}

static const char *name_of(const struct world *w, const struct natives_row *row) {
    return w->model->processes[0].functions[row->function].name;
}

static uint32_t line_of(const struct world *w, const struct natives_row *row) {
    return row->line == UINT32_MAX ? 0 : w->model->processes[0].lines[row->line].line;
}

static void who_took_it_and_for_whom(void **state) {
    (void)state;
    struct world w;
    world_make(&w);
    uint32_t other = builder_node(w.b, 1, builder_line(w.b, w.back, 11));
    uint32_t site = builder_site(w.b, w.taker, 0x110);
    // Small sums for a.py:11, a large one for a.py:2, by way of a library.
    builder_allocate(w.b, builder_node(w.b, other, site), 100);
    builder_allocate(w.b, builder_node(w.b, w.library, site), 5000);
    builder_allocate(w.b, builder_node(w.b, other, site), 100);
    size_t count;
    struct natives_row *rows = world_find(&w, 10, &count);
    assert_int_equal(count, 1);
    assert_string_equal(name_of(&w, rows), "numbers.so+0x100");
    assert_int_equal(line_of(&w, rows), 2);
    free(rows);
    world_free(&w);
}

static void who_only_calls_back_is_left_out(void **state) {
    (void)state;
    struct world w;
    world_make(&w);
    uint32_t calling = builder_node(w.b, w.user, builder_site(w.b, w.caller, 0x210));
    uint32_t back = builder_node(w.b, calling, builder_line(w.b, w.back, 11));
    builder_allocate(w.b, calling, 900);
    builder_allocate(w.b, back, 1000);
    builder_allocate(w.b, builder_node(w.b, back, builder_site(w.b, w.taker, 0x110)), 500);
    size_t count;
    struct natives_row *rows = world_find(&w, 10, &count);
    assert_int_equal(count, 1);
    assert_string_equal(name_of(&w, rows), "numbers.so+0x100");
    assert_int_equal(line_of(&w, rows), 11);
    free(rows);
    world_free(&w);
}

static void what_python_did_not_call_is_left_out(void **state) {
    (void)state;
    struct world w;
    world_make(&w);
    builder_allocate(w.b, builder_node(w.b, 1, builder_site(w.b, w.caller, 0x210)), 5000);
    builder_allocate(w.b, builder_node(w.b, w.user, builder_site(w.b, w.taker, 0x110)), 30); // less than 1 %
    size_t count;
    struct natives_row *rows = world_find(&w, 10, &count);
    assert_int_equal(count, 0);
    free(rows);
    world_free(&w);
}

static void the_largest_come_first(void **state) {
    (void)state;
    struct world w;
    world_make(&w);
    builder_allocate(w.b, builder_node(w.b, w.user, builder_site(w.b, w.caller, 0x210)), 700);
    builder_allocate(w.b, builder_node(w.b, w.user, builder_site(w.b, w.taker, 0x110)), 800);
    size_t count;
    struct natives_row *rows = world_find(&w, 10, &count);
    assert_int_equal(count, 2);
    assert_string_equal(name_of(&w, &rows[0]), "numbers.so+0x100");
    assert_string_equal(name_of(&w, &rows[1]), "numbers.so+0x200");
    free(rows);
    world_free(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_took_it_and_for_whom),
        cmocka_unit_test(who_only_calls_back_is_left_out),
        cmocka_unit_test(what_python_did_not_call_is_left_out),
        cmocka_unit_test(the_largest_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
