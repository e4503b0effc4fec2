// SPDX-License-Identifier: MIT
// needs: reporter/render/emit.c reporter/text.c reporter/memory.c
//
// JSON as it is written.

#include "reporter/render/emit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *text;
static size_t size;
static struct emit emit;

static int set_up(void **state) {
    (void)state;
    emit = (struct emit){.out = open_memstream(&text, &size)};
    return emit.out ? 0 : -1;
}

static void expect(const char *wanted) {
    assert_int_equal(fclose(emit.out), 0);
    assert_string_equal(text, wanted);
    free(text);
}

static void commas_stand_between_values(void **state) {
    (void)state;
    emit_open(&emit, '{');
    emit_key(&emit, "a");
    emit_open(&emit, '[');
    emit_integer(&emit, 1);
    emit_open(&emit, '[');
    emit_close(&emit, ']');
    emit_open(&emit, '{');
    emit_key(&emit, "b");
    emit_null(&emit);
    emit_key(&emit, "c");
    emit_bool(&emit, true);
    emit_close(&emit, '}');
    emit_bool(&emit, false);
    emit_close(&emit, ']');
    emit_key(&emit, "d");
    emit_open(&emit, '{');
    emit_close(&emit, '}');
    emit_close(&emit, '}');
    expect("{\"a\":[1,[],{\"b\":null,\"c\":true},false],\"d\":{}}");
}

static void lines_break_where_they_are_told_to(void **state) {
    (void)state;
    emit_open(&emit, '[');
    for (int i = 0; i < 3; i++) {
        emit_new_line(&emit, 2);
        emit_integer(&emit, i);
    }
    emit_close(&emit, ']');
    expect("[\n  0,\n  1,\n  2]");
}

static void numbers_keep_their_value(void **state) {
    (void)state;
    emit_open(&emit, '[');
    emit_integer(&emit, 0);
    emit_integer(&emit, -60);
    emit_integer(&emit, INT64_MIN);
    emit_integer(&emit, INT64_MAX);
    emit_count(&emit, UINT64_MAX); // JSON readers have 64 bits with a sign
    emit_seconds(&emit, 1.25);
    emit_close(&emit, ']');
    expect("[0,-60,-9223372036854775808,9223372036854775807,9223372036854775807,1.250000000]");
}

static void strings_are_valid(void **state) {
    (void)state;
    emit_open(&emit, '[');
    emit_string(&emit, NULL);
    emit_string(&emit, "");
    emit_string(&emit, "a\"b\\c/\n\t\x01\x7f");
    emit_string(&emit, "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    emit_close(&emit, ']');
    expect("[null,\"\",\"a\\\"b\\\\c/\\u000a\\u0009\\u0001\\u007f\","
           "\"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]");
}

#define BAD "\xef\xbf\xbd"

static void bytes_that_are_not_utf8_stay_apart(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"\xff", BAD "ff"},
        {"\xfe", BAD "fe"},
        {"\xc0\xaf", BAD "c0" BAD "af"},                           // overlong
        {"\xe0\x80\xaf", BAD "e0" BAD "80" BAD "af"},              // overlong
        {"\xed\xa0\x80", BAD "ed" BAD "a0" BAD "80"},              // a surrogate
        {"\xf4\x90\x80\x80", BAD "f4" BAD "90" BAD "80" BAD "80"}, // above U+10FFFF
        {"x\xe2\x82", "x" BAD "e2" BAD "82"},                      // cut short
        {"\xc3(", BAD "c3("},                                      //
        {"a" BAD "ff\xff", "a" BAD "ef" BAD "bf" BAD "bd"
                           "ff" BAD "ff"}, // looks like what we write
    };
    char wanted[1024] = "[";
    emit_open(&emit, '[');
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        emit_string(&emit, pairs[i][0]);
        strcat(strcat(strcat(wanted, i ? ",\"" : "\""), pairs[i][1]), "\"");
    }
    emit_close(&emit, ']');
    expect(strcat(wanted, "]"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(commas_stand_between_values, set_up),
        cmocka_unit_test_setup(lines_break_where_they_are_told_to, set_up),
        cmocka_unit_test_setup(numbers_keep_their_value, set_up),
        cmocka_unit_test_setup(strings_are_valid, set_up),
        cmocka_unit_test_setup(bytes_that_are_not_utf8_stay_apart, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
