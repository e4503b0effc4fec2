// SPDX-License-Identifier: MIT
// needs: reporter/text.c reporter/memory.c
//
// Text: UTF-8, escapes, sizes.

#include "reporter/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_size(int64_t bytes, const char *wanted) {
    char out[TEXT_SIZE_MAX];
    assert_string_equal(text_size(out, bytes), wanted);
}

static void sizes_have_three_digits(void **state) {
    (void)state;
    expect_size(0, "0 B");
    expect_size(1023, "1023 B");
    expect_size(1024, "1.00 KiB");
    expect_size(1536, "1.50 KiB");
    expect_size(10239, "10.0 KiB");
    expect_size(102298, "99.9 KiB");
    expect_size(102400, "100 KiB");
    expect_size(999 * 1024, "999 KiB");
    expect_size(1000 * 1024, "0.977 MiB");
    expect_size(1048575, "1.00 MiB");
    expect_size(61236838, "58.4 MiB");
    expect_size(-63648563, "-60.7 MiB");
    expect_size(5368709120, "5.00 GiB");
    expect_size(INT64_MAX, "8.00 EiB");
    expect_size(INT64_MIN, "-8.00 EiB");
}

// Whatever the size, what is printed is within half a unit of its last digit.
static void sizes_are_near(void **state) {
    (void)state;
    for (int64_t bytes = 1024; bytes < INT64_MAX / 17; bytes += bytes / 16 + 7) {
        char out[TEXT_SIZE_MAX];
        char *unit;
        double value = strtod(text_size(out, bytes), &unit);
        for (const char *units = "KMGTPE"; *units; units++) {
            value *= 1024;
            if (unit[1] == *units)
                break;
        }
        double off = value / (double)bytes - 1;
        assert_true(off < 0.0051 && off > -0.0051);
    }
}

static void counts_are_grouped(void **state) {
    (void)state;
    char out[TEXT_SIZE_MAX];
    assert_string_equal(text_count(out, 0), "0");
    assert_string_equal(text_count(out, 999), "999");
    assert_string_equal(text_count(out, 10422), "10 422");
    assert_string_equal(text_count(out, 1000000), "1 000 000");
    assert_string_equal(text_count(out, UINT64_MAX), "18 446 744 073 709 551 615");
}

static void seconds_fit_their_size(void **state) {
    (void)state;
    char out[TEXT_SIZE_MAX];
    assert_string_equal(text_seconds(out, 0.417), "0.42 s");
    assert_string_equal(text_seconds(out, 12.34), "12.3 s");
    assert_string_equal(text_seconds(out, 245), "4 min 05 s");
    assert_string_equal(text_seconds(out, 7380), "2 h 03 min");
}

static void expect_escaped(const char *text, size_t columns, const char *wanted) {
    char *out = text_escape(text, strlen(text), columns);
    assert_string_equal(out, wanted);
    free(out);
}

static void terminals_get_no_controls(void **state) {
    (void)state;
    expect_escaped("", 0, "");
    expect_escaped("plain é", 0, "plain é");
    expect_escaped("a\nb\tc\r", 0, "a\\nb\\tc\\r");
    expect_escaped("\033[31m\007\177", 0, "\\x1b[31m\\x07\\x7f");
    expect_escaped("\xc2\x9b"
                   "31m",
                   0, "\\x9b31m"); // the one-byte escape
    expect_escaped("\xff\xfe", 0, "\\xff\\xfe");
    expect_escaped("\xe2\x80\xae"
                   "evil",
                   0, "\\u{202e}evil");
}

static void long_text_is_cut(void **state) {
    (void)state;
    expect_escaped("abcdef", 6, "abcdef");
    expect_escaped("abcdefg", 6, "abcde…");
    expect_escaped("日本語", 6, "日本語");
    expect_escaped("日本語", 5, "日本…");
    expect_escaped("日本語", 4, "日…");
    expect_escaped("ab\033c", 5, "ab…"); // an escape is not cut in the middle
    expect_escaped("abc", 1, "…");
    assert_int_equal(text_width("日本…"), 5);
    assert_int_equal(text_width("e\xcc\x81"), 1);
}

static void tabs_go_to_multiples_of_eight(void **state) {
    (void)state;
    char *out = text_expand_tabs("\ta\té\tb", 7);
    assert_string_equal(out, "        a       é       b");
    free(out);
}

static void expect_quoted(const char *word, const char *wanted) {
    char *out = text_quote(word);
    assert_string_equal(out, wanted);
    free(out);
}

static void words_are_quoted_for_a_shell(void **state) {
    (void)state;
    expect_quoted("peakline-python3-12", "peakline-python3-12");
    expect_quoted("", "''");
    expect_quoted("a b", "'a b'");
    expect_quoted("it's", "'it'\\''s'");
    expect_quoted("''''", "''\\'''\\'''\\'''\\'''");
}

static void basenames(void **state) {
    (void)state;
    assert_string_equal(text_basename("/a/b.py"), "b.py");
    assert_string_equal(text_basename("b.py"), "b.py");
    assert_string_equal(text_basename("/a/"), "/a/");
}

static void mebibytes_have_the_digits_asked_for(void **state) {
    (void)state;
    char out[TEXT_SIZE_MAX];
    assert_string_equal(text_mib(out, 1 << 20, 0), "1 MiB");
    assert_string_equal(text_mib(out, -(3 << 19), 2), "-1.50 MiB");
    assert_string_equal(text_mib(out, 1, 9), "0.000000954 MiB");
    assert_string_equal(text_mib(out, INT64_MIN, 9), "-8796093022208.000000000 MiB");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_have_three_digits),
        cmocka_unit_test(sizes_are_near),
        cmocka_unit_test(mebibytes_have_the_digits_asked_for),
        cmocka_unit_test(counts_are_grouped),
        cmocka_unit_test(seconds_fit_their_size),
        cmocka_unit_test(terminals_get_no_controls),
        cmocka_unit_test(long_text_is_cut),
        cmocka_unit_test(tabs_go_to_multiples_of_eight),
        cmocka_unit_test(words_are_quoted_for_a_shell),
        cmocka_unit_test(basenames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
