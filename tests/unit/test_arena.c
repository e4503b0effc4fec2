// SPDX-License-Identifier: MIT
// needs: shim/arena.c shim/lock.c tests/unit/shim_double.c
//
// The shim's own memory: zeroed, aligned, disjoint, reused.

#include "shim/arena.h"
#include "shim/config.h"
#include "tests/unit/shim_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define BLOCKS 3000

static void blocks_are_zeroed_aligned_and_disjoint(void **state) {
    (void)state;
    shim_double_reset(4);
    unsigned char *blocks[BLOCKS];
    size_t sizes[BLOCKS];
    srand(3);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            sizes[i] = 1 + (size_t)rand() % (i % 100 ? 700 : 600000);
            blocks[i] = arena_alloc(sizes[i]);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % (sizes[i] % 64 ? 16 : 64), 0);
            for (size_t b = 0; b < sizes[i]; b++)
                assert_int_equal(blocks[i][b], 0);
            memset(blocks[i], (int)(i % 255) + 1, sizes[i]);
        }
        for (size_t i = 0; i < BLOCKS; i++) {
            for (size_t b = 0; b < sizes[i]; b++)
                assert_int_equal(blocks[i][b], i % 255 + 1);
            arena_free(blocks[i], sizes[i]);
        }
    }
}

static void freed_memory_is_used_again(void **state) {
    (void)state;
    shim_double_reset(4);
    for (int i = 0; i < 100000; i++) {
        void *block = arena_alloc(1000);
        assert_non_null(block);
        arena_free(block, 1000);
    }
    assert_true(arena_bytes() <= 1u << 20);
}

static void what_cannot_be_given_back_is_zeroed(void **state) {
    (void)state;
    shim_double_reset(4);
    const size_t size = 600000;
    char *block = arena_alloc(size);
    assert_non_null(block);
    memset(block, 1, size);
    if (mlock(block + 8192, 4096) != 0)
        skip(); // not allowed here
    arena_free(block, size);
    assert_ptr_equal(arena_alloc(size), block);
    for (size_t b = 0; b < size; b++)
        assert_int_equal(block[b], 0);
}

static void memory_that_is_given_back_does_not_count(void **state) {
    (void)state;
    shim_double_reset(4);
    void *block = arena_alloc(1000000);
    assert_int_equal(arena_bytes(), 1u << 20);
    arena_free(block, 1000000);
    assert_int_equal(arena_bytes(), 4096);
    assert_non_null(arena_alloc(1000000));
    assert_int_equal(arena_bytes(), 1u << 20);
}

static void impossible_sizes_fail(void **state) {
    (void)state;
    shim_double_reset(4);
    assert_null(arena_alloc(SIZE_MAX));
    assert_null(arena_alloc((size_t)1 << 40));
    arena_free(NULL, 10);
    assert_non_null(arena_alloc(0));
}

static void reserved_ranges_are_zero_and_disjoint(void **state) {
    (void)state;
    shim_double_reset(4);
    char *before = NULL;
    for (int i = 0; i < 200; i++) {
        char *range = arena_reserve(256 << 10);
        assert_non_null(range);
        assert_int_equal(range[0], 0);
        assert_int_equal(range[(256 << 10) - 1], 0);
        if (before)
            assert_true(range >= before + (256 << 10) || range + (256 << 10) <= before);
        memset(range, 1, 256 << 10);
        before = range;
    }
    assert_non_null(arena_reserve((size_t)64 << 20));
}

static void scarce_address_space_is_taken_in_small_pieces(void **state) {
    (void)state;
    for (int scarce = 0; scarce < 2; scarce++) {
        shim_double_reset(4);
        config.scarce = scarce;
        assert_non_null(arena_reserve(4096));
        size_t left = (size_t)(shim.arena.region_end - shim.arena.region);
        assert_true(scarce ? left < 4u << 20 : left > 4u << 20);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_aligned_and_disjoint),
        cmocka_unit_test(freed_memory_is_used_again),
        cmocka_unit_test(what_cannot_be_given_back_is_zeroed),
        cmocka_unit_test(memory_that_is_given_back_does_not_count),
        cmocka_unit_test(impossible_sizes_fail),
        cmocka_unit_test(reserved_ranges_are_zero_and_disjoint),
        cmocka_unit_test(scarce_address_space_is_taken_in_small_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
