// SPDX-License-Identifier: MIT
// needs: shim/tree.c shim/numbers.c shim/fold.c shim/fold_ranks.c
// needs: shim/folded.c shim/frame.c shim/estimate.c shim/sampling.c shim/owner.c shim/former.c
// needs: shim/journal.c shim/timeline.c
// needs: shim/peak.c shim/arena.c shim/lock.c tests/unit/shim_double.c
//
// The calling-context tree: identity, folding of recursion, flags, and what happens when it is full.

#include "shim/recording.h"
#include "shim/tree.h"
#include "tests/unit/shim_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define FRAMES 20

static void open_tree(size_t records) {
    shim_double_reset(records);
    assert_true(tree_open());
    // Frames 1..: two lines per function.
    for (uint32_t f = 1; f < FRAMES && f < records; f++) {
        struct record_frame frame = {.function = (f + 1) / 2};
        recording_append(RECORD_FRAMES, &frame);
    }
}

static void same_path_same_node(void **state) {
    (void)state;
    open_tree(1000);
    uint32_t a = tree_path(TREE_ROOT, 1), b = tree_path(a, 3), leaf = tree_leaf(b, 5);
    assert_int_not_equal(a, TREE_ROOT);
    assert_int_not_equal(a, b);
    assert_int_equal(tree_path(TREE_ROOT, 1), a);
    assert_int_equal(tree_path(a, 3), b);
    assert_int_equal(tree_leaf(b, 5), leaf);
    assert_int_equal(shim_node(leaf)->parent, b);
    assert_int_equal(shim_node(leaf)->frame, 5);
    assert_int_equal(shim_node(leaf)->depth, 3);
    assert_int_not_equal(tree_leaf(a, 5), leaf);
}

static void recursion_is_folded(void **state) {
    (void)state;
    open_tree(1000);
    uint32_t a = tree_path(TREE_ROOT, 1), b = tree_path(a, 3);
    assert_int_equal(tree_path(b, 1), b);
    assert_int_equal(tree_path(tree_path(b, 1), 3), b);
    uint32_t again = tree_leaf(b, 1);
    assert_int_not_equal(again, a);
    assert_int_equal(shim_node(again)->flags, 0); // neither the line nor the function is new on this path
    assert_int_equal(shim_node(b)->flags, RECORD_NODE_OUTERMOST_FRAME | RECORD_NODE_OUTERMOST_FUNCTION);
    uint32_t other_line = tree_leaf(b, 2); // the other line of frame 1's function
    assert_int_equal(shim_node(other_line)->flags, RECORD_NODE_OUTERMOST_FRAME);
}

static void deep_recursion_stays_small(void **state) {
    (void)state;
    open_tree(1000);
    for (int walk = 0; walk < 1000; walk++) {
        uint32_t node = TREE_ROOT;
        for (int depth = 0; depth < 200; depth++)
            node = tree_path(node, 1 + (uint32_t)rand() % 3);
        tree_leaf(node, 1 + (uint32_t)rand() % 3);
    }
    // 3 frames: at most 3 + 6 + 6 paths, and a leaf or two on each.
    assert_true(shim.header->tables[RECORD_NODES].count < 70);
}

static void unknown_frames_add_nothing(void **state) {
    (void)state;
    open_tree(1000);
    uint32_t a = tree_path(TREE_ROOT, 1);
    assert_int_equal(tree_path(a, 0), a);
    assert_int_equal(tree_leaf(a, 0), a);
}

static void full_tree_uses_the_nearest_caller(void **state) {
    (void)state;
    open_tree(6); // entry 0, the root, and four more
    uint32_t a = tree_path(TREE_ROOT, 1), b = tree_path(a, 3);
    tree_leaf(b, 2);
    tree_leaf(b, 4);
    assert_int_equal(shim.header->lost[RECORD_LOST_TABLE_FULL], 0);
    assert_int_equal(tree_leaf(b, 5), b);
    assert_int_equal(tree_path(b, 5), b);
    assert_int_equal(shim.header->lost[RECORD_LOST_TABLE_FULL], 2);
    assert_int_equal(tree_path(TREE_ROOT, 1), a);
}

static void many_nodes_are_found_again(void **state) {
    (void)state;
    open_tree(50000);
    uint32_t parents[2000], nodes[2000];
    srand(7);
    for (uint32_t i = 0; i < 2000; i++) {
        parents[i] = i ? nodes[(uint32_t)rand() % i] : TREE_ROOT;
        nodes[i] = tree_leaf(parents[i], 1 + i % (FRAMES - 1));
    }
    for (uint32_t i = 0; i < 2000; i++)
        assert_int_equal(tree_leaf(parents[i], 1 + i % (FRAMES - 1)), nodes[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_path_same_node),
        cmocka_unit_test(recursion_is_folded),
        cmocka_unit_test(deep_recursion_stays_small),
        cmocka_unit_test(unknown_frames_add_nothing),
        cmocka_unit_test(full_tree_uses_the_nearest_caller),
        cmocka_unit_test(many_nodes_are_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
