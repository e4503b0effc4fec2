// SPDX-License-Identifier: MIT
// needs: shim/python/layout.c
//
// The choice of a layout, and what an interpreter says about itself. The numbers themselves are checked
// against the interpreters' headers by scripts/python-layouts.py.

#include "shim/python/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void known_versions(void **state) {
    (void)state;
    struct python_layout layout;
    for (unsigned minor = 0; minor < 30; minor++) {
        bool known = minor >= 8 && minor <= LAYOUT_LAST;
        assert_int_equal(layout_choose(&layout, minor, false), known);
        if (known) {
            assert_int_equal(layout.minor, minor);
            assert_int_equal(layout.code_qualname != LAYOUT_NONE, minor >= 11);
            assert_int_equal(layout.frame_owner != LAYOUT_NONE, minor >= 12);
            assert_int_equal(layout.frame_function != LAYOUT_NONE, minor >= 11);
            assert_int_equal(layout.tstate_frame2 != LAYOUT_NONE, minor == 11 || minor == 12);
        }
        assert_int_equal(layout_choose(&layout, minor, true), minor >= 13 && minor <= LAYOUT_LAST);
    }
}

static uint64_t offsets[256];

// As 3.14.0 has it.
static void describe(void) {
    memset(offsets, 0, sizeof offsets);
    memcpy(offsets, "xdebugpy", 8);
    offsets[1] = 0x030e00f0;
    static const struct {
        unsigned index, value;
    } fields[] = {{26, 72},  {32, 8},   {33, 0},  {34, 56},  {36, 74},  {40, 112},
                  {41, 120}, {42, 128}, {44, 68}, {43, 136}, {48, 208}, {51, 8},
                  {75, 16},  {76, 32},  {78, 32}, {79, 16},  {80, 40}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        offsets[fields[i].index] = fields[i].value;
}

static void own_word_counts(void **state) {
    (void)state;
    struct python_layout layout;
    bool free_threaded = true;
    describe();
    offsets[26] = 88;  // the thread state's link to the innermost frame
    offsets[44] = 100; // first line
    assert_true(layout_identify(offsets, 0x030e00f0, &free_threaded));
    assert_false(free_threaded);
    assert_true(layout_choose(&layout, 14, false));
    assert_true(layout_refine(&layout, offsets));
    assert_int_equal(layout.tstate_frame, 88);
    assert_int_equal(layout.code_firstlineno, 100);
    assert_int_equal(layout.frame_instr, 56);
    assert_int_equal(layout.frame_tlbc, LAYOUT_NONE);     // not in this build, whatever the word says
    assert_int_equal(layout.frame_function, LAYOUT_NONE); // may be elsewhere, too
    describe();
    assert_true(layout_choose(&layout, 14, false));
    assert_true(layout_refine(&layout, offsets));
    assert_int_equal(layout.frame_function, 16);
}

static void strange_words(void **state) {
    (void)state;
    struct python_layout layout;
    bool free_threaded;
    describe();
    assert_false(layout_identify(offsets, 0x030e01f0, &free_threaded));
    offsets[2] = 7;
    assert_false(layout_identify(offsets, 0x030e00f0, &free_threaded));
    offsets[2] = 1;
    assert_true(layout_identify(offsets, 0x030e00f0, &free_threaded));
    assert_true(free_threaded);
    memcpy(offsets, "xdebugpi", 8);
    assert_false(layout_identify(offsets, 0x030e00f0, &free_threaded));

    describe();
    layout_choose(&layout, 14, false);
    offsets[40] = 1u << 20;
    assert_false(layout_refine(&layout, offsets));
    offsets[40] = 113;
    assert_false(layout_refine(&layout, offsets));
    offsets[40] = 112;
    assert_true(layout_refine(&layout, offsets));

    layout_choose(&layout, 12, false); // has no such table
    assert_false(layout_refine(&layout, offsets));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_versions),
        cmocka_unit_test(own_word_counts),
        cmocka_unit_test(strange_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
