// SPDX-License-Identifier: MIT
// needs: reporter/model.c reporter/ending.c reporter/reader.c reporter/reader_check.c
// needs: reporter/reader_replay.c reporter/reader_recording.c reporter/memory.c reporter/text.c
// needs: tests/unit/recording_builder.c
//
// The model: how processes ended, their order, the names of frames, nodes that lost their place.

#include "reporter/ending.h"
#include "reporter/model.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/recording_builder.h"

#define SECOND ((uint64_t)1000000000)

// ---- a recording of several files ----

struct recording {
    struct builder *images[8];
    size_t count;
    char *directory;
    struct model *model;
};

static struct builder *add(struct recording *r, uint32_t pid, uint32_t image) {
    struct builder *b = builder_new(pid, image);
    b->header.end = RECORD_RUNNING;
    b->header.start_monotonic_ns = (100 + r->count) * SECOND;
    b->header.start_ticks = pid;
    b->header.last_ns = SECOND / 2;
    r->images[r->count++] = b;
    return b;
}

static void open_model(struct recording *r) {
    struct reader_error error;
    r->directory = builder_directory();
    for (size_t i = 0; i < r->count; i++)
        builder_write(r->images[i], r->directory);
    r->model = model_open(r->directory, &error);
    assert_non_null(r->model);
    assert_int_equal(r->model->process_count, r->count);
}

static void close_model(struct recording *r) {
    model_close(r->model);
    builder_remove_directory(r->directory);
    for (size_t i = 0; i < r->count; i++)
        builder_free(r->images[i]);
}

static struct model_process *find(const struct recording *r, uint32_t pid, uint32_t image) {
    for (size_t i = 0; i < r->model->process_count; i++) {
        const struct record_header *h = &r->model->processes[i].image->header;
        if (h->pid == pid && h->image == image)
            return &r->model->processes[i];
    }
    fail();
    return NULL;
}

// ---- ends ----

static void the_header_tells_the_end(void **state) {
    (void)state;
    struct recording r = {0};
    struct builder *exited = add(&r, 1001, 0), *killed = add(&r, 1002, 0), *replaced = add(&r, 1003, 0);
    exited->header.end = RECORD_EXITED;
    exited->header.exit_code = 3;
    exited->header.end_ns = 2 * SECOND;
    killed->header.end = RECORD_SIGNALLED;
    killed->header.end_signal = 9;
    replaced->header.end = RECORD_REPLACED;
    add(&r, 1004, 0);
    open_model(&r);
    assert_int_equal(find(&r, 1001, 0)->end, MODEL_EXITED);
    assert_int_equal(find(&r, 1001, 0)->exit_code, 3);
    assert_true(find(&r, 1001, 0)->duration == 2.0);
    assert_int_equal(find(&r, 1002, 0)->end, MODEL_SIGNALLED);
    assert_int_equal(find(&r, 1002, 0)->signal, 9);
    assert_int_equal(find(&r, 1003, 0)->end, MODEL_REPLACED);
    assert_int_equal(find(&r, 1004, 0)->end, MODEL_UNKNOWN);
    assert_true(find(&r, 1004, 0)->duration == 0.5);
    assert_false(r.model->complete);
    close_model(&r);
}

static int exit_status(int code) {
    return code << 8;
}

static void a_parent_tells_how_its_child_ended(void **state) {
    (void)state;
    struct recording r = {0};
    struct builder *parent = add(&r, 1000, 0); // began at 100 s
    parent->header.end = RECORD_EXITED;
    add(&r, 1001, 0);
    add(&r, 1002, 0);
    add(&r, 1003, 0);
    add(&r, 1004, 0);
    builder_reaped(parent, 1001, SIGKILL, 5 * SECOND);
    builder_reaped(parent, 1004, 0x7f | SIGSTOP << 8, 5 * SECOND); // only stopped
    builder_reaped(parent, 1002, exit_status(7), 6 * SECOND);
    builder_reaped(parent, 1003, exit_status(1), 1 * SECOND); // an earlier process of that number
    open_model(&r);
    assert_int_equal(find(&r, 1001, 0)->end, MODEL_SIGNALLED);
    assert_int_equal(find(&r, 1001, 0)->signal, SIGKILL);
    assert_true(find(&r, 1001, 0)->duration == 4.0); // from 101 s to 105 s
    assert_int_equal(find(&r, 1002, 0)->end, MODEL_EXITED);
    assert_int_equal(find(&r, 1002, 0)->exit_code, 7);
    assert_int_equal(find(&r, 1003, 0)->end, MODEL_UNKNOWN);
    assert_int_equal(find(&r, 1004, 0)->end, MODEL_UNKNOWN);
    close_model(&r);
}

static void reaping_concerns_the_last_image_by_then(void **state) {
    (void)state;
    struct recording r = {0};
    struct builder *parent = add(&r, 999, 0);
    parent->header.end = RECORD_EXITED;
    add(&r, 1001, 0); // from 101 s
    struct builder *second = add(&r, 1001, 1), *third = add(&r, 1001, 2);
    second->header.start_ticks = third->header.start_ticks = 1001; // the same process: exec
    third->header.start_monotonic_ns = 200 * SECOND;
    third->header.start_ticks = 5555; // the number was used again
    builder_reaped(parent, 1001, exit_status(4), 50 * SECOND);
    open_model(&r);
    assert_int_equal(find(&r, 1001, 0)->end, MODEL_REPLACED);
    assert_true(find(&r, 1001, 0)->duration == 1.0);
    assert_int_equal(find(&r, 1001, 1)->end, MODEL_EXITED);
    assert_int_equal(find(&r, 1001, 1)->exit_code, 4);
    assert_int_equal(find(&r, 1001, 2)->end, MODEL_UNKNOWN);
    close_model(&r);
}

static void a_reaper_of_another_boot_says_nothing(void **state) {
    (void)state;
    struct recording r = {0};
    struct builder *parent = add(&r, 999, 0);
    parent->header.boot_id[3] = 1;
    builder_reaped(parent, 1001, exit_status(4), 50 * SECOND);
    add(&r, 1001, 0);
    open_model(&r);
    assert_int_equal(find(&r, 1001, 0)->end, MODEL_UNKNOWN);
    close_model(&r);
}

// Fills in what names a living process.
static void identify(struct builder *b, pid_t pid) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    line[fread(line, 1, sizeof line - 1, file)] = '\0';
    fclose(file);
    char *at = strrchr(line, ')') + 1;
    for (int field = 3; field < 22; field++)
        at = strchr(at + 1, ' ');
    b->header.start_ticks = strtoull(at, NULL, 10);
    file = fopen("/proc/sys/kernel/random/boot_id", "r");
    assert_non_null(file);
    for (int i = 0; i < 16; i++) {
        unsigned byte;
        assert_int_equal(fscanf(file, "%2x", &byte), 1);
        b->header.boot_id[i] = (uint8_t)byte;
        if (i == 3 || i == 5 || i == 7 || i == 9)
            assert_int_equal(fgetc(file), '-');
    }
    fclose(file);
}

static void an_end_that_comes_after_the_file_was_read_counts(void **state) {
    (void)state;
    struct reader_error error;
    char *directory = builder_directory();
    for (int other = 0; other < 2; other++) {
        struct builder *b = builder_new(1001, 0);
        b->header.end = RECORD_RUNNING;
        builder_write(b, directory);
        struct reader_recording *read = reader_open(directory, &error);
        assert_non_null(read);
        b->header.end = RECORD_EXITED;
        b->header.exit_code = 7;
        b->header.end_ns = 3 * SECOND;
        b->header.start_ticks += (unsigned)other; // another process's
        builder_write(b, directory);
        struct model_process process = {.image = &read->images[0]};
        ending_find(&process, 1);
        assert_int_equal(process.end, other ? MODEL_UNKNOWN : MODEL_EXITED);
        if (!other) {
            assert_int_equal(process.exit_code, 7);
            assert_true(process.duration == 3);
        }
        reader_close(read);
        builder_free(b);
    }
    builder_remove_directory(directory);
}

static void a_living_process_is_running(void **state) {
    (void)state;
    struct recording r = {0};
    pid_t zombie = fork();
    if (zombie == 0)
        _exit(0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
    identify(add(&r, (uint32_t)getpid(), 0), getpid());
    struct builder *other = add(&r, (uint32_t)getppid(), 0);
    identify(other, getppid());
    other->header.start_ticks++; // it had the number of one that lives now
    identify(add(&r, (uint32_t)zombie, 0), zombie);
    open_model(&r);
    assert_int_equal(find(&r, (uint32_t)getpid(), 0)->end, MODEL_RUNNING);
    assert_int_equal(find(&r, (uint32_t)getppid(), 0)->end, MODEL_UNKNOWN);
    assert_int_equal(find(&r, (uint32_t)zombie, 0)->end, MODEL_UNKNOWN);
    close_model(&r);
    waitpid(zombie, NULL, 0);
}

// ---- the whole ----

static void processes_are_sorted_by_their_peak(void **state) {
    (void)state;
    struct recording r = {0};
    add(&r, 1, 0)->header.heap_peak = 10;
    add(&r, 2, 1)->header.heap_peak = 30;
    add(&r, 2, 0)->header.heap_peak = 30;
    add(&r, 3, 0)->header.heap_peak = 20;
    open_model(&r);
    static const uint32_t wanted[][2] = {{2, 0}, {2, 1}, {3, 0}, {1, 0}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(r.model->processes[i].image->header.pid, wanted[i][0]);
        assert_int_equal(r.model->processes[i].image->header.image, wanted[i][1]);
    }
    close_model(&r);
}

static void a_command_is_taken_apart(void **state) {
    (void)state;
    struct recording r = {0};
    static const char *const argv[] = {"python3", "", "a b.py", NULL};
    builder_command(add(&r, 1, 0), argv);
    struct builder *plain = add(&r, 2, 0);
    plain->header.command = builder_string(plain, "unterminated");
    open_model(&r);
    const struct model_process *p = find(&r, 1, 0);
    assert_int_equal(p->command_count, 3);
    assert_string_equal(p->command[0], "python3");
    assert_string_equal(p->command[1], "");
    assert_string_equal(p->command[2], "a b.py");
    assert_string_equal(find(&r, 2, 0)->command[0], "unterminated");
    assert_string_equal(p->cwd, "/work");
    assert_null(p->python_version);
    close_model(&r);
}

static void only_a_whole_recording_is_complete(void **state) {
    (void)state;
    for (int lost = -1; lost <= RECORD_LOSSES; lost++) {
        struct recording r = {0};
        struct builder *b = add(&r, 1, 0);
        b->header.end = RECORD_EXITED;
        if (lost == RECORD_LOSSES)
            b->header.given_up = RECORD_GAVE_UP_STUCK;
        else if (lost >= 0)
            b->header.lost[lost] = 1;
        open_model(&r);
        // Cut stacks are no losses: every byte is counted.
        assert_int_equal(r.model->complete,
                         lost < 0 || (lost >= RECORD_LOST_DEEP && lost < RECORD_LOST_ABANDONED));
        close_model(&r);
    }
}

// ---- names ----

static struct model_address seen[8];
static size_t seen_count;

static size_t record_address(struct model_resolver *resolver, const struct model_address *address,
                             struct model_found levels[MODEL_LEVELS_MAX]) {
    (void)resolver;
    seen[seen_count++] = *address;
    if (address->address == 0x1041)
        return 0;
    levels[0] = (struct model_found){.function = "inner", .file = "/a.h", .line = 3};
    levels[1] = (struct model_found){
        .function = "outer", .file = "/a.c", .line = 9, .function_file = "/a.c", .first_line = 7};
    return 2;
}

static void frames_get_names(void **state) {
    (void)state;
    struct recording r = {0};
    struct model_resolver resolver = {.resolve = record_address};
    struct reader_error error;
    struct builder *b = add(&r, 1, 0);
    uint32_t module = builder_module(b, "/lib/libx.so.1");
    b->modules[module].build_id_length = 2;
    b->modules[module].build_id[1] = 0xcd;
    uint32_t native = builder_native(b, module, 0x1000), nowhere = builder_native(b, 0, 0x7f0000);
    uint32_t python = builder_python(b, "e.py", "C.m", 4), nameless = builder_python(b, "", "", 0);
    uint32_t frames[] = {builder_site(b, native, 0x1042),
                         builder_site(b, native, 0x1052),
                         builder_site(b, native, 0x1060),
                         builder_site(b, nowhere, 0x7f0010),
                         builder_line(b, python, 6),
                         builder_line(b, nameless, 0),
                         builder_line(b, builder_scope(b, "load"), 0)};
    uint32_t chosen = builder_python(b, "e.py", "never", 20); // has no frame
    b->functions[chosen].chosen = b->functions[python].chosen = 1;
    b->frames[frames[2]].flags = RECORD_FRAME_EXACT_PC;
    open_model(&r);
    struct model_process *p = find(&r, 1, 0);
    seen_count = 0;
    assert_true(model_load(r.model, p, &resolver, &error));

    assert_int_equal(seen_count, 3); // what is in no module is not asked for
    assert_int_equal(seen[0].address, 0x1041);
    assert_int_equal(seen[2].address, 0x1060); // an exact address is looked up as it is
    assert_string_equal(seen[0].path, "/lib/libx.so.1");
    assert_int_equal(seen[0].build_id[1], 0xcd);
    assert_int_equal(seen[0].function_start, 0x1000);

    const struct model_line *line = &p->lines[p->levels[p->first_level[frames[0]]]];
    assert_string_equal(p->functions[line->function].name, "libx.so.1+0x1000");
    assert_null(line->file);
    assert_int_equal(p->first_level[frames[1] + 1] - p->first_level[frames[1]], 2);
    line = &p->lines[p->levels[p->first_level[frames[1]]]]; // outermost first
    assert_string_equal(p->functions[line->function].name, "outer");
    assert_int_equal(p->functions[line->function].first_line, 7);
    assert_int_equal(line->line, 9);
    line = &p->lines[p->levels[p->first_level[frames[1]] + 1]];
    assert_string_equal(p->functions[line->function].name, "inner");
    // The same places have the same numbers.
    assert_int_equal(p->levels[p->first_level[frames[2]]], p->levels[p->first_level[frames[1]]]);
    line = &p->lines[p->levels[p->first_level[frames[3]]]];
    assert_string_equal(p->functions[line->function].name, "0x7f0000");
    line = &p->lines[p->levels[p->first_level[frames[4]]]];
    assert_string_equal(line->file, "e.py");
    assert_int_equal(line->line, 6);
    assert_string_equal(p->functions[line->function].name, "C.m");
    line = &p->lines[p->levels[p->first_level[frames[5]]]];
    assert_string_equal(p->functions[line->function].name, "<unknown>");
    assert_null(line->file);
    line = &p->lines[p->levels[p->first_level[frames[6]]]];
    assert_string_equal(p->functions[line->function].name, "load");
    assert_int_equal(p->functions[line->function].language, RECORD_SCOPE);
    const struct model_function *last = &p->functions[p->function_count - 1];
    assert_string_equal(last->name, "never");
    assert_int_equal(last->chosen, chosen);
    line = &p->lines[p->levels[p->first_level[frames[4]]]];
    assert_int_equal(p->functions[line->function].chosen, python);
    close_model(&r);
}

// ---- the tree ----

static void nodes_come_after_their_parents(void **state) {
    (void)state;
    struct recording r = {0};
    struct reader_error error;
    struct builder *b = add(&r, 1, 0);
    uint32_t frame = builder_line(b, builder_python(b, "a.py", "f", 1), 1), nodes[5];
    nodes[0] = builder_node(b, 1, frame);
    nodes[1] = builder_node(b, nodes[0], frame);
    nodes[2] = builder_node(b, 1, frame);
    nodes[3] = builder_node(b, nodes[1], frame);
    nodes[4] = builder_node(b, nodes[0], frame);
    // A record that was used again: its parent has the higher number.
    b->nodes[nodes[2]].parent = nodes[3];
    b->nodes[nodes[2]].depth = 4;
    b->nodes[nodes[1]].allocations = b->nodes[nodes[3]].frees = 1;
    open_model(&r);
    struct model_process *p = find(&r, 1, 0);
    assert_true(model_load(r.model, p, NULL, &error));
    assert_int_equal(p->image->orphan_count, 0);
    assert_int_equal(p->order_count, 5);
    assert_int_equal(p->context_count, 2); // the others only lead to these
    static const int wanted[] = {0, 1, 3, 2, 4};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(p->order[i], nodes[wanted[i]]);
    close_model(&r);
}

static void nodes_that_lost_their_place_are_kept(void **state) {
    (void)state;
    struct recording r = {0};
    struct reader_error error;
    struct builder *b = add(&r, 1, 0);
    b->header.end = RECORD_EXITED;
    uint32_t frame = builder_line(b, builder_python(b, "a.py", "f", 1), 1);
    uint32_t gone = builder_node(b, 1, frame), child = builder_node(b, gone, frame);
    uint32_t grandchild = builder_node(b, child, frame);
    uint32_t a = builder_node(b, 1, frame), c = builder_node(b, 1, frame);
    b->nodes[gone].flags = RECORD_NODE_FREE;
    b->nodes[gone].parent = 12345; // says nothing
    b->nodes[a].parent = c;        // a circle
    b->nodes[c].parent = a;
    open_model(&r);
    assert_false(r.model->complete);
    struct model_process *p = find(&r, 1, 0);
    assert_true(model_load(r.model, p, NULL, &error));
    assert_int_equal(p->image->orphan_count, 3);
    assert_int_equal(p->order_count, 4);
    assert_int_equal(p->image->nodes[child].parent, 1);
    assert_int_equal(p->image->nodes[grandchild].parent, child);
    close_model(&r);
}

// The first half of ten intervals had been merged when the process was killed: three pairs, and what is left.
static void ticks_that_are_merged_already_are_dropped(void **state) {
    (void)state;
    struct recording r = {0};
    struct reader_error error;
    struct builder *b = add(&r, 1, 0);
    b->header.end = RECORD_EXITED;
    static const uint64_t times[] = {20, 40, 60, 40, 50, 60, 70, 80, 90, 100},
                          wanted[] = {20, 40, 60, 70, 80, 90, 100};
    b->header.ticks = sizeof times / sizeof *times;
    for (size_t i = 0; i < b->header.ticks; i++)
        b->ticks[i].time_ns = times[i];
    open_model(&r);
    struct model_process *p = find(&r, 1, 0);
    assert_true(model_load(r.model, p, NULL, &error));
    assert_int_equal(p->image->tick_count, sizeof wanted / sizeof *wanted);
    for (size_t i = 0; i < p->image->tick_count; i++)
        assert_int_equal(p->image->ticks[i].time_ns, wanted[i]);
    close_model(&r);
}

static void an_update_is_unfinished_when_the_process_has_ended(void **state) {
    (void)state;
    for (uint32_t updating = 0; updating <= RECORD_UPDATING_CONTEXTS + 1; updating++) {
        struct recording r = {0};
        struct builder *b = add(&r, 1, 0);
        b->header.end = RECORD_EXITED;
        b->header.updating = updating;
        open_model(&r);
        struct model_process *p = find(&r, 1, 0);
        const uint32_t wanted = updating <= RECORD_UPDATING_CONTEXTS ? updating : RECORD_UPDATING_NOTHING;
        assert_int_equal(model_unfinished(p), wanted);
        assert_int_equal(r.model->complete, wanted == RECORD_UPDATING_NOTHING);
        p->end = MODEL_RUNNING;
        assert_int_equal(model_unfinished(p), RECORD_UPDATING_NOTHING);
        close_model(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_tells_the_end),
        cmocka_unit_test(a_parent_tells_how_its_child_ended),
        cmocka_unit_test(reaping_concerns_the_last_image_by_then),
        cmocka_unit_test(a_reaper_of_another_boot_says_nothing),
        cmocka_unit_test(a_living_process_is_running),
        cmocka_unit_test(processes_are_sorted_by_their_peak),
        cmocka_unit_test(an_end_that_comes_after_the_file_was_read_counts),
        cmocka_unit_test(a_command_is_taken_apart),
        cmocka_unit_test(only_a_whole_recording_is_complete),
        cmocka_unit_test(frames_get_names),
        cmocka_unit_test(nodes_come_after_their_parents),
        cmocka_unit_test(nodes_that_lost_their_place_are_kept),
        cmocka_unit_test(ticks_that_are_merged_already_are_dropped),
        cmocka_unit_test(an_update_is_unfinished_when_the_process_has_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
