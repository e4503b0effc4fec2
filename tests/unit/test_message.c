// SPDX-License-Identifier: MIT
// needs: reporter/message.c
//
// Messages: what a hostile file name may do to a line, and which words count as misspelt.

#include "reporter/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void escapes(const char *text, const char *expected) {
    char out[256];
    assert_string_equal(message_escape(text, out, sizeof out), expected);
}

static void test_text_passes(void **state) {
    (void)state;
    escapes("", "");
    escapes("plain ~ text", "plain ~ text");
    escapes("é ß € 𝄞 \xed\x9f\xbf \xf4\x8f\xbf\xbf", "é ß € 𝄞 \xed\x9f\xbf \xf4\x8f\xbf\xbf");
}

static void test_controls_are_escaped(void **state) {
    (void)state;
    escapes("a\nb\tc\x1b[31m\x7f", "a\\x0ab\\x09c\\x1b[31m\\x7f");
    escapes("\xc2\x9b", "\\xc2\\x9b"); // CSI as one character: a terminal obeys it
    escapes("\xc2\xa0", "\xc2\xa0");
}

static void test_what_is_not_utf8_is_escaped(void **state) {
    (void)state;
    escapes("\xff", "\\xff");
    escapes("\xe4x", "\\xe4x");
    escapes("\xc3", "\\xc3");
    escapes("\xe2\x82", "\\xe2\\x82");
    escapes("\xc0\xaf", "\\xc0\\xaf");          // overlong
    escapes("\xe0\x80\xaf", "\\xe0\\x80\\xaf"); // overlong
    escapes("\xed\xa0\x80", "\\xed\\xa0\\x80"); // surrogate
    escapes("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
    escapes("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80");
}

static void test_cut_at_a_character(void **state) {
    (void)state;
    char out[8];
    assert_string_equal(message_escape("1234567890", out, sizeof out), "1234567");
    assert_string_equal(message_escape("12345€", out, sizeof out), "12345");
    assert_string_equal(message_escape("12345\n", out, sizeof out), "12345");
    assert_string_equal(message_escape("x", out, 1), "");
}

static void test_nearest(void **state) {
    (void)state;
    static const char *const names[] = {"run", "report", "help", "python-objects", "max-size"};
    enum { COUNT = sizeof names / sizeof names[0] };
    assert_string_equal(message_nearest("rnu", names, COUNT), "run");
    assert_string_equal(message_nearest("reprot", names, COUNT), "report");
    assert_string_equal(message_nearest("rep", names, COUNT), "report");
    assert_string_equal(message_nearest("maxsize", names, COUNT), "max-size");
    assert_string_equal(message_nearest("python_object", names, COUNT), "python-objects");
    assert_null(message_nearest("x", names, COUNT));
    assert_null(message_nearest("", names, COUNT));
    assert_null(message_nearest("something-else", names, COUNT));
    assert_null(message_nearest("a-word-that-is-longer-than-any-name-could-be", names, COUNT));
    assert_null(message_nearest("run", names, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_passes),
        cmocka_unit_test(test_controls_are_escaped),
        cmocka_unit_test(test_what_is_not_utf8_is_escaped),
        cmocka_unit_test(test_cut_at_a_character),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
