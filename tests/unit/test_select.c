// SPDX-License-Identifier: MIT
// needs: reporter/select.c reporter/model.c reporter/ending.c
// needs: reporter/reader.c reporter/reader_check.c reporter/reader_replay.c reporter/reader_recording.c
// needs: reporter/memory.c reporter/text.c
//
// What a report shows: filters and order.

#include "reporter/select.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// A process by hand: one line per function unless said otherwise.
static struct model_function functions[] = {
    {.file = "/home/me/eval.py", .name = "Model.fit", .first_line = 3, .language = RECORD_PYTHON},
    {.file = "eval.py", .name = "main", .first_line = 40, .language = RECORD_PYTHON},
    {.file = "/usr/lib/python3.11/json/decoder.py", .name = "decode", .language = RECORD_PYTHON},
    {.file = "/srv/venv/lib/python3.12/site-packages/x.py", .name = "x", .language = RECORD_PYTHON},
    {.file = "/usr/lib/python3/dist-packages/y.py", .name = "y", .language = RECORD_PYTHON},
    {.file = "<frozen importlib._bootstrap>", .name = "_load", .language = RECORD_PYTHON},
    {.file = "<string>", .name = "<module>", .language = RECORD_PYTHON},
    {.file = "/src/gone.c", .name = "ns::run(int)", .module = "/bin/prog", .language = RECORD_NATIVE},
    {.file = "/usr/include/c++/12/bits/stl_vector.h",
     .name = "push_back",
     .module = "/bin/prog",
     .language = RECORD_NATIVE},
    {.name = "malloc_wrapper", .module = "/lib/libx.so", .language = RECORD_NATIVE},
    {.file = "./malloc/arena.c", .name = "arena", .module = "/lib/libc.so.6", .language = RECORD_NATIVE},
    {.name = "prog+0x10", .module = "/bin/prog", .language = RECORD_NATIVE},
    {.name = "sort_r",
     .module = "/lib/libc.so.6",
     .language = RECORD_NATIVE,
     .aliases = (const char *const[]){"__sort_r", "ns::sort(void*)", NULL}},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };
static struct model_line lines[FUNCTIONS];
static struct metrics_entry entries[FUNCTIONS];
static struct record_header header;
static struct model_process process;
static struct metrics metrics;

static int set_up(void **state) {
    (void)state;
    static struct reader_image image;
    memset(entries, 0, sizeof entries);
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        lines[i] = (struct model_line){.function = i, .file = functions[i].file, .line = i + 1};
        entries[i].contexts = 1;
        entries[i].total.peak = 100 - i;
    }
    image.header = header;
    process = (struct model_process){.image = &image,
                                     .executable = "/bin/prog",
                                     .functions = functions,
                                     .lines = lines,
                                     .function_count = FUNCTIONS,
                                     .line_count = FUNCTIONS};
    metrics = (struct metrics){.lines = entries, .functions = entries};
    return 0;
}

static void expect(const struct select_options *options, const char *wanted) {
    size_t count;
    char names[512] = "";
    uint32_t *chosen = select_functions(&process, &metrics, options, &count);
    for (size_t i = 0; i < count; i++) {
        strcat(names, i ? " " : "");
        strcat(names, functions[chosen[i]].name);
    }
    free(chosen);
    assert_string_equal(names, wanted);
    chosen = select_lines(&process, &metrics, options, &count);
    for (size_t i = 0; i < count; i++)
        assert_non_null(strstr(wanted, functions[lines[chosen[i]].function].name));
    free(chosen);
}

static void globs_choose_functions(void **state) {
    (void)state;
    expect(&(struct select_options){.function = "Model.fit"}, "Model.fit");
    expect(&(struct select_options){.function = "fit"}, "Model.fit"); // its last part
    expect(&(struct select_options){.function = "Model"}, "");
    expect(&(struct select_options){.function = "m*"}, "main malloc_wrapper");
    expect(&(struct select_options){.function = "ns::run"}, "ns::run(int)"); // without parameters
    expect(&(struct select_options){.function = "ns::run(int)"}, "ns::run(int)");
    expect(&(struct select_options){.function = "[xy]"}, "x y");
    expect(&(struct select_options){.function = "sort_r"}, "sort_r"); // any of its names
    expect(&(struct select_options){.function = "__sort_r"}, "sort_r");
    expect(&(struct select_options){.function = "ns::sort"}, "sort_r");
    expect(&(struct select_options){.function = "sort"}, "");
}

static void globs_choose_files(void **state) {
    (void)state;
    expect(&(struct select_options){.file = "eval.py"}, "Model.fit main"); // path or base name
    expect(&(struct select_options){.file = "/home/*"}, "Model.fit");
    expect(&(struct select_options){.file = "*.c"}, "ns::run(int) arena");
    expect(&(struct select_options){.file = "*.c", .function = "a*"}, "arena");
}

static void top_limits(void **state) {
    (void)state;
    expect(&(struct select_options){.top = 2}, "Model.fit main");
    expect(&(struct select_options){.top = 99, .file = "eval.py"}, "Model.fit main");
    entries[0].contexts = 0; // never on a stack
    expect(&(struct select_options){.top = 1}, "main");
}

static void each_column_sorts(void **state) {
    (void)state;
    static const struct {
        const char *name;
        size_t offset;
    } columns[] = {
        {"peak", offsetof(struct metrics_entry, total.peak)},
        {"mem-usage", offsetof(struct metrics_entry, mem_usage)},
        {"mem_usage", offsetof(struct metrics_entry, mem_usage)},
        {"increment", offsetof(struct metrics_entry, total.allocated_bytes)},
        {"allocations", offsetof(struct metrics_entry, total.allocations)},
        {"allocated", offsetof(struct metrics_entry, total.allocated_bytes)},
        {"at-peak", offsetof(struct metrics_entry, total.at_peak)},
        {"live-at-exit", offsetof(struct metrics_entry, total.live)},
        {"freed", offsetof(struct metrics_entry, total.freed_bytes)},
        {"temporary", offsetof(struct metrics_entry, total.temporary)},
    };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        struct select_options options = {.top = 2};
        set_up(NULL);
        assert_true(select_parse_column(columns[i].name, &options.sort));
        for (uint32_t f = 0; f < FUNCTIONS; f++)
            entries[f].total.peak = 0;
        *(int64_t *)((char *)&entries[3] + columns[i].offset) = 7;
        *(int64_t *)((char *)&entries[9] + columns[i].offset) = 8;
        expect(&options, "malloc_wrapper x");
    }
    struct select_options options = {.top = 2};
    assert_true(select_parse_column("file", &options.sort));
    expect(&options, "arena Model.fit");
    enum select_column column;
    assert_false(select_parse_column("pea", &column));
    assert_false(select_parse_column("peaks", &column));
    assert_false(select_parse_column("", &column));
}

static void negative_increments_come_last(void **state) {
    (void)state;
    struct select_options options = {.sort = SELECT_INCREMENT, .file = "eval.py"};
    entries[0].total.freed_bytes = 50;
    metrics.frees_known = true;
    expect(&options, "main Model.fit");
    // Nobody knows which line has freed: what they still hold.
    metrics.frees_known = false;
    entries[0].total.live = 7;
    entries[1].total.live = 5;
    expect(&options, "Model.fit main");
    entries[0].total.live = 3;
    expect(&options, "main Model.fit");
}

static void equal_peaks_show_the_caller_first(void **state) {
    (void)state;
    entries[0].total.peak = entries[1].total.peak = 100;
    entries[1].total.allocated_bytes = 5;
    expect(&(struct select_options){.file = "eval.py"}, "main Model.fit");
}

static void scopes_are_no_functions(void **state) {
    (void)state;
    struct model_function kept = functions[1];
    size_t count;
    functions[1] = (struct model_function){.name = "load", .language = RECORD_SCOPE};
    uint32_t *numbers = select_scopes(&process, &metrics, SELECT_PEAK, &count);
    assert_int_equal(count, 1);
    assert_int_equal(numbers[0], 1);
    free(numbers);
    struct select_options options = {.function = "load"};
    expect(&options, "");
    functions[1] = kept;
}

static void the_programs_choice_keeps_its_order(void **state) {
    (void)state;
    struct select_options options = {.top = 0};
    size_t count;
    functions[4].chosen = 2;
    functions[0].chosen = 7;
    functions[2].chosen = 5;
    entries[2].contexts = 0; // never ran
    uint32_t *numbers = select_chosen(&process, &options, &count);
    assert_int_equal(count, 3);
    assert_true(numbers[0] == 4 && numbers[1] == 2 && numbers[2] == 0);
    free(numbers);
    options.chosen = (const uint32_t[]){7, 99, 2};
    options.chosen_count = 3;
    numbers = select_chosen(&process, &options, &count);
    assert_int_equal(count, 2);
    assert_true(numbers[0] == 4 && numbers[1] == 0);
    free(numbers);
    functions[4].chosen = functions[0].chosen = functions[2].chosen = 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(globs_choose_functions, set_up),
        cmocka_unit_test_setup(globs_choose_files, set_up),
        cmocka_unit_test_setup(top_limits, set_up),
        cmocka_unit_test_setup(each_column_sorts, set_up),
        cmocka_unit_test_setup(negative_increments_come_last, set_up),
        cmocka_unit_test_setup(equal_peaks_show_the_caller_first, set_up),
        cmocka_unit_test_setup(scopes_are_no_functions, set_up),
        cmocka_unit_test_setup(the_programs_choice_keeps_its_order, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
