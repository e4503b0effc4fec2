// SPDX-License-Identifier: MIT
// needs: reporter/apart.c
//
// A function in a process of its own: what it says arrives when it returns, and only then.

#include "reporter/apart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static int seen; // what a function changes here
static char text[1 << 18];

// Runs it with standard error in `text`.
static bool run(void (*function)(void *), void *context) {
    FILE *file = tmpfile();
    int kept = dup(STDERR_FILENO);
    assert_true(file && kept >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    bool done = apart_run(function, context);
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return done;
}

static void says(void *context) {
    seen++;
    fprintf(stderr, "it is %s\n", (const char *)context);
}

static void says_much(void *context) {
    for (int i = 0; i < *(int *)context; i++)
        fputs("0123456789abcdef\n", stderr);
}

static void ends(void *context) {
    fputs("not this\n", stderr);
    exit(*(int *)context);
}

static void aborts(void *context) {
    (void)context;
    fputs("nor this\n", stderr);
    abort();
}

static void what_it_says_arrives(void **state) {
    (void)state;
    char context[] = "here";
    assert_true(run(says, context));
    assert_string_equal(text, "it is here\n");
    assert_int_equal(seen, 0);
}

static void more_than_a_pipe_holds_arrives(void **state) {
    (void)state;
    int lines = 10001;
    assert_true(run(says_much, &lines));
    assert_int_equal(strlen(text), 17 * 10001);
}

static void what_ends_says_nothing(void **state) {
    (void)state;
    int status = 2;
    assert_false(run(ends, &status));
    assert_string_equal(text, "");
    assert_false(run(aborts, NULL));
    assert_string_equal(text, "");
}

static void without_another_process_it_runs_here(void **state) {
    (void)state;
    struct rlimit before, none = {0};
    char context[] = "this";
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool done = apart_run(says, context);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(done);
    assert_int_equal(seen, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_says_arrives),
        cmocka_unit_test(more_than_a_pipe_holds_arrives),
        cmocka_unit_test(what_ends_says_nothing),
        cmocka_unit_test(without_another_process_it_runs_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
