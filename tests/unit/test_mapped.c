// SPDX-License-Identifier: MIT
// needs: shim/mapped.c shim/owner.c shim/former.c shim/folded.c shim/arena.c shim/lock.c tests/unit/shim_double.c
//
// Ranges of anonymous memory against a map of pages.

#include "shim/mapped.h"
#include "shim/owner.h"
#include "tests/unit/shim_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE 4096u
#define PAGES 128
#define NODES 5

static void open_books(void) {
    static struct tree_link links[NODES];
    shim_double_reset(NODES);
    shim.links = links;
    assert_true(owner_open());
    for (uint32_t node = 1; node < NODES; node++)
        assert_true(owner_add(node));
}

static void random_ranges_equal_a_page_map(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 100; seed++) {
        srand(seed);
        open_books();
        uint32_t owner[PAGES] = {0};
        int64_t peak = 0;
        for (int step = 0; step < 500; step++) {
            size_t from = (size_t)rand() % PAGES, count = 1 + (size_t)rand() % (PAGES - from);
            if (count > 20)
                count = 20;
            uint32_t node = rand() % 2 ? 1 + (uint32_t)rand() % (NODES - 1) : 0;
            size_t known = 0;
            for (size_t p = from; p < from + count; p++) {
                known += owner[p] ? PAGE : 0;
                owner[p] = node;
            }
            if (node)
                mapped_add(from * PAGE, count * PAGE, node);
            else
                assert_int_equal(mapped_remove(from * PAGE, count * PAGE), known);
            int64_t live[NODES] = {0}, total = 0;
            for (size_t p = 0; p < PAGES; p++) {
                assert_int_equal(mapped_find(p * PAGE), owner[p]);
                live[owner[p]] += PAGE;
                total += owner[p] ? PAGE : 0;
            }
            for (uint32_t n = 1; n < NODES; n++)
                assert_int_equal(shim_node(n)->mapped_live, live[n]);
            assert_int_equal(shim.header->mapped_live, total);
            peak = total > peak ? total : peak;
            assert_int_equal(shim.header->mapped_peak, peak);
        }
        mapped_remove(0, PAGES * PAGE);
        for (uint32_t n = 1; n < NODES; n++)
            assert_int_equal(owner_blocks(n), 0);
    }
}

static void many_ranges(void **state) {
    (void)state;
    open_books();
    for (uintptr_t i = 0; i < 5000; i++)
        mapped_add((5000 - i) * 3 * PAGE, PAGE, 1);
    assert_int_equal(shim.header->mapped_live, 5000 * PAGE);
    assert_int_equal(mapped_remove(0, SIZE_MAX / 2), 5000 * (size_t)PAGE);
    assert_int_equal(shim.header->mapped_live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_ranges_equal_a_page_map),
        cmocka_unit_test(many_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
