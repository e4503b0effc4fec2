// SPDX-License-Identifier: MIT
// needs: reporter/atomic.c reporter/memory.c tests/unit/recording_builder.c
//
// Files that appear whole or not at all.

#include "reporter/atomic.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/recording_builder.h"

static char *directory;
static char path[4096], other[4096];

static int set_up(void **state) {
    (void)state;
    directory = builder_directory();
    snprintf(path, sizeof path, "%s/report", directory);
    snprintf(other, sizeof other, "%s/other", directory);
    umask(022);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    builder_remove_directory(directory);
    return 0;
}

static void expect_content(const char *name, const char *wanted) {
    char text[64] = "";
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, wanted);
}

static size_t count_files(void) {
    DIR *stream = opendir(directory);
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(stream));)
        count += entry->d_name[0] != '.';
    closedir(stream);
    return count;
}

static void it_appears_when_it_is_finished(void **state) {
    (void)state;
    struct atomic a;
    struct stat status;
    builder_write_bytes(directory, "report", "old", 3);
    assert_int_equal(chmod(path, 0640), 0);
    assert_true(atomic_start(&a, path));
    fputs("new", a.stream);
    fflush(a.stream);
    expect_content(path, "old");
    assert_true(atomic_finish(&a, true));
    expect_content(path, "new");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640); // as before
    assert_int_equal(count_files(), 1);
}

static void a_new_file_has_usual_permissions(void **state) {
    (void)state;
    struct atomic a;
    struct stat status;
    assert_true(atomic_start(&a, path));
    assert_true(atomic_finish(&a, true));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0644);
}

static void nothing_is_left_when_it_is_given_up(void **state) {
    (void)state;
    struct atomic a;
    assert_true(atomic_start(&a, path));
    fputs("half", a.stream);
    atomic_finish(&a, false);
    assert_int_equal(count_files(), 0);
}

static void a_link_stays_a_link(void **state) {
    (void)state;
    struct atomic a;
    struct stat status;
    builder_write_bytes(directory, "other", "old", 3);
    assert_int_equal(symlink(other, path), 0);
    assert_true(atomic_start(&a, path));
    fputs("new", a.stream);
    assert_true(atomic_finish(&a, true));
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    expect_content(other, "new");
}

static void what_is_no_file_is_written_directly(void **state) {
    (void)state;
    struct atomic a;
    assert_true(atomic_start(&a, "/dev/null"));
    fputs("x", a.stream);
    assert_true(atomic_finish(&a, true));
    struct stat status;
    assert_int_equal(stat("/dev/null", &status), 0);
    assert_true(S_ISCHR(status.st_mode));
}

static void a_full_disk_is_an_error(void **state) {
    (void)state;
    struct atomic a;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_true(atomic_start(&a, "/dev/full"));
    for (int i = 0; i < 100000; i++)
        fputs("x", a.stream);
    assert_false(atomic_finish(&a, true));
    assert_int_equal(errno, ENOSPC);
}

static void a_missing_directory_is_an_error(void **state) {
    (void)state;
    struct atomic a;
    strcat(other, "/none/report");
    assert_false(atomic_start(&a, other));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(count_files(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_appears_when_it_is_finished, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_file_has_usual_permissions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_left_when_it_is_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_stays_a_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_written_directly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_directory_is_an_error, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
