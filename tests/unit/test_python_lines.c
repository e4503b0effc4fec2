// SPDX-License-Identifier: MIT
// needs: shim/python/lines.c
//
// Line tables of the three formats: by hand, and random ones against a decoder that keeps every line.

#include "shim/python/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int locations_line(const unsigned char *table, size_t size, int first, int offset, int *near) {
    struct lines_cursor cursor = LINES_START(first);
    return lines_locations(&cursor, table, size, offset, near);
}

static void lnotab_steps(void **state) {
    (void)state;
    // Six bytes on line 10, two on 11, 300 on 300 lines further, then back by 5.
    const unsigned char table[] = {6, 1, 2, 127, 0, 127, 0, 46, 255, 0, 45, (unsigned char)-5};
    assert_int_equal(lines_lnotab(table, sizeof table, 10, -1), 10);
    assert_int_equal(lines_lnotab(table, sizeof table, 10, 0), 10);
    assert_int_equal(lines_lnotab(table, sizeof table, 10, 5), 10);
    assert_int_equal(lines_lnotab(table, sizeof table, 10, 6), 11);
    assert_int_equal(lines_lnotab(table, sizeof table, 10, 8), 311);
    assert_int_equal(lines_lnotab(table, sizeof table, 10, 307), 311);
    assert_int_equal(lines_lnotab(table, sizeof table, 10, 308), 306);
    assert_int_equal(lines_lnotab(table, 0, 10, 308), 10);
    assert_int_equal(lines_lnotab(table, 1, 10, 308), 10);
}

static void ranges_steps(void **state) {
    (void)state;
    const unsigned char table[] = {4, 0, 2, (unsigned char)-128, 254, 127, 6, 3, 2, (unsigned char)-100};
    int near;
    assert_int_equal(lines_ranges(table, sizeof table, 7, 0, &near), 7);
    assert_int_equal(lines_ranges(table, sizeof table, 7, 3, &near), 7);
    assert_int_equal(lines_ranges(table, sizeof table, 7, 4, &near), -1);
    assert_int_equal(near, 7);
    assert_int_equal(lines_ranges(table, sizeof table, 7, 6, &near), 134);
    assert_int_equal(near, 134);
    assert_int_equal(lines_ranges(table, sizeof table, 7, 259, &near), 134);
    assert_int_equal(lines_ranges(table, sizeof table, 7, 260, &near), 137);
    assert_int_equal(lines_ranges(table, sizeof table, 7, 266, NULL), 37);
}

static void locations_kinds(void **state) {
    (void)state;
    const unsigned char table[] = {
        0x80 | 0 << 3 | 0,  0x11,             // short: 1 unit, line 50
        0x80 | 11 << 3 | 1, 1,    2,          // one line: 2 units, 51
        0x80 | 13 << 3 | 7, 0x43, 0x01,       // no columns: 8 units, svarint 0x43 = -(67 >> 1): -33, 18
        0x80 | 15 << 3 | 0,                   // none: 1 unit
        0x80 | 14 << 3 | 0, 0x04, 1,    2, 3, // long: 1 unit, +2: 20
        0x80 | 9 << 3 | 2,  0x22,             // short: 3 units, 20
    };
    // By byte offset; each unit has two.
    static const int expected[] = {50, 51, 51, 18, 18, 18, 18, 18, 18, 18, 18, -1, 20, 20, 20, 20};
    for (int unit = 0; unit < 16; unit++)
        for (int byte = 0; byte < 2; byte++) {
            int near;
            assert_int_equal(locations_line(table, sizeof table, 50, 2 * unit + byte, &near), expected[unit]);
            assert_int_equal(near, unit == 11 ? 18 : expected[unit]);
        }
}

// Writes a random table of 3.11's format and what each unit's line is.
static size_t random_table(unsigned char *table, int *lines, int *units, int first) {
    size_t size = 0;
    int line = first;
    *units = 0;
    for (int entry = 0; entry < 60; entry++) {
        int kind = rand() % 16, length = rand() % 8 + 1, change = 0;
        table[size++] = (unsigned char)(0x80 | kind << 3 | (length - 1));
        if (kind <= 9) {
            table[size++] = (unsigned char)(rand() % 128);
        } else if (kind <= 12) {
            change = kind - 10;
            size += 2;
        } else if (kind <= 14) {
            change = rand() % 20001 - 10000;
            unsigned value = change < 0 ? (unsigned)-change << 1 | 1 : (unsigned)change << 1;
            for (int field = 0; field < (kind == 14 ? 4 : 1); field++) {
                for (; value >= 64; value >>= 6)
                    table[size++] = (unsigned char)(64 | (value & 63));
                table[size++] = (unsigned char)value;
                value = (unsigned)rand() % 5000;
            }
        }
        line += change;
        for (int i = 0; i < length; i++)
            lines[(*units)++] = kind == 15 ? -1 : line;
    }
    return size;
}

static void locations_random(void **state) {
    (void)state;
    srand(7);
    for (int round = 0; round < 300; round++) {
        unsigned char table[2048] = {0};
        int lines[512], units;
        size_t size = random_table(table, lines, &units, 100000);
        for (int unit = 0; unit < units; unit++)
            assert_int_equal(locations_line(table, size, 100000, 2 * unit, NULL), lines[unit]);
        // The same, on from where the last one was found.
        struct lines_cursor cursor = LINES_START(100000);
        for (int unit = 0; unit < units; unit += rand() % 9) {
            assert_int_equal(lines_locations(&cursor, table, size, 2 * unit, NULL), lines[unit]);
            assert_true(cursor.end <= 2 * unit && cursor.at < size);
        }
    }
}

// Any bytes, in memory that ends where the table does: nothing may be read beyond (AddressSanitizer watches).
static void garbage_stays_inside(void **state) {
    (void)state;
    srand(8);
    for (int round = 0; round < 3000; round++) {
        size_t size = (size_t)(rand() % 40);
        unsigned char *table = malloc(size ? size : 1);
        for (size_t i = 0; i < size; i++)
            table[i] = (unsigned char)rand();
        int near, offset = rand() % 400 - 10;
        lines_lnotab(table, size, INT32_MAX, offset);
        lines_ranges(table, size, INT32_MIN, offset, &near);
        locations_line(table, size, INT32_MAX, offset, &near);
        free(table);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lnotab_steps),         cmocka_unit_test(ranges_steps),
        cmocka_unit_test(locations_kinds),      cmocka_unit_test(locations_random),
        cmocka_unit_test(garbage_stays_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
