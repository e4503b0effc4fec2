// SPDX-License-Identifier: MIT
// needs: reporter/options.c reporter/message.c
//
// Command lines: forms of options, operands, the environment, sizes. The messages are in tests/cli.

#include "reporter/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ARGUMENTS_MAX = 16 };

static const struct options_spec specs[] = {
    {"output", 'o', "FILE", "PEAKLINE_TEST_OUTPUT", "a value"},
    {"fast", 'f', NULL, "PEAKLINE_TEST_FAST", "a flag"},
    {"size", 0, "SIZE", NULL, "a size"},
    {0},
};

static char *line[ARGUMENTS_MAX];
static struct options options;

// Starts on a command line of words that are separated by blanks.
static void start(const char *words, bool program) {
    static char copy[256];
    int count = 0;
    snprintf(copy, sizeof copy, "verb %s", words);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        line[count++] = word;
    line[count] = NULL;
    options = (struct options){.usage = "verb", .about = "", .specs = specs, .program = program};
    options_start(&options, count, line);
}

static void expect_option(int index, const char *value, const char *given) {
    assert_int_equal(options_next(&options), index);
    assert_string_equal(options.value, value);
    assert_string_equal(options.given, given);
}

static void expect_flag(int index, bool on) {
    assert_int_equal(options_next(&options), index);
    assert_null(options.value);
    assert_int_equal(options.on, on);
}

static void expect_operands(const char *words) {
    char joined[256] = "";
    assert_int_equal(options_next(&options), OPTIONS_END);
    for (int i = 0; i < options.operands; i++) {
        strcat(joined, i > 0 ? " " : "");
        strcat(joined, options.operand[i]);
    }
    assert_string_equal(joined, words);
    assert_null(options.operand[options.operands]);
}

static void test_forms(void **state) {
    (void)state;
    start("--output a --output=b -oc -o d --output==e --fast -f --fast=no", false);
    expect_option(0, "a", "--output");
    expect_option(0, "b", "--output");
    expect_option(0, "c", "-o");
    expect_option(0, "d", "-o");
    expect_option(0, "=e", "--output");
    expect_flag(1, true);
    expect_flag(1, true);
    expect_flag(1, false);
    expect_operands("");
}

static void test_operands_among_options(void **state) {
    (void)state;
    start("one -f two -o x - three -- -f --output", false);
    expect_flag(1, true);
    expect_option(0, "x", "-o");
    expect_operands("one two - three -f --output");
}

static void test_a_program_ends_the_options(void **state) {
    (void)state;
    start("-f program -f --output -- x", true);
    expect_flag(1, true);
    expect_operands("program -f --output -- x");
    start("-f -- -program -f", true);
    expect_flag(1, true);
    expect_operands("-program -f");
    start("-f", true);
    expect_flag(1, true);
    expect_operands("");
}

static void test_what_is_wrong(void **state) {
    static const char *const wrong[] = {"--nothing", "--outputs=x", "--out",     "-x",     "-fo",
                                        "-o",        "--output",    "--output=", "--size", "--fast=often"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        start(wrong[i], false);
        assert_int_equal(options_next(&options), OPTIONS_ERROR);
    }
}

static void test_the_environment_comes_first(void **state) {
    (void)state;
    setenv("PEAKLINE_TEST_OUTPUT", "from-environment", 1);
    setenv("PEAKLINE_TEST_FAST", "off", 1);
    start("-o given operand", false);
    expect_option(0, "from-environment", "PEAKLINE_TEST_OUTPUT");
    expect_flag(1, false);
    expect_option(0, "given", "-o");
    expect_operands("operand");
    setenv("PEAKLINE_TEST_OUTPUT", "", 1);
    setenv("PEAKLINE_TEST_FAST", "sometimes", 1);
    start("", false);
    assert_int_equal(options_next(&options), OPTIONS_ERROR);
    unsetenv("PEAKLINE_TEST_OUTPUT");
    unsetenv("PEAKLINE_TEST_FAST");
}

static void test_sizes(void **state) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } right[] = {{"0", 0},
                 {"4096", 4096},
                 {"7B", 7},
                 {"512K", 512 << 10},
                 {"3k", 3 << 10},
                 {"16MiB", 16 << 20},
                 {"16mib", 16 << 20},
                 {"2MB", 2 << 20},
                 {"1G", 1 << 30},
                 {"2T", 2ull << 40},
                 {"18446744073709551615", UINT64_MAX},
                 {"18014398509481983K", UINT64_MAX - 1023}};
    static const char *const wrong[] = {"",
                                        "K",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 K",
                                        "1.5M",
                                        "1KiBs",
                                        "1Ki",
                                        "1X",
                                        "0x10",
                                        "18446744073709551616",
                                        "18014398509481984K",
                                        "1MM"};
    uint64_t bytes;
    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        assert_true(options_parse_size(right[i].text, &bytes));
        assert_int_equal(bytes, right[i].bytes);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (options_parse_size(wrong[i], &bytes))
            fail_msg("'%s' was taken for a size", wrong[i]);
}

static void test_values(void **state) {
    static const char *const colours[] = {"red", "green"};
    uint64_t number;
    size_t index;
    (void)state;
    start("--size 12 --size 1K --size red --size green", false);
    assert_int_equal(options_next(&options), 2);
    assert_true(options_number(&options, 12, 12, &number));
    assert_int_equal(number, 12);
    assert_false(options_number(&options, 13, 20, &number));
    assert_false(options_number(&options, 0, 11, &number));
    assert_false(options_choice(&options, colours, 2, &index));
    assert_int_equal(options_next(&options), 2);
    assert_false(options_number(&options, 0, UINT64_MAX, &number));
    assert_true(options_size(&options, 1024, 1024, &number));
    assert_int_equal(number, 1024);
    assert_false(options_size(&options, 1025, 2048, &number));
    assert_false(options_size(&options, 0, 1023, &number));
    assert_int_equal(options_next(&options), 2);
    assert_true(options_choice(&options, colours, 2, &index));
    assert_int_equal(index, 0);
    assert_false(options_size(&options, 0, UINT64_MAX, &number));
    assert_int_equal(options_next(&options), 2);
    assert_true(options_choice(&options, colours, 2, &index));
    assert_int_equal(index, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_operands_among_options),
        cmocka_unit_test(test_a_program_ends_the_options),
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_the_environment_comes_first),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
