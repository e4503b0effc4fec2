// SPDX-License-Identifier: MIT
// needs: reporter/reader.c reporter/reader_check.c reporter/reader_replay.c reporter/reader_recording.c
// needs: reporter/memory.c tests/unit/recording_builder.c
//
// Reading recordings: what is well-formed comes back as written, what is not is refused with file, offset and
// reason.

#include "reporter/reader.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/recording_builder.h"

static struct builder *sample(uint32_t pid, uint32_t image) {
    struct builder *b = builder_new(pid, image);
    uint32_t module = builder_module(b, "/usr/lib/libx.so");
    uint32_t function = builder_python(b, "eval.py", "main", 3);
    uint32_t native = builder_native(b, module, 0x1000);
    uint32_t outer = builder_node(b, 1, builder_line(b, function, 4));
    uint32_t inner = builder_node(b, outer, builder_site(b, native, 0x1042));
    builder_allocate(b, outer, 100);
    builder_allocate(b, inner, 23);
    builder_release(b, outer, 100, inner);
    builder_reaped(b, 99, 0, 5);
    builder_source(b, "eval.py", "text\n");
    b->header.ticks = 1;
    b->ticks[0] = (struct record_tick){.time_ns = 7, .heap_bytes = 123};
    b->header.marks = 1;
    b->marks[0] = (struct record_mark){.time_ns = 5, .heap_bytes = 99, .name = builder_string(b, "loaded")};
    return b;
}

// Writes a file with one thing changed and expects that it is refused, for this reason.
static void expect_refused(const void *bytes, size_t size, const char *reason) {
    char *directory = builder_directory();
    struct reader_error error;
    builder_write_bytes(directory, "7.0", bytes, size);
    struct reader_recording *recording = reader_open(directory, &error);
    if (recording)
        print_message("not refused: %s\n", reason);
    assert_null(recording);
    if (!strstr(error.what, reason))
        print_message("refused as '%s', not '%s'\n", error.what, reason);
    assert_non_null(strstr(error.what, reason));
    assert_non_null(strstr(error.file, "/7.0"));
    assert_true(error.offset <= size);
    free(error.file);
    builder_remove_directory(directory);
}

static void expect_sample(const struct reader_image *image) {
    assert_int_equal(image->module_count, 2);
    assert_int_equal(image->function_count, 3);
    assert_int_equal(image->frame_count, 3);
    assert_int_equal(image->node_count, 4);
    assert_int_equal(image->reaped_count, 2);
    assert_int_equal(image->tick_count, 1);
    assert_int_equal(image->ticks[0].heap_bytes, 123);
    assert_int_equal(image->mark_count, 1);
    assert_int_equal(image->marks[0].heap_bytes, 99);
    assert_int_equal(image->nodes[2].allocated_bytes, 100);
    assert_int_equal(image->nodes[3].freed_bytes, 100);
    assert_int_equal(image->reaped[1].pid, 99);
    size_t length;
    const char *name = reader_string(image, image->functions[1].name, &length);
    assert_int_equal(length, 4);
    assert_memory_equal(name, "main", 4);
    reader_string(image, 0, &length);
    assert_int_equal(length, 0);
}

static void what_was_written_comes_back(void **state) {
    (void)state;
    char *directory = builder_directory();
    struct reader_error error;
    struct builder *b = sample(7, 0);
    builder_write(b, directory);
    builder_free(b);
    struct reader_recording *recording = reader_open(directory, &error);
    assert_non_null(recording);
    assert_int_equal(recording->image_count, 1);
    assert_int_equal(recording->error_count, 0);
    expect_sample(&recording->images[0]);
    reader_unload(&recording->images[0]);
    assert_null(recording->images[0].nodes);
    assert_true(reader_load(&recording->images[0], &error));
    expect_sample(&recording->images[0]);
    reader_close(recording);

    char path[4096];
    snprintf(path, sizeof path, "%s/7.0", directory);
    recording = reader_open(path, &error);
    assert_non_null(recording);
    expect_sample(&recording->images[0]);
    reader_close(recording);
    builder_remove_directory(directory);
}

static void tables_may_be_in_pieces(void **state) {
    (void)state;
    char *directory = builder_directory();
    struct reader_error error;
    struct builder *b = builder_new(7, 0);
    uint32_t function = builder_python(b, "a.py", "f", 1);
    for (uint32_t i = 0; i < 1000; i++) {
        char path[64];
        snprintf(path, sizeof path, "/lib/lib%u.so", i);
        builder_module(b, path); // 72 bytes: records straddle the pieces
        builder_allocate(b, builder_node(b, i ? i + 1 : 1, builder_line(b, function, i + 1)), i);
    }
    b->split_extents = true;
    builder_write(b, directory);
    struct reader_recording *recording = reader_open(directory, &error);
    assert_non_null(recording);
    const struct reader_image *image = &recording->images[0];
    assert_int_equal(image->module_count, b->module_count);
    assert_memory_equal(image->modules, b->modules, b->module_count * sizeof *b->modules);
    assert_memory_equal(image->nodes, b->nodes, b->node_count * sizeof *b->nodes);
    assert_memory_equal(image->frames, b->frames, b->frame_count * sizeof *b->frames);
    assert_memory_equal(image->strings, b->strings, b->string_bytes);
    reader_close(recording);
    builder_free(b);
    builder_remove_directory(directory);
}

static void a_directory_may_hold_other_things(void **state) {
    (void)state;
    char *directory = builder_directory();
    static const char *const others[] = {"notes.txt", "7",     "7.",    ".7",   "7.0.bak", "07.0",
                                         "7.00",      "0.1",   "-7.0",  "7.0 ", "+7.0",    "99999999999.0",
                                         "7.x",       "x.7.0", "7.0.0", "7.-1"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        builder_write_bytes(directory, others[i], "x", 1);
    struct builder *second = sample(12, 1), *first = sample(12, 0), *other = sample(5, 10);
    builder_write(second, directory);
    builder_write(first, directory);
    builder_write(other, directory);
    builder_free(second);
    builder_free(first);
    builder_free(other);
    struct reader_error error;
    struct reader_recording *recording = reader_open(directory, &error);
    assert_non_null(recording);
    assert_int_equal(recording->error_count, 0);
    assert_int_equal(recording->image_count, 3);
    assert_int_equal(recording->images[0].header.pid, 5);
    assert_int_equal(recording->images[1].header.image, 0);
    assert_int_equal(recording->images[2].header.image, 1);
    reader_close(recording);
    builder_remove_directory(directory);
}

static void one_damaged_file_hides_no_other(void **state) {
    (void)state;
    char *directory = builder_directory(), path[4096], target[4096];
    struct builder *b = sample(7, 0);
    builder_write(b, directory);
    builder_free(b);
    builder_write_bytes(directory, "8.0", "PEAK", 4);
    builder_write_bytes(directory, "9.0", "", 0);
    snprintf(target, sizeof target, "%s/7.0", directory);
    snprintf(path, sizeof path, "%s/10.0", directory);
    assert_int_equal(symlink(target, path), 0); // not followed
    snprintf(path, sizeof path, "%s/11.0", directory);
    assert_int_equal(mkfifo(path, 0600), 0); // not waited for
    struct reader_error error;
    struct reader_recording *recording = reader_open(directory, &error);
    assert_non_null(recording);
    assert_int_equal(recording->image_count, 1);
    assert_int_equal(recording->error_count, 4);
    static const char *const reasons[] = {"symbolic link", "not a regular file", "cut short", "empty"};
    for (size_t i = 0; i < 4; i++)
        assert_non_null(strstr(recording->errors[i].what, reasons[i]));
    reader_close(recording);
    builder_remove_directory(directory);
}

static void what_is_no_recording_is_refused(void **state) {
    (void)state;
    struct reader_error error;
    assert_null(reader_open("/nonexistent/recording", &error));
    assert_string_equal(error.file, "/nonexistent/recording");
    assert_string_equal(error.what, "No such file or directory");
    free(error.file);
    char *directory = builder_directory();
    assert_null(reader_open(directory, &error));
    assert_non_null(strstr(error.what, "not a recording"));
    free(error.file);
    builder_remove_directory(directory);
    assert_null(reader_open("/proc/self/exe", &error));
    assert_non_null(strstr(error.what, "not a recording"));
    free(error.file);
}

// Cut at any length, a file is refused: nothing that belongs to it lies behind its end.
static void a_file_cut_short_is_refused(void **state) {
    (void)state;
    struct builder *b = sample(7, 0);
    size_t size;
    unsigned char *image = builder_image(b, &size);
    expect_refused(image, 0, "empty");
    expect_refused(image, 4, "cut short");
    expect_refused(image, 100, "cut short");
    expect_refused(image, RECORD_FIRST_EXTENT - 1, "cut short");
    for (size_t at = RECORD_FIRST_EXTENT; at < size; at += RECORD_GRAIN / 2)
        expect_refused(image, at, "cut short");
    free(image);
    builder_free(b);
}

// Refuses the sample with `size` bytes at `offset` replaced.
static void expect_patch_refused(size_t offset, const void *patch, size_t length, const char *reason) {
    struct builder *b = sample(7, 0);
    size_t size;
    unsigned char *image = builder_image(b, &size);
    memcpy(image + offset, patch, length);
    expect_refused(image, size, reason);
    free(image);
    builder_free(b);
}

#define AT(field) offsetof(struct record_header, field)

static void a_damaged_header_is_refused(void **state) {
    (void)state;
    const uint32_t two = 2, other = RECORD_VERSION + 1, swapped = 0x04030201, huge = 0x7fffffff,
                   many = RECORD_TICKS_MAX + 1;
    const uint64_t most = UINT64_MAX, some = 1000000;
    expect_patch_refused(AT(magic), "X", 1, "not a recording");
    expect_patch_refused(AT(version), &other, 4, "format version");
    expect_patch_refused(AT(byte_order), &swapped, 4, "byte order");
    expect_patch_refused(AT(header_size), &two, 4, "header of 2 bytes");
    expect_patch_refused(AT(grain), &two, 4, "grain of 2");
    expect_patch_refused(AT(extents), &huge, 4, "extents");
    expect_patch_refused(AT(ticks), &many, 4, "ticks");
    expect_patch_refused(AT(marks), &many, 4, "marks");
    expect_patch_refused(RECORD_MARKS_AT + offsetof(struct record_mark, name), &huge, 4, "a mark whose name");
    expect_patch_refused(AT(current_node), &huge, 4, "current node");
    expect_patch_refused(AT(command), &huge, 4, "string");
    expect_patch_refused(AT(cwd), &two, 4, "string"); // not aligned
    for (uint32_t table = 0; table < RECORD_TABLES; table++) {
        size_t at = AT(tables) + table * sizeof(struct record_table_info);
        expect_patch_refused(at, &most, 8, "entries");
        expect_patch_refused(at, &some, 8, "entries");
        expect_patch_refused(at + 8, &huge, 4, "records of");
    }
}

static void damaged_extents_are_refused(void **state) {
    (void)state;
    const uint32_t huge = 0x7fffffff, zero = 0;
    const uint64_t odd = RECORD_FIRST_EXTENT + 8, low = RECORD_GRAIN, same = RECORD_FIRST_EXTENT;
    const uint64_t far = UINT64_MAX - RECORD_GRAIN + 1;
    const size_t second = RECORD_EXTENTS_AT + sizeof(struct record_extent);
    expect_patch_refused(second + offsetof(struct record_extent, table), &huge, 4, "extent 1 makes no sense");
    expect_patch_refused(second + offsetof(struct record_extent, grains), &zero, 4,
                         "extent 1 makes no sense");
    expect_patch_refused(second + offsetof(struct record_extent, grains), &huge, 4, "cut short");
    expect_patch_refused(second + offsetof(struct record_extent, offset), &odd, 8, "makes no sense");
    expect_patch_refused(second + offsetof(struct record_extent, offset), &low, 8, "makes no sense");
    expect_patch_refused(second + offsetof(struct record_extent, offset), &far, 8, "cut short");
    expect_patch_refused(second + offsetof(struct record_extent, offset), &same, 8, "makes no sense");
}

// The sample with one of its records changed, refused; `offset` tells where the record is.
#define EXPECT_RECORD_REFUSED(table, index, change, reason)                                                  \
    do {                                                                                                     \
        struct builder *b = sample(7, 0);                                                                    \
        b->table[index].change;                                                                              \
        size_t size;                                                                                         \
        unsigned char *image = builder_image(b, &size);                                                      \
        expect_refused(image, size, reason);                                                                 \
        free(image);                                                                                         \
        builder_free(b);                                                                                     \
    } while (0)

static void damaged_records_are_refused(void **state) {
    (void)state;
    EXPECT_RECORD_REFUSED(modules, 1, path = 4, "module 1");
    EXPECT_RECORD_REFUSED(modules, 1, path = 0xfffffff8, "module 1");
    EXPECT_RECORD_REFUSED(functions, 1, language = 5, "function 1");
    EXPECT_RECORD_REFUSED(functions, 1, name = 1 << 20, "function 1");
    EXPECT_RECORD_REFUSED(functions, 1, file = 12, "function 1");
    EXPECT_RECORD_REFUSED(functions, 2, module = 2, "function 2");
    EXPECT_RECORD_REFUSED(frames, 1, function = 3, "frame 1");
    EXPECT_RECORD_REFUSED(frames, 1, function = 0, "frame 1");
    EXPECT_RECORD_REFUSED(frames, 2, module = 2, "frame 2");
    EXPECT_RECORD_REFUSED(nodes, 1, parent = 1, "node 1");
    EXPECT_RECORD_REFUSED(nodes, 1, frame = 1, "node 1");
    EXPECT_RECORD_REFUSED(nodes, 2, parent = 0, "node 2");
    EXPECT_RECORD_REFUSED(nodes, 1, depth = 1, "node 1");
    EXPECT_RECORD_REFUSED(nodes, 1, flags = RECORD_NODE_FREE, "node 1");
    EXPECT_RECORD_REFUSED(nodes, 2, parent = 4, "node 2");
    EXPECT_RECORD_REFUSED(frames, 1, folded_self = 1, "frame 1");
    EXPECT_RECORD_REFUSED(frames, 1, folded_total = 1, "frame 1");
    EXPECT_RECORD_REFUSED(frames, 1, flags = READER_FRAME_REST, "frame 1");
    EXPECT_RECORD_REFUSED(functions, 1, folded_self = 7, "function 1");
    EXPECT_RECORD_REFUSED(functions, 1, folded_total = 7, "function 1");
    EXPECT_RECORD_REFUSED(nodes, 3, frame = 3, "node 3");
    EXPECT_RECORD_REFUSED(sources, 1, file = 0xfffffff8, "source 1");
    EXPECT_RECORD_REFUSED(sources, 1, text = 12, "source 1");
}

static void a_string_may_not_leave_its_table(void **state) {
    (void)state;
    struct builder *b = sample(7, 0);
    uint32_t name = b->functions[1].name, length = (uint32_t)(b->string_bytes - name - 3);
    memcpy(b->strings + name, &length, sizeof length); // one byte too long
    size_t size;
    unsigned char *image = builder_image(b, &size);
    expect_refused(image, size, "function 1");
    free(image);
    builder_free(b);
}

static void offsets_in_messages_point_at_the_record(void **state) {
    (void)state;
    struct builder *b = sample(7, 0);
    b->nodes[3].frame = 77;
    size_t size;
    unsigned char *image = builder_image(b, &size);
    char *directory = builder_directory();
    builder_write_bytes(directory, "7.0", image, size);
    struct reader_error error;
    assert_null(reader_open(directory, &error));
    uint32_t frame;
    memcpy(&frame, image + error.offset + offsetof(struct record_node, frame), sizeof frame);
    assert_int_equal(frame, 77);
    free(error.file);
    builder_remove_directory(directory);
    free(image);
    builder_free(b);
}

static void a_sparse_giant_is_refused(void **state) {
    (void)state;
    char *directory = builder_directory(), path[4096];
    struct builder *b = sample(7, 0);
    builder_write(b, directory);
    builder_free(b);
    snprintf(path, sizeof path, "%s/7.0", directory);
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    struct reader_error error;
    assert_null(reader_open(directory, &error));
    assert_non_null(strstr(error.what, "too large"));
    free(error.file);
    builder_remove_directory(directory);
}

static void a_file_that_changed_is_refused_later(void **state) {
    (void)state;
    char *directory = builder_directory();
    struct builder *b = sample(7, 0);
    builder_write(b, directory);
    builder_free(b);
    struct reader_error error;
    struct reader_recording *recording = reader_open(directory, &error);
    assert_non_null(recording);
    reader_unload(&recording->images[0]);
    builder_write_bytes(directory, "7.0", "gone", 4);
    assert_false(reader_load(&recording->images[0], &error));
    assert_non_null(error.file);
    free(error.file);
    reader_close(recording);
    builder_remove_directory(directory);
}

// A random program: places, and what they allocate and free.
static void replay_program(struct builder *b, unsigned seed, size_t noted_from) {
    uint32_t nodes[24] = {1}, count = 1;
    int64_t live[24] = {0};
    srand(seed);
    for (; count < 24; count++) {
        uint32_t function = builder_python(b, "/p.py", count % 2 ? "f" : "g", count % 5 + 1);
        uint32_t parent = nodes[(size_t)rand() % count];
        nodes[count] = builder_node(b, parent, builder_line(b, function, count % 7 + 1));
    }
    for (size_t event = 0; event < 300; event++) {
        b->noting = event >= noted_from;
        size_t at = 1 + (size_t)rand() % (count - 1);
        int64_t size = 1 + rand() % 999;
        if (rand() % 2 && live[at] >= size) {
            builder_release(b, nodes[at], size, nodes[1 + (size_t)rand() % (count - 1)]);
            live[at] -= size;
        } else {
            builder_allocate(b, nodes[at], size);
            live[at] += size;
        }
    }
}

// What a killed process had only noted counts as if it had been applied.
static void test_replay(void **state) {
    (void)state;
    for (unsigned seed = 0; seed < 60; seed++) {
        char *directory = builder_directory();
        struct builder *applied = builder_new(1, 0), *noted = builder_new(2, 0);
        replay_program(applied, seed, SIZE_MAX);
        replay_program(noted, seed, seed * 5);
        builder_write(applied, directory);
        builder_write(noted, directory);
        struct reader_error error;
        struct reader_recording *recording = reader_open(directory, &error);
        assert_non_null(recording);
        assert_int_equal(recording->image_count, 2);
        const struct reader_image *a = &recording->images[0], *n = &recording->images[1];
        assert_memory_equal(a->nodes, n->nodes, a->node_count * sizeof *a->nodes);
        assert_memory_equal(a->frames, n->frames, a->frame_count * sizeof *a->frames);
        assert_memory_equal(a->functions, n->functions, a->function_count * sizeof *a->functions);
        assert_int_equal(a->header.heap_live, n->header.heap_live);
        assert_int_equal(a->header.heap_peak, n->header.heap_peak);
        assert_int_equal(a->header.peak_seq, n->header.peak_seq);
        assert_int_equal(a->header.allocated_bytes, n->header.allocated_bytes);
        assert_int_equal(a->header.allocations, n->header.allocations);
        assert_int_equal(a->header.freed_bytes, n->header.freed_bytes);
        assert_int_equal(a->header.frees, n->header.frees);
        reader_close(recording);
        builder_free(applied);
        builder_free(noted);
        builder_remove_directory(directory);
    }
}

// Journals that make no sense change nothing.
static void test_replay_nonsense(void **state) {
    (void)state;
    char *directory = builder_directory();
    struct builder *b = builder_new(1, 0);
    uint32_t node = builder_node(b, 1, builder_line(b, builder_python(b, "/p.py", "f", 1), 2));
    b->noting = true;
    builder_allocate(b, node + 7, 100);    // a node that is not there
    builder_allocate(b, 0, 100);           // none
    builder_release(b, node, 3, node + 9); // freed at a place that is not there: counted, but not there
    b->journals[1].events[3] = b->journals[1].events[2];
    b->journals[1].count =
        RECORD_JOURNAL_EVENTS + 1000; // the rest of the journal is empty events: of no node
    builder_write(b, directory);
    struct reader_error error;
    struct reader_recording *recording = reader_open(directory, &error);
    assert_non_null(recording);
    assert_int_equal(recording->images[0].header.heap_live, -6);
    assert_int_equal(recording->images[0].header.allocations, 0);
    assert_int_equal(recording->images[0].header.frees, 2);
    reader_close(recording);
    builder_free(b);
    builder_remove_directory(directory);
}

// The highest heap may be among what was noted and not applied yet: then its time is that of the first of
// these.
static void test_replay_time_of_the_peak(void **state) {
    (void)state;
    for (int raises = 0; raises < 2; raises++) {
        char *directory = builder_directory();
        struct builder *b = builder_new(1, 0);
        uint32_t node = builder_node(b, 1, builder_line(b, builder_python(b, "/p.py", "f", 1), 2));
        builder_allocate(b, node, 100);
        b->header.start_monotonic_ns = 1000;
        b->header.peak_ns = 7;
        b->noting = true;
        builder_release(b, node, 50, 0);
        builder_allocate(b, node, raises ? 51 : 50);
        b->journals[1].since = 1500;
        builder_write(b, directory);
        struct reader_error error;
        struct reader_recording *recording = reader_open(directory, &error);
        assert_non_null(recording);
        assert_int_equal(recording->images[0].header.heap_peak, 100 + raises);
        assert_int_equal(recording->images[0].header.peak_ns, raises ? 500 : 7);
        reader_close(recording);
        builder_free(b);
        builder_remove_directory(directory);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_replay_nonsense),
        cmocka_unit_test(test_replay_time_of_the_peak),
        cmocka_unit_test(what_was_written_comes_back),
        cmocka_unit_test(tables_may_be_in_pieces),
        cmocka_unit_test(a_directory_may_hold_other_things),
        cmocka_unit_test(one_damaged_file_hides_no_other),
        cmocka_unit_test(what_is_no_recording_is_refused),
        cmocka_unit_test(a_file_cut_short_is_refused),
        cmocka_unit_test(a_damaged_header_is_refused),
        cmocka_unit_test(damaged_extents_are_refused),
        cmocka_unit_test(damaged_records_are_refused),
        cmocka_unit_test(a_string_may_not_leave_its_table),
        cmocka_unit_test(offsets_in_messages_point_at_the_record),
        cmocka_unit_test(a_sparse_giant_is_refused),
        cmocka_unit_test(a_file_that_changed_is_refused_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
