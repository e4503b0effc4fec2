// SPDX-License-Identifier: MIT
// needs: shim/scope.c
//
// Open scopes against lists kept by hand.

#include "shim/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char frames[SCOPE_MOST + 1], codes[3]; // only their addresses matter

static void names_are_cut_between_characters(void **state) {
    (void)state;
    char name[SCOPE_NAME_MOST + 8];
    struct scope *list[SCOPE_NESTED];
    uint32_t thread = 0;
    memset(name, 'x', sizeof name);
    name[SCOPE_NAME_MOST] = '\0';
    scope_open(&thread, name);
    memcpy(name + SCOPE_NAME_MOST - 10, "é", 2);
    strcpy(name + SCOPE_NAME_MOST, "y");
    scope_open(&thread, name);
    name[SCOPE_NAME_MOST] = 'z';
    scope_open(&thread, name);
    scope_open(&thread, "");
    assert_int_equal(scope_list(thread, list), 4);
    assert_int_equal(list[3]->length, SCOPE_NAME_MOST);
    assert_int_equal(list[2]->length, SCOPE_NAME_MOST - 1); // not in the middle of é
    assert_int_equal(list[1]->length, SCOPE_NAME_MOST - 1);
    assert_memory_equal(list[2]->name, name, SCOPE_NAME_MOST - 10);
    assert_int_equal(list[2]->name[SCOPE_NAME_MOST - 10], '~');
    assert_memory_not_equal(list[1]->name, list[2]->name, SCOPE_NAME_MOST - 1); // what was cut off differs
    assert_int_equal(list[0]->length, 0);
    scope_close_all(&thread);
    assert_int_equal(thread, 0);
}

static void threads_scopes_nest(void **state) {
    (void)state;
    struct scope *list[SCOPE_NESTED];
    uint32_t thread = 0, other = 0;
    scope_handle a = scope_open(&thread, "a"), b = scope_open(&thread, "b"), c = scope_open(&thread, "c");
    scope_handle d = scope_open(&thread, "d");
    assert_true(scope_innermost(thread) == d);
    assert_false(scope_close(&other, d, true)); // another thread's
    assert_true(scope_close(&thread, c, false));
    assert_int_equal(scope_list(thread, list), 3);
    assert_memory_equal(list[0]->name, "d", 1);
    assert_memory_equal(list[1]->name, "b", 1);
    assert_true(scope_close(&thread, b, true)); // and d with it
    assert_true(scope_innermost(thread) == a);
    assert_false(scope_close(&thread, d, true));
    scope_handle e = scope_open(&thread, "e"); // in the place of one of those
    assert_false(scope_close(&thread, c, true));
    assert_false(scope_close(&thread, 0, true));
    assert_false(scope_close(&thread, ~(scope_handle)0, true));
    assert_true(scope_close(&thread, e, true) && scope_close(&thread, a, true));
    assert_int_equal(thread, 0);

    for (int i = 0; i < SCOPE_NESTED; i++)
        assert_true(scope_open(&thread, "deep") != 0);
    assert_true(scope_open(&thread, "deeper") == 0);
    scope_close_all(&thread);
}

static void a_frame_has_its_own_and_its_functions(void **state) {
    (void)state;
    struct scope *list[SCOPE_NESTED];
    uint32_t thread = 0;
    scope_handle of_code = scope_open_python(&codes[0], &codes[0], NULL, "function");
    scope_handle first = scope_open_python(&frames[0], &codes[0], NULL, "first");
    scope_handle second = scope_open_python(&frames[0], &codes[0], NULL, "second");
    assert_int_equal(scope_of_python, 3);
    assert_int_equal(scope_list_python(&frames[0], &codes[0], list), 3);
    assert_memory_equal(list[0]->name, "second", 6);
    assert_memory_equal(list[1]->name, "first", 5);
    assert_memory_equal(list[2]->name, "function", 8);
    assert_int_equal(scope_list_python(&frames[1], &codes[0], list), 1);
    assert_int_equal(scope_list_python(&frames[1], &codes[1], list), 0);
    // Another function's frame at the same address: the block before never ended.
    assert_int_equal(scope_list_python(&frames[0], &codes[1], list), 0);
    scope_handle third = scope_open_python(&frames[0], &codes[1], NULL, "third");
    assert_int_equal(scope_of_python, 2);
    assert_int_equal(scope_list_python(&frames[0], &codes[1], list), 1);
    assert_false(scope_close(&thread, first, false));
    assert_false(scope_close(&thread, second, false));
    assert_true(scope_close(&thread, third, false));
    assert_true(scope_close(&thread, of_code, false));
    assert_int_equal(scope_of_python, 0);
}

static void copies_of_a_context_carry_a_scope_on(void **state) {
    (void)state;
    const void *here = &codes[2], *copy = &codes[3];
    uint32_t thread = 0;
    assert_null(scope_in_context(1, copy));
    scope_handle followed = scope_open_python(&frames[0], &codes[0], here, "followed");
    scope_handle other = scope_open_python(&frames[0], &codes[0], NULL, "not followed");
    assert_int_equal(scope_of_contexts, 1);
    assert_memory_equal(scope_in_context(followed, copy)->name, "followed", 8);
    assert_null(scope_in_context(followed, here));
    assert_null(scope_in_context(other, copy));
    assert_null(scope_in_context(followed + ((uint64_t)1 << 32), copy));
    assert_true(scope_close(&thread, followed, false));
    assert_null(scope_in_context(followed, copy));
    assert_int_equal(scope_of_contexts, 0);
    // Left behind in a frame that is gone.
    followed = scope_open_python(&frames[0], &codes[1], here, "followed");
    assert_true(scope_open_python(&frames[0], &codes[0], here, "again") != 0);
    assert_int_equal(scope_of_contexts, 1);
    assert_null(scope_in_context(followed, copy));
    assert_true(scope_close(&thread, scope_open_python(&frames[0], &codes[1], NULL, "last"), false));
    assert_int_equal(scope_of_contexts, 0);
    assert_int_equal(scope_of_python, 0);
}

static void random_frames_equal_a_list(void **state) {
    (void)state;
    enum { MOST = 300 };
    static scope_handle open[MOST][4];
    struct scope *list[SCOPE_NESTED];
    uint32_t thread = 0;
    srand(1);
    for (int step = 0; step < 200000; step++) {
        int frame = rand() % MOST, count = 0;
        while (count < 4 && open[frame][count])
            count++;
        assert_int_equal(scope_list_python(&frames[frame], &codes[0], list), count);
        if (count < 4 && rand() % 2) {
            char name[16];
            snprintf(name, sizeof name, "%d", frame);
            open[frame][count] = scope_open_python(&frames[frame], &codes[0], NULL, name);
            assert_true(open[frame][count] != 0);
        } else if (count) {
            int which = rand() % count;
            assert_true(scope_close(&thread, open[frame][which], false));
            assert_false(scope_close(&thread, open[frame][which], false));
            for (int i = which; i < 3; i++)
                open[frame][i] = open[frame][i + 1];
            open[frame][3] = 0;
        }
    }
    for (int frame = 0; frame < MOST; frame++)
        for (int i = 0; i < 4; i++)
            scope_close(&thread, open[frame][i], false);
    assert_int_equal(scope_of_python, 0);
}

static void the_table_fills_and_empties(void **state) {
    (void)state;
    struct scope *list[SCOPE_NESTED];
    static scope_handle all[SCOPE_MOST];
    uint32_t thread = 0;
    for (int i = 0; i < SCOPE_MOST; i++)
        assert_true((all[i] = scope_open_python(&frames[i], &codes[0], NULL, "one")) != 0);
    assert_true(scope_open_python(&frames[SCOPE_MOST], &codes[0], NULL, "more") == 0);
    assert_int_equal(scope_list_python(&frames[SCOPE_MOST], &codes[0], list), 0);
    assert_true(scope_open(&thread, "more") == 0);
    for (int i = 0; i < SCOPE_MOST; i++)
        assert_true(scope_close(&thread, all[i], false));
    assert_int_equal(scope_of_python, 0);
    assert_true(scope_open(&thread, "more") != 0);
    scope_close_all(&thread);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_cut_between_characters),
        cmocka_unit_test(threads_scopes_nest),
        cmocka_unit_test(a_frame_has_its_own_and_its_functions),
        cmocka_unit_test(copies_of_a_context_carry_a_scope_on),
        cmocka_unit_test(random_frames_equal_a_list),
        cmocka_unit_test(the_table_fills_and_empties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
