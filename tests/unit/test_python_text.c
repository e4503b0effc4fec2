// SPDX-License-Identifier: MIT
// needs: shim/python/text.c shim/python/layout.c
//
// Python strings of every kind and layout, as UTF-8.

#include "shim/python/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    unsigned minor;
    bool free_threaded;
} versions[] = {{8, false}, {11, false}, {12, false}, {13, false},
                {13, true}, {14, false}, {14, true},  {15, true}};

static char object[4096] __attribute__((aligned(16)));

// A str in `object`, of `length` characters of `kind` bytes. kind 0: ASCII.
static void make(const struct python_layout *layout, const void *characters, size_t length, unsigned kind) {
    bool ascii = kind == 0;
    uint32_t state = (ascii ? 1 : kind) << layout->text_kind_shift | 1u << layout->text_compact_bit |
                     (uint32_t)ascii << layout->text_ascii_bit;
    memset(object, 0x55, sizeof object);
    memcpy(object + layout->text_length, &length, sizeof length);
    memcpy(object + layout->text_state, &state, sizeof state);
    memcpy(object + (ascii ? layout->text_ascii : layout->text_compact), characters,
           length * (ascii ? 1 : kind));
}

static void expect(const struct python_layout *layout, const char *expected) {
    char buffer[256];
    size_t length = text_copy(layout, object, buffer, sizeof buffer);
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(buffer, expected, length);
}

static void all_kinds(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        struct python_layout layout;
        assert_true(layout_choose(&layout, versions[i].minor, versions[i].free_threaded));
        make(&layout, "plain/file.py", 13, 0);
        expect(&layout, "plain/file.py");
        make(&layout, "caf\xe9\x80", 5, 1);
        expect(&layout, "caf\u00e9\xc2\x80");
        const uint16_t halves[] = {'a', 0x6f22, 0x5b57, 0x7ff, 0x800};
        make(&layout, halves, 5, 2);
        expect(&layout, "a\u6f22\u5b57\u07ff\u0800");
        const uint32_t wholes[] = {0x1f40d, 'z', 0x10ffff};
        make(&layout, wholes, 3, 4);
        expect(&layout, "\U0001f40dz\U0010ffff");
        make(&layout, "", 0, 0);
        expect(&layout, "");
    }
}

static void surrogates(void **state) {
    (void)state;
    struct python_layout layout;
    layout_choose(&layout, 11, false);
    // os.fsdecode(b"\xff\x80x"), a lone high and a lone low surrogate.
    const uint16_t halves[] = {0xdcff, 0xdc80, 'x', 0xd800, 0xdfff, 0xdc7f};
    make(&layout, halves, 6, 2);
    expect(&layout, "\xff\x80x\xed\xa0\x80\xed\xbf\xbf\xed\xb1\xbf");
    const uint32_t wholes[] = {0x110000, 0xffffffff};
    make(&layout, wholes, 2, 4);
    expect(&layout, "\xef\xbf\xbd\xef\xbf\xbd");
}

static void cut_between_characters(void **state) {
    (void)state;
    struct python_layout layout;
    layout_choose(&layout, 13, false);
    const uint32_t wholes[] = {'a', 0x1f40d, 'b'};
    make(&layout, wholes, 3, 4);
    static const size_t kept[] = {0, 1, 1, 1, 1, 5, 6, 6};
    for (size_t size = 0; size < 8; size++) {
        char buffer[16];
        memset(buffer, '#', sizeof buffer);
        assert_int_equal(text_copy(&layout, object, buffer, size), kept[size]);
        assert_int_equal(buffer[size], '#');
    }
}

static void subclass_and_no_text(void **state) {
    (void)state;
    struct python_layout layout;
    layout_choose(&layout, 12, false);
    make(&layout, "", 0, 1);
    size_t length = 4;
    uint32_t bits = 1u << layout.text_kind_shift; // not compact
    const char *characters = "else";
    memcpy(object + layout.text_length, &length, sizeof length);
    memcpy(object + layout.text_state, &bits, sizeof bits);
    memcpy(object + layout.text_compact, &characters, sizeof characters);
    expect(&layout, "else");
    memset(object + layout.text_compact, 0, sizeof characters);
    expect(&layout, "");
    memset(object, 0xff, sizeof object);
    expect(&layout, "");
    char buffer[4];
    assert_int_equal(text_copy(&layout, NULL, buffer, sizeof buffer), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds),
        cmocka_unit_test(surrogates),
        cmocka_unit_test(cut_between_characters),
        cmocka_unit_test(subclass_and_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
