// SPDX-License-Identifier: MIT
// needs: reporter/render/render.c reporter/render/notes.c reporter/render/json.c reporter/render/emit.c
// needs: reporter/render/table.c reporter/render/listing.c reporter/render/summary.c reporter/message.c
// needs: reporter/render/marks.c
// needs: reporter/select.c reporter/users.c reporter/natives.c reporter/source.c reporter/source_extent.c
// needs: reporter/metrics.c reporter/accounts.c reporter/errors.c reporter/ending.c reporter/reader.c
// needs: reporter/model.c reporter/reader_check.c reporter/reader_replay.c reporter/reader_recording.c
// needs: reporter/symbolize.c reporter/debuginfo.c reporter/memory.c reporter/text.c
// needs: tests/unit/recording_builder.c
//
// The formats, from recordings that are known: the table word for word, the JSON against its schema.

#include "reporter/render/render.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/recording_builder.h"

#define KIB 1024

static const char source[] = "import json\n"
                             "\n"
                             "def load(path):\n"
                             "\tdata = read(path)\n"
                             "    kept = parse(data)\n"
                             "    del data\n"
                             "    return kept\n"
                             "\n"
                             "rows = load('x')\n";

static struct builder *evaluation(const char *directory) {
    struct builder *b = builder_new(4242, 0);
    static const char *const argv[] = {"python3", "eval.py", NULL};
    builder_command(b, argv);
    b->header.cwd = builder_string(b, directory);
    b->header.python_version = builder_string(b, "3.11.2");
    b->header.peak_ns = 250000000;
    uint32_t file_name = builder_python(b, "eval.py", "<module>", 1);
    uint32_t load = builder_python(b, "eval.py", "load", 3);
    uint32_t library = builder_python(b, "/usr/lib/python3.11/json.py", "parse", 10);
    uint32_t main = builder_node(b, 1, builder_line(b, file_name, 9));
    uint32_t reading = builder_node(b, main, builder_line(b, load, 4));
    uint32_t parsing = builder_node(b, main, builder_line(b, load, 5));
    uint32_t parse = builder_node(b, parsing, builder_line(b, library, 12));
    uint32_t deleting = builder_node(b, main, builder_line(b, load, 6));
    builder_allocate(b, reading, 60 * KIB);
    builder_allocate(b, parse, 5 * KIB);
    builder_allocate(b, parse, 7 * KIB);
    builder_release(b, parse, 7 * KIB, parse);
    builder_release(b, reading, 60 * KIB, deleting);
    return b;
}

// ---- running a format ----

struct run {
    char *directory;
    struct render_options options;
    char *text;
};

static void print(struct run *run, const char *format) {
    struct reader_error error;
    struct render_input input = {.model = model_open(run->directory, &error), .options = run->options};
    size_t size;
    assert_non_null(input.model);
    FILE *out = open_memstream(&run->text, &size);
    assert_non_null(out);
    for (const struct render_format *f = render_formats; f->name; f++)
        if (strcmp(f->name, format) == 0)
            assert_true(f->print(&input, out, &error));
    fclose(out);
    model_close(input.model);
}

static struct run run_evaluation(bool with_source) {
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    builder_write(b, run.directory);
    builder_free(b);
    if (with_source)
        builder_write_bytes(run.directory, "eval.py", source, strlen(source));
    return run;
}

static void end_run(struct run *run) {
    free(run->text);
    builder_remove_directory(run->directory);
}

static void expect_text(const char *text, const char *wanted) {
    if (!strstr(text, wanted))
        print_message("missing:\n%s\nin:\n%s\n", wanted, text);
    assert_non_null(strstr(text, wanted));
}

static void expect_none(const char *text, const char *unwanted) {
    if (strstr(text, unwanted))
        print_message("unwanted:\n%s\nin:\n%s\n", unwanted, text);
    assert_null(strstr(text, unwanted));
}

// ---- the table ----

static void the_table_shows_functions_line_by_line(void **state) {
    (void)state;
    struct run run = run_evaluation(true);
    print(&run, "table");
    assert_string_equal(
        run.text, "python3 eval.py  (pid 4242, exited 0, Python 3.11.2)\n"
                  "  Peak             72.0 KiB  at 0.25 s of 1.00 s\n"
                  "  Usable           72.0 KiB  at the peak, with what the allocator rounded up\n"
                  "  At the end       5.00 KiB  still allocated\n"
                  "  Allocations             3  in 3 contexts; 2 frees\n"
                  "\n"
                  "eval.py: <module>                                           peak 72.0 KiB in 1 context\n"
                  "Line #   Mem usage   Increment        Peak   Allocations  Line Contents\n"
                  "     9    72.0 KiB    5.00 KiB    72.0 KiB             3  rows = load('x')\n"
                  "\n"
                  "eval.py: load                                               peak 72.0 KiB in 3 contexts\n"
                  "Line #   Mem usage   Increment        Peak   Allocations  Line Contents\n"
                  "     3                                                    def load(path):\n"
                  "     4    60.0 KiB    60.0 KiB    60.0 KiB             1          data = read(path)\n"
                  "     5    72.0 KiB    5.00 KiB    12.0 KiB             2      kept = parse(data)\n"
                  "     6               -60.0 KiB         0 B             0      del data\n"
                  "     7                                                        return kept\n"
                  "\n");
    end_run(&run);
}

static void a_source_in_the_recording_is_shown(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    builder_source(b, "other.py", "nothing\n");
    builder_source(b, "eval.py", "1\n2\n\ndef load(path):\n    typed\033 = in(path)\n");
    b->functions[2].first_line = 4;
    builder_write(b, run.directory);
    builder_free(b);
    print(&run, "table");
    expect_text(run.text, "  def load(path):\n");
    expect_text(run.text, "      typed\\x1b = in(path)\n");
    end_run(&run);
}

static void allocators_of_libraries_are_named(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    builder_node(b, 1, builder_line(b, builder_python(b, "/v/pyarrow/__init__.py", "<module>", 1), 3));
    builder_node(b, 1, builder_line(b, builder_python(b, "/v/polars/__init__.py", "<module>", 1), 3));
    b->header.mapped_peak = 63 << 20;
    builder_write(b, run.directory);
    print(&run, "table");
    expect_none(run.text, "allocators of their own");
    free(run.text);
    b->header.mapped_peak = 65 << 20;
    builder_write(b, run.directory);
    print(&run, "table");
    expect_text(run.text, "  Note: What pyarrow, polars may have taken by allocators of their own is part of "
                          "Mapped, and on no line. With ARROW_DEFAULT_MEMORY_POOL=system in the environment, "
                          "pyarrow asks malloc.\n");
    builder_free(b);
    end_run(&run);
}

static void the_summary_quotes_a_cell(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    for (int with = 0; with < 2; with++) {
        if (with)
            builder_source(b, "eval.py", "\n\ndef load(path):\n\tdata = read\033(path)  \n");
        builder_write(b, run.directory);
        size_t size;
        FILE *out = open_memstream(&run.text, &size);
        assert_int_equal(summary_print(run.directory, out), 0);
        fclose(out);
        expect_text(run.text, with ? "of it came from eval.py:4 (load): data = read\\x1b(path)"
                                   : "of it came from eval.py:4 (load)\n");
        free(run.text);
    }
    builder_free(b);
    run.text = NULL;
    end_run(&run);
}

static void a_source_that_is_gone_is_not_made_up(void **state) {
    (void)state;
    struct run run = run_evaluation(false);
    print(&run, "table");
    expect_text(run.text, "eval.py: load                                               peak 72.0 KiB in 3 "
                          "contexts; its source was not found\n");
    expect_text(run.text, "     4    60.0 KiB    60.0 KiB    60.0 KiB             1  (source not found)\n"
                          "     5    72.0 KiB    5.00 KiB    12.0 KiB             2  (source not found)\n");
    end_run(&run);
}

static void a_source_that_changed_is_not_shown(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    b->header.start_realtime_ns = 1;
    builder_write(b, run.directory);
    builder_free(b);
    builder_write_bytes(run.directory, "eval.py", source, strlen(source));
    print(&run, "table");
    expect_text(run.text, "its source is newer than the recording\n");
    expect_text(run.text, "     4    60.0 KiB    60.0 KiB    60.0 KiB             1  (source has changed)\n");
    expect_none(run.text, "data = read");
    end_run(&run);
}

static void filters_choose_tables(void **state) {
    (void)state;
    struct run run = run_evaluation(true);
    run.options.select.function = "pars*";
    print(&run, "table");
    expect_text(run.text, "json.py: parse");
    expect_none(run.text, "eval.py: load");
    free(run.text);
    run.options.select.function = "nothing";
    print(&run, "table");
    expect_text(run.text, "No function that allocated or freed memory matches.\n");
    free(run.text);
    run.options.select = (struct select_options){.top = 1};
    print(&run, "table");
    expect_text(run.text, "eval.py: <module>");
    expect_none(run.text, "eval.py: load");
    expect_text(run.text, "1 more function: --top 2, --function GLOB or --file GLOB shows them.\n");
    end_run(&run);
}

static void a_narrow_terminal_cuts_lines(void **state) {
    (void)state;
    struct run run = run_evaluation(true);
    run.options.width = 79;
    run.options.color = true;
    print(&run, "table");
    expect_text(run.text, "  rows = load('x')\n");
    expect_text(run.text, "          data = read(…\n");
    expect_text(run.text, "\033[1meval.py: load\033[0m");
    end_run(&run);
}

static void a_long_line_is_cut(void **state) {
    (void)state;
    struct run run = run_evaluation(false);
    // 200 characters of two bytes each, one of which begins where the text is cut.
    char text[2048] = "import json\n\ndef load(path):\n    ";
    for (int i = 0; i < 200; i++)
        strcat(text, "é");
    strcat(text, "\n    kept = parse(data)\n");
    builder_write_bytes(run.directory, "eval.py", text, strlen(text));
    print(&run, "table");
    char wanted[1024] = "   1      ";
    for (int i = 0; i < 155; i++)
        strcat(wanted, "é");
    strcat(wanted, "…\n");
    expect_text(run.text, wanted);
    end_run(&run);
}

static void a_title_has_rows(void **state) {
    (void)state;
    struct run run = run_evaluation(true);
    struct builder *b = evaluation(run.directory);
    // A module that matters little, and a function none of whose lines was kept.
    uint32_t module = builder_python(b, "few.py", "<module>", 1),
             gone = builder_python(b, "none.py", "gone", 90);
    builder_allocate(b, builder_node(b, 1, builder_line(b, module, 1)), 3);
    builder_allocate(b, builder_node(b, 1, builder_line(b, module, 2)), 5);
    uint32_t frame = builder_line(b, gone, 91);
    uint32_t node = builder_node(b, 1, frame);
    builder_allocate(b, node, 7 * KIB);
    builder_fold(b, node);
    builder_forget(b, frame);
    builder_write(b, run.directory);
    builder_free(b);
    builder_write_bytes(run.directory, "few.py", "a = 1\nb = 22\n", 14);
    run.options.select.top = 9;
    print(&run, "table");
    expect_text(run.text, "             1  b = 22\n");
    expect_none(run.text, "a = 1");
    expect_text(run.text, "peak 7.00 KiB in folded contexts; its source was not found\n        (none of its "
                          "lines is known)\n\n");
    end_run(&run);
}

static void an_archive_is_named(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = builder_new(7, 0);
    b->header.cwd = builder_string(b, run.directory);
    uint32_t function = builder_python(b, "app.zip/mod.py", "f", 1);
    builder_allocate(b, builder_node(b, 1, builder_line(b, function, 2)), 3 * KIB);
    builder_write(b, run.directory);
    builder_free(b);
    builder_write_bytes(run.directory, "app.zip", "PK", 2);
    print(&run, "table");
    expect_text(
        run.text,
        " in 1 context; its source is in an archive, which is not read: unpack it and run it from there\n");
    expect_text(run.text, "             1  (source in an archive)\n");
    end_run(&run);
}

static void a_scope_may_have_no_name(void **state) {
    (void)state;
    struct run run = run_evaluation(true);
    struct builder *b = evaluation(run.directory);
    uint32_t scope = builder_node(b, 1, builder_line(b, builder_scope(b, ""), 0));
    builder_allocate(b, builder_node(b, scope, builder_line(b, builder_python(b, "eval.py", "f", 20), 21)),
                     5);
    builder_write(b, run.directory);
    builder_free(b);
    print(&run, "table");
    expect_text(run.text, "  (no name)\n");
    free(run.text);
    print(&run, "json");
    expect_text(run.text, "{\"name\":\"\",");
    end_run(&run);
}

static void without_frees_the_increment_is_unknown(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    b->header.flags = 0;
    builder_write(b, run.directory);
    builder_free(b);
    print(&run, "table");
    expect_text(run.text, "     4    60.0 KiB           -    60.0 KiB             1  ");
    end_run(&run);
}

static void names_cannot_drive_the_terminal(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = builder_new(7, 0);
    static const char *const argv[] = {"a\033[31m\n", "\xff", NULL};
    builder_command(b, argv);
    b->header.flags |= RECORD_FLAG_PYTHON_UNSUPPORTED;
    b->header.python_note = builder_string(b, "\033]0;title\007");
    b->header.python_version = builder_string(b, "3\0339");
    uint32_t function = builder_python(b, "x\033[2J.py", "f\r\nfake: line", 1);
    builder_allocate(b, builder_node(b, 1, builder_line(b, function, 1)), 1);
    builder_write(b, run.directory);
    builder_free(b);
    print(&run, "table");
    expect_text(run.text, "a\\x1b[31m\\n \\xff  (pid 7, exited 0, Python 3\\x1b9)\n");
    expect_text(run.text, "x\\x1b[2J.py: f\\r\\nfake: line ");
    expect_text(run.text, "\\x1b]0;title\\x07");
    for (const char *at = run.text; *at; at++)
        assert_true((unsigned char)*at >= 0x20 || *at == '\n');
    end_run(&run);
}

static void several_processes_are_listed(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory), *child = builder_new(4243, 1),
                   *lost = builder_new(4244, 0);
    builder_allocate(
        child, builder_node(child, 1, builder_line(child, builder_python(child, "c.py", "c", 1), 1)), 99);
    child->header.end = RECORD_SIGNALLED;
    child->header.end_signal = 11;
    lost->header.end = RECORD_RUNNING;
    lost->header.lost[RECORD_LOST_NO_MEMORY] = 1;
    builder_write(b, run.directory);
    builder_write(child, run.directory);
    builder_write(lost, run.directory);
    builder_free(b);
    builder_free(child);
    builder_free(lost);
    builder_write_bytes(run.directory, "5000.0", "PEAK", 4);
    print(&run, "table");
    expect_text(run.text, ": 3 processes, highest peak first (--pid PID shows another)\n"
                          "         PID        Peak  End                 Command\n"
                          "        4242    72.0 KiB  exited 0            python3 eval.py\n"
                          "      4243.1        99 B  killed by SIGSEGV   prog\n"
                          "        4244         0 B  end unknown         prog\n");
    expect_text(run.text, "/5000.0 could not be used: cut short: it has 4 bytes.\n");
    expect_none(run.text, "c.py");
    free(run.text);
    run.options.select.pid = 4243;
    print(&run, "table");
    expect_text(run.text, "c.py: c");
    expect_none(run.text, "eval.py: load");
    free(run.text);
    // Functions are looked for in all of them.
    run.options.select.pid = 0;
    run.options.select.function = "c";
    print(&run, "table");
    expect_text(run.text, "prog  (pid 4243");
    expect_text(run.text, "c.py: c");
    expect_none(run.text, "more process");
    free(run.text);
    run.options.select.function = "*";
    print(&run, "table");
    expect_text(run.text, "eval.py: load");
    expect_none(run.text, "c.py: c");
    expect_text(run.text, "1 more process has functions that match: --pid 4243.1.\n");
    free(run.text);
    run.options.select.function = "none";
    print(&run, "table");
    expect_text(run.text, "python3 eval.py  (pid 4242");
    expect_text(run.text, "matches.\n\nNor does any in another process.\n");
    free(run.text);
    run.options.select.function = NULL;
    run.options.select.pid = 4243;
    run.options.select.image = 2;
    print(&run, "table");
    expect_text(run.text, "c.py: c");
    free(run.text);
    run.options.select.image = 1;
    print(&run, "table");
    expect_none(run.text, "c.py: c");
    free(run.text);
    run.options.select.image = 0;
    run.options.select.pid = 4244;
    print(&run, "table");
    expect_text(run.text,
                "  Note: Nothing recorded how it ended: these are the numbers up to its last moment.\n"
                "  Note: 1 block could not be followed, for want of memory; raise the limit if there is one "
                "(`ulimit -v`).\n");
    expect_text(run.text, "Nothing was recorded.\n");
    end_run(&run);
}

static void the_end_of_recording_is_told(void **state) {
    (void)state;
    static const struct {
        uint32_t why;
        const char *note, *reason;
    } cases[] = {
        {RECORD_GAVE_UP_STUCK, "a thread was held in the middle of an update", "stopped_thread"},
        {RECORD_GAVE_UP_ABANDONED, "a signal handler jumped out of a call", "jump"},
        {RECORD_GAVE_UP_DIED, "a thread was cancelled inside a call", "cancelled_thread"},
        {77, "the reason is not known", "unknown"},
    };
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    b->header.lost[RECORD_LOST_ABANDONED] = 3;
    builder_write(b, run.directory);
    print(&run, "table");
    expect_none(run.text, "Recording ended");
    expect_text(run.text, "  Note: 3 calls never ended, as a signal handler jumped out");
    free(run.text);
    print(&run, "json");
    expect_text(run.text, "\"abandoned\":3");
    expect_text(run.text, "\"given_up\":null");
    free(run.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        b->header.given_up = cases[i].why;
        b->header.given_up_ns = 1250000000;
        builder_write(b, run.directory);
        print(&run, "table");
        char text[200];
        snprintf(text, sizeof text, "  Note: Recording ended after 1.250 s, though the process went on: %s",
                 cases[i].note);
        expect_text(run.text, text);
        free(run.text);
        print(&run, "json");
        snprintf(text, sizeof text, "\"given_up\":{\"time\":1.250000000,\"reason\":\"%s\"}", cases[i].reason);
        expect_text(run.text, text);
        free(run.text);
    }
    builder_free(b);
    run.text = NULL;
    end_run(&run);
}

static void small_processes_are_summed_up(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    builder_write(b, run.directory);
    builder_free(b);
    for (uint32_t i = 0; i < 6; i++) {
        struct builder *helper = builder_new(5000 + i, 0);
        builder_allocate(
            helper, builder_node(helper, 1, builder_line(helper, builder_python(helper, "h.py", "h", 1), 1)),
            99);
        if (i == 5) {
            helper->header.end = RECORD_SIGNALLED;
            helper->header.end_signal = 9;
        }
        builder_write(helper, run.directory);
        builder_free(helper);
    }
    print(&run, "table");
    expect_text(run.text, ": 7 processes, highest peak first (--pid PID shows another)\n"
                          "         PID        Peak  End                 Command\n"
                          "        4242    72.0 KiB  exited 0            python3 eval.py\n"
                          "        5005        99 B  killed by SIGKILL   prog\n"
                          "         ...  and 5 below 100 KiB: --format json has them all\n\n");
    end_run(&run);
}

static void own_cost_is_told(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    b->header.hook_ns = 125000000;
    b->header.hook_samples = 10;
    b->header.table_bytes = 3 << 20;
    b->header.lost[RECORD_LOST_TABLE_FULL] = 2;
    builder_write(b, run.directory);
    print(&run, "table");
    expect_text(run.text,
                "  Own cost           0.12 s  of recording, 12.5 % of the run, estimated; its tables took "
                "3.00 MiB\n");
    expect_text(
        run.text,
        "  Note: The recording had no room for more: `run --max-size` gives it more (16M without).\n");
    free(run.text);
    b->header.hook_ns = 2000000000; // of a second
    builder_write(b, run.directory);
    print(&run, "table");
    expect_none(run.text, "Own cost");
    free(run.text);
    b->header.hook_ns = 125000000;
    b->header.flags |= RECORD_FLAG_THREADS;
    b->header.peak_error_bytes = 4096;
    b->header.lost[RECORD_LOST_NO_SPACE] = 1;
    b->header.room_error = ENOSPC;
    builder_write(b, run.directory);
    print(&run, "table");
    expect_text(run.text, "  Own cost           0.12 s  of recording of all threads together, estimated; ");
    expect_text(run.text,
                "  Note: Peaks may be off by up to 4.00 KiB, as threads allocated at the same time.\n");
    expect_none(run.text, "--max-size");
    free(run.text);
    size_t size;
    FILE *out = open_memstream(&run.text, &size);
    assert_int_equal(summary_print(run.directory, out), 0);
    fclose(out);
    expect_text(run.text,
                "peakline: recording took about 0.12 s, and up to 3.00 MiB of memory\n"
                "peakline: 3 events were lost, the recording had no room for more: the disk is full; free "
                "some space, or name another place with `run -o`\n"
                "peakline: peaks may be off by up to 4.00 KiB\n");
    builder_free(b);
    end_run(&run);
}

// What lost events, and what a recording needs to have room for more: one sentence, in report and summary.
static void a_limit_is_named(void **state) {
    (void)state;
    static const struct {
        enum record_loss loss;
        uint32_t flags, error;
        const char *wanted; // NULL: the report says what that means
    } cases[] = {
        {RECORD_LOST_TABLE_FULL, 0, 0, "`run --max-size` gives it more"},
        {RECORD_LOST_TABLE_FULL, RECORD_FLAG_SCARCE, 0, "address space is limited (RLIMIT_AS), "},
        {RECORD_LOST_NO_SPACE, 0, RECORD_ROOM_LIMIT, "files may not grow beyond a limit (RLIMIT_FSIZE); "},
        {RECORD_LOST_NO_SPACE, RECORD_FLAG_SCARCE, EDQUOT, "the disk is full; "},
        {RECORD_LOST_NO_SPACE, 0, EACCES, "the process was not allowed to open its file any more "},
        {RECORD_LOST_NO_SPACE, 0, RECORD_ROOM_MOVED, "the recording was not where it had been "},
        {RECORD_LOST_NO_SPACE, 0, EMFILE, "the process had too many files open; "},
        {RECORD_LOST_NO_SPACE, 0, EIO, "the file could not be written; "},
        {RECORD_LOST_REENTRANT, RECORD_FLAG_SCARCE, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run run = {.directory = builder_directory()};
        struct builder *b = evaluation(run.directory);
        char summary[256];
        b->header.lost[cases[i].loss] = 2;
        b->header.flags |= cases[i].flags;
        b->header.room_error = cases[i].error;
        builder_write(b, run.directory);
        builder_free(b);
        print(&run, "table");
        if (cases[i].wanted)
            expect_text(run.text, cases[i].wanted);
        else
            expect_none(run.text, "no room");
        free(run.text);
        size_t size;
        FILE *out = open_memstream(&run.text, &size);
        assert_int_equal(summary_print(run.directory, out), 0);
        fclose(out);
        snprintf(summary, sizeof summary, "peakline: 2 events were lost%s: %s",
                 cases[i].wanted ? ", the recording had no room for more" : "",
                 cases[i].wanted ? cases[i].wanted : "the report says what that means\n");
        expect_text(run.text, summary);
        end_run(&run);
    }
}

static void forgotten_lines_can_be_had(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    b->header.forgotten_lines = 2500;
    b->header.forgotten_peak = 5 * KIB;
    b->header.forgotten_bytes = 70 * KIB;
    builder_write(b, run.directory);
    print(&run, "table");
    expect_text(
        run.text,
        "  Note: 2 500 lines with peaks up to 5.00 KiB are shown only as part of their functions, to keep "
        "the recording small; they allocated 70.0 KiB. `run --max-size` keeps more (16M without).\n");
    expect_none(run.text, "no room");
    free(run.text);
    b->header.flags |= RECORD_FLAG_SCARCE;
    builder_write(b, run.directory);
    builder_free(b);
    print(&run, "table");
    expect_text(run.text, "no room for more: address space is limited (RLIMIT_AS), ");
    expect_none(run.text, "--max-size");
    end_run(&run);
}

static void signs_are_explained_when_they_occur(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    uint32_t function = builder_python(b, "eval.py", "two", 20);
    uint32_t node = builder_node(b, 1, builder_line(b, function, 21));
    builder_allocate(b, node, 10 * KIB);
    builder_write(b, run.directory);
    print(&run, "table");
    expect_none(run.text, "≤");
    expect_none(run.text, "N+");
    free(run.text);
    builder_fold(b, node);
    builder_write(b, run.directory);
    builder_free(b);
    print(&run, "table");
    expect_text(run.text, "peak 10.0 KiB in folded contexts; ");
    expect_none(run.text, "≤");
    expect_none(run.text, "+ context");
    expect_text(
        run.text,
        "\nFolded contexts: so small that they were not kept apart; their bytes are in the numbers.\n\n");
    end_run(&run);
}

static void add_mark(struct builder *b, const char *name, double seconds, int64_t heap, uint32_t rss_kib) {
    b->marks[b->header.marks++] = (struct record_mark){.time_ns = (uint64_t)(seconds * 1e9),
                                                       .heap_bytes = heap,
                                                       .rss_kib = rss_kib,
                                                       .name = builder_string(b, name)};
}

static void marks_are_listed_by_time(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    add_mark(b, "begin", 0.0125, 0, 0);
    add_mark(b, "a\033[31m", 0.25, 72 * KIB, 9000);
    builder_write(b, run.directory);
    print(&run, "table");
    expect_text(run.text, "\n"
                          "              Time        Heap         RSS  Mark\n"
                          "           0.013 s         0 B              begin\n"
                          "           0.250 s    72.0 KiB    8.79 MiB  a\\x1b[31m\n"
                          "\n"
                          "eval.py: <module> ");
    free(run.text);
    run.options.mib = 4;
    print(&run, "table");
    expect_text(run.text, "           0.250 s   0.070 MiB   8.789 MiB  a\\x1b[31m\n");
    run.options.mib = 0;
    free(run.text);
    b->marks[1].mapped_bytes = 3 * KIB;
    for (int i = 3; i <= 23; i++)
        add_mark(b, i < 11 || i > 13 ? "more" : "hidden", 100 + i, i, 1);
    builder_write(b, run.directory);
    builder_free(b);
    print(&run, "table");
    expect_text(run.text, "              Time        Heap      Mapped         RSS  Mark\n"
                          "           0.013 s         0 B         0 B              begin\n"
                          "           0.250 s    72.0 KiB    3.00 KiB    8.79 MiB  a\\x1b[31m\n"
                          "        1 min 43 s         3 B         0 B    1.00 KiB  more\n");
    expect_text(run.text, "               ...  3 more marks: --format json has them all\n"
                          "        1 min 54 s ");
    expect_none(run.text, "hidden");
    free(run.text);
    run.options.select.function = "load";
    print(&run, "table");
    expect_none(run.text, "Mark");
    end_run(&run);
}

// ---- JSON ----

// Validates a report against the schema and asserts what a Python expression says of it (`d`, and `p`, its
// first process). Skipped where there is no python3 with jsonschema.
static void check_json(const struct run *run, const char *expression) {
    char path[4096], command[8192];
    snprintf(path, sizeof path, "%s/report.json", run->directory);
    builder_write_bytes(run->directory, "report.json", run->text, strlen(run->text));
    int length = snprintf(command, sizeof command,
                          "PATH=/usr/bin:$PATH python3 -c \"import json, sys\n"
                          "try:\n"
                          "    import jsonschema\n"
                          "except ImportError:\n"
                          "    sys.exit(77)\n"
                          "d = json.load(open('%s'), parse_constant=lambda c: sys.exit('not JSON: ' + c))\n"
                          "schema = json.load(open('reporter/report-schema.json'))\n"
                          "jsonschema.Draft7Validator.check_schema(schema)\n"
                          "jsonschema.validate(d, schema)\n"
                          "p = d['processes'][0]\n"
                          "assert %s\n\"",
                          path, expression);
    assert_true(length > 0 && (size_t)length < sizeof command);
    int status = system(command);
    if (status == 77 << 8) {
        print_message("no python3 with jsonschema here\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void json_keeps_its_schema(void **state) {
    (void)state;
    struct run run = run_evaluation(true);
    run.options.contexts = true;
    print(&run, "json");
    check_json(
        &run,
        "d['complete'] and [l['line'] for l in p['lines']] == [9, 4, 12, 5, 6] and"
        " p['lines'][1]['total']['peak_bytes'] == 61440 and p['lines'][1]['total']['peak_exact'] and"
        " p['lines'][4]['total']['net_bytes'] == -61440 and p['lines'][4]['mem_usage_bytes'] is None and"
        " p['totals']['peak_bytes'] == 73728 and p['totals']['peak_time'] == 0.25 and"
        " p['command'] == ['python3', 'eval.py'] and p['totals']['rss_peak_bytes'] is None and"
        " len(p['contexts']) == 5 and p['contexts'][0]['parent'] is None and"
        " {c['id'] for c in p['contexts']} > {c['parent'] for c in p['contexts'][1:]}");
    end_run(&run);
}

static void json_calls_nothing_exact_that_lost_contexts(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    b->header.lost[RECORD_LOST_TABLE_FULL] = 1;
    builder_write(b, run.directory);
    builder_free(b);
    print(&run, "json");
    check_json(&run, "not any(l[k]['peak_exact'] for l in p['lines'] for k in ('self', 'total'))");
    end_run(&run);
}

static void json_says_null_for_unknown(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = builder_new(7, 0);
    b->header.flags = 0;
    b->header.end = RECORD_RUNNING;
    b->header.cwd = 0;
    b->header.peak_error_bytes = 8;
    b->header.ticks = 1;
    uint32_t function = builder_native(b, builder_module(b, "/lib/\xff.so"), 0x10);
    builder_allocate(b, builder_node(b, 1, builder_site(b, function, 0x20)), 5);
    builder_write(b, run.directory);
    builder_free(b);
    print(&run, "json");
    check_json(
        &run,
        "not d['complete'] and p['end'] == 'unknown' and p['exit_code'] is p['signal'] is p['cwd'] is None"
        " and p['lines'][0]['total']['freed_bytes'] is None and p['lines'][0]['total']['frees'] is None"
        " and p['lines'][0]['total']['net_bytes'] is None and p['lines'][0]['line'] is None"
        " and not p['lines'][0]['total']['peak_exact'] and 'contexts' not in p"
        " and p['lines'][0]['function'] == '\\ufffdff.so+0x10' and p['lines'][0]['file'] is None"
        " and p['timeline'] == [[0, 0, 0, None]] and p['totals']['hook_seconds'] is None");
    end_run(&run);
}

static void json_survives_any_number(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory);
    for (size_t i = 1; i < b->node_count; i++) {
        b->nodes[i].live = b->nodes[i].saved = INT64_MIN;
        b->nodes[i].allocated_bytes = b->nodes[i].allocations = b->nodes[i].freed_bytes = UINT64_MAX;
        b->nodes[i].heap_high = b->nodes[i].peak = INT64_MAX;
    }
    b->header.heap_live = b->header.heap_peak = b->header.slack_at_peak = INT64_MIN;
    b->header.start_realtime_ns = b->header.start_monotonic_ns = b->header.end_ns = UINT64_MAX;
    b->header.hook_ns = b->header.hook_samples = b->header.peak_ns = UINT64_MAX;
    b->header.objects = 77;
    b->header.exit_code = -1;
    b->header.ticks = 1;
    b->ticks[0] =
        (struct record_tick){.time_ns = UINT64_MAX, .heap_bytes = INT64_MIN, .rss_bytes = UINT64_MAX};
    builder_write(b, run.directory);
    builder_free(b);
    run.options.contexts = true;
    print(&run, "json");
    check_json(&run, "p['totals']['peak_bytes'] == 0");
    free(run.text);
    print(&run, "table");
    end_run(&run);
}

static void json_lists_every_process(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory), *child = builder_new(4243, 0);
    builder_write(b, run.directory);
    builder_write(child, run.directory);
    builder_free(b);
    builder_free(child);
    builder_write_bytes(run.directory, "9.0", "PEAK", 4);
    print(&run, "json");
    check_json(
        &run,
        "[q['pid'] for q in d['processes']] == [4242, 4243] and not d['complete'] and"
        " d['damaged'][0]['what'].startswith('cut short') and d['damaged'][0]['file'].endswith('/9.0')");
    end_run(&run);
}

static void what_a_child_inherited_is_no_loss(void **state) {
    (void)state;
    struct run run = {.directory = builder_directory()};
    struct builder *b = evaluation(run.directory), *child = builder_new(4243, 0);
    b->header.unknown_frees = 3;
    child->header.flags |= RECORD_FLAG_FORKED;
    child->header.unknown_frees = 5;
    builder_write(b, run.directory);
    builder_write(child, run.directory);
    builder_free(b);
    builder_free(child);
    print(&run, "json");
    check_json(&run, "[(q['losses']['unknown_frees'], q['totals']['uncounted_frees']) for q in "
                     "d['processes']] == [(3, 3), (None, 5)] and d['complete']");
    end_run(&run);
}

// ---- the summary ----

static void the_summary_says_where(void **state) {
    (void)state;
    struct run run = run_evaluation(true);
    size_t size;
    FILE *out = open_memstream(&run.text, &size);
    assert_int_equal(summary_print(run.directory, out), 0);
    fclose(out);
    expect_text(run.text, "peakline: peak 72.0 KiB at 0.25 s\n"
                          "peakline: 60.0 KiB of it came from eval.py:4 (load)\n"
                          "peakline: recorded in ");
    expect_text(run.text, "peakline: next: peakline report /");
    end_run(&run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_shows_functions_line_by_line),
        cmocka_unit_test(a_source_in_the_recording_is_shown),
        cmocka_unit_test(allocators_of_libraries_are_named),
        cmocka_unit_test(the_summary_quotes_a_cell),
        cmocka_unit_test(a_source_that_is_gone_is_not_made_up),
        cmocka_unit_test(a_source_that_changed_is_not_shown),
        cmocka_unit_test(filters_choose_tables),
        cmocka_unit_test(a_narrow_terminal_cuts_lines),
        cmocka_unit_test(a_long_line_is_cut),
        cmocka_unit_test(a_title_has_rows),
        cmocka_unit_test(an_archive_is_named),
        cmocka_unit_test(a_scope_may_have_no_name),
        cmocka_unit_test(without_frees_the_increment_is_unknown),
        cmocka_unit_test(names_cannot_drive_the_terminal),
        cmocka_unit_test(several_processes_are_listed),
        cmocka_unit_test(the_end_of_recording_is_told),
        cmocka_unit_test(small_processes_are_summed_up),
        cmocka_unit_test(own_cost_is_told),
        cmocka_unit_test(a_limit_is_named),
        cmocka_unit_test(forgotten_lines_can_be_had),
        cmocka_unit_test(signs_are_explained_when_they_occur),
        cmocka_unit_test(marks_are_listed_by_time),
        cmocka_unit_test(json_keeps_its_schema),
        cmocka_unit_test(json_calls_nothing_exact_that_lost_contexts),
        cmocka_unit_test(json_says_null_for_unknown),
        cmocka_unit_test(json_survives_any_number),
        cmocka_unit_test(json_lists_every_process),
        cmocka_unit_test(what_a_child_inherited_is_no_loss),
        cmocka_unit_test(the_summary_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
