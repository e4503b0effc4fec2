// SPDX-License-Identifier: MIT
// needs: reporter/closing.c
//
// What the launcher writes into a dead process's file, and into which.

#include "reporter/closing.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shim/record_format.h"

enum { PID = 4711 };

#define EXITED(code) ((code) << 8)

static char directory[64];

static int make_directory(void **state) {
    (void)state;
    strcpy(directory, "/tmp/peakline-test-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    return system(command);
}

static void path_of(const char *name, char *path, size_t size) {
    snprintf(path, size, "%s/%s", directory, name);
}

static void put(const char *name, struct record_header header) {
    char path[128];
    path_of(name, path, sizeof path);
    memcpy(header.magic, RECORD_MAGIC, sizeof header.magic);
    header.version = RECORD_VERSION;
    header.header_size = sizeof header;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(&header, sizeof header, 1, file), 1);
    fclose(file);
}

static struct record_header get(const char *name) {
    char path[128];
    struct record_header header;
    path_of(name, path, sizeof path);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(&header, sizeof header, 1, file), 1);
    fclose(file);
    return header;
}

static void test_exited(void **state) {
    (void)state;
    put("4711.0", (struct record_header){.start_monotonic_ns = 1000, .rss_peak_bytes = 5});
    assert_int_equal(closing_write(directory, PID, EXITED(3), 8192, 1500), CLOSING_WRITTEN);
    struct record_header header = get("4711.0");
    assert_int_equal(header.end, RECORD_EXITED);
    assert_int_equal(header.exit_code, 3);
    assert_int_equal(header.end_signal, 0);
    assert_int_equal(header.end_ns, 500);
    assert_int_equal(header.rss_peak_bytes, 8192);
}

static void test_a_process_knows_its_own_exit(void **state) {
    (void)state;
    put("4711.0",
        (struct record_header){
            .start_monotonic_ns = 1000, .end = RECORD_EXITED, .end_ns = 77, .rss_peak_bytes = 9000});
    closing_write(directory, PID, EXITED(0), 8192, 1500);
    struct record_header header = get("4711.0");
    assert_int_equal(header.end_ns, 77);
    assert_int_equal(header.rss_peak_bytes, 9000);
}

static void test_signalled_after_it_said_exited(void **state) {
    (void)state;
    put("4711.0", (struct record_header){.end = RECORD_EXITED, .exit_code = 1, .end_ns = 77});
    closing_write(directory, PID, SIGSEGV, 0, 1500);
    struct record_header header = get("4711.0");
    assert_int_equal(header.end, RECORD_SIGNALLED);
    assert_int_equal(header.end_signal, SIGSEGV);
    assert_int_equal(header.exit_code, 0);
    assert_int_equal(header.end_ns, 1500);
}

static void test_the_newest_image_of_the_pid(void **state) {
    (void)state;
    put("4711.2", (struct record_header){.end = RECORD_REPLACED});
    put("4711.10", (struct record_header){0});
    put("47110.11", (struct record_header){0});
    put("47.11", (struct record_header){0});
    assert_int_equal(closing_write(directory, PID, EXITED(4), 8192, 1500), CLOSING_WRITTEN);
    assert_int_equal(get("4711.10").exit_code, 4);
    // With several files nobody knows whose the resident memory was.
    assert_int_equal(get("4711.10").rss_peak_bytes, 0);
    assert_int_equal(get("4711.2").end, RECORD_REPLACED);
    assert_int_equal(get("47110.11").end, RECORD_RUNNING);
    assert_int_equal(get("47.11").end, RECORD_RUNNING);
}

static void test_replaced_by_what_is_not_recorded(void **state) {
    (void)state;
    put("4711.0", (struct record_header){.end = RECORD_REPLACED, .end_ns = 5});
    assert_int_equal(closing_write(directory, PID, EXITED(4), 8192, 1500), CLOSING_REPLACED);
    struct record_header header = get("4711.0");
    assert_int_equal(header.end, RECORD_REPLACED);
    assert_int_equal(header.exit_code, 0);
    assert_int_equal(header.rss_peak_bytes, 0);
}

static void test_what_is_no_file_of_ours(void **state) {
    char path[128], target[128];
    (void)state;
    assert_int_equal(closing_write("/no/such/directory", PID, 0, 0, 0), CLOSING_NOTHING);
    assert_int_equal(closing_write(directory, PID, 0, 0, 0), CLOSING_NOTHING);
    // A link to a file elsewhere is not followed.
    put("elsewhere", (struct record_header){0});
    path_of("elsewhere", target, sizeof target);
    path_of("4711.0", path, sizeof path);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(closing_write(directory, PID, EXITED(4), 0, 0), CLOSING_NOTHING);
    assert_int_equal(get("elsewhere").end, RECORD_RUNNING);
    unlink(path);
    // A pipe does not block, a short file is not read beyond its end.
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(closing_write(directory, PID, EXITED(4), 0, 0), CLOSING_NOTHING);
    unlink(path);
    put("4711.0", (struct record_header){0});
    assert_int_equal(truncate(path, sizeof(struct record_header) - 1), 0);
    assert_int_equal(closing_write(directory, PID, EXITED(4), 0, 0), CLOSING_NOTHING);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(test_exited),
        IN_DIRECTORY(test_a_process_knows_its_own_exit),
        IN_DIRECTORY(test_signalled_after_it_said_exited),
        IN_DIRECTORY(test_the_newest_image_of_the_pid),
        IN_DIRECTORY(test_replaced_by_what_is_not_recorded),
        IN_DIRECTORY(test_what_is_no_file_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
