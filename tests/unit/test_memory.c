// SPDX-License-Identifier: MIT
// needs: reporter/memory.c
//
// Interned strings and the map of keys.

#include "reporter/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MANY 20000

static void equal_strings_have_one_address(void **state) {
    (void)state;
    struct pool *pool = pool_new();
    const char **strings = memory_alloc(MANY, sizeof *strings);
    char text[64];
    for (int i = 0; i < MANY; i++)
        strings[i] = pool_intern(pool, text, (size_t)snprintf(text, sizeof text, "name %d", i));
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "name %d", i);
        assert_ptr_equal(pool_intern_string(pool, text), strings[i]);
        assert_string_equal(strings[i], text);
    }
    assert_string_equal(pool_intern(pool, "a\0b", 3), "a?b");
    assert_null(pool_intern_string(pool, NULL));
    char *large = memory_alloc(300001, 1);
    memset(large, 'x', 300000);
    assert_int_equal(strlen(pool_intern(pool, large, 300000)), 300000);
    free(large);
    free(strings);
    pool_free(pool);
}

static void keys_are_numbered_in_order(void **state) {
    (void)state;
    struct map *map = map_new();
    bool added;
    for (uint32_t i = 0; i < MANY; i++) {
        struct map_key key = {{i % 7, i / 7, (uint64_t)i << 40}};
        assert_int_equal(map_number(map, key, &added), i);
        assert_true(added);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        struct map_key key = {{i % 7, i / 7, (uint64_t)i << 40}};
        assert_int_equal(map_number(map, key, &added), i);
        assert_false(added);
    }
    assert_int_equal(map_count(map), MANY);
    map_free(map);
}

static void arrays_grow(void **state) {
    (void)state;
    size_t capacity = 0;
    int *list = NULL;
    for (int i = 0; i < MANY; i++) {
        list = memory_grow(list, (size_t)i, &capacity, sizeof *list);
        list[i] = i;
    }
    for (int i = 0; i < MANY; i++)
        assert_int_equal(list[i], i);
    free(list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_strings_have_one_address),
        cmocka_unit_test(keys_are_numbered_in_order),
        cmocka_unit_test(arrays_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
