// SPDX-License-Identifier: MIT
// needs: shim/fold.c shim/tree.c shim/owner.c shim/journal.c shim/timeline.c shim/peak.c shim/arena.c
// needs: tests/unit/shim_double.c
//
// Forgetting contexts against brute force: random programs in a tree that is far too small for them. What
// every line and function allocated and freed must be exact however often its contexts are folded, and so
// must the process's totals; what they hold may be missing no more than the recording admits.

#include "shim/fold.h"
#include "shim/owner.h"
#include "shim/peak.h"
#include "shim/recording.h"
#include "shim/tree.h"
#include "tests/unit/shim_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FUNCTIONS 8
#define LINES 3
#define FRAMES (FUNCTIONS * LINES + 1)
#define RECORDS 150
#define DEPTH 6
#define BLOCKS 400
#define EVENTS 4000
#define SEEDS 60

struct block {
    uint32_t owner, depth;
    uint32_t stack[DEPTH];
    int64_t size;
};

// What each line and function must have.
struct judge {
    uint64_t allocated, allocations, freed, frees, temporary;
    int64_t live;
};

static struct judge frame_self[FRAMES], frame_total[FRAMES], function_self[FRAMES], function_total[FRAMES];
static struct block blocks[BLOCKS];

static uint32_t function_of(uint32_t frame) {
    return 1 + (frame - 1) / LINES;
}

static uint32_t node_of(const uint32_t *stack, uint32_t depth) {
    tree_prepare(depth + 1);
    uint32_t node = TREE_ROOT;
    for (uint32_t i = 0; i + 1 < depth; i++)
        node = tree_path(node, stack[i]);
    return tree_leaf(node, stack[depth - 1]);
}

static void apply(struct judge *judge, int64_t size, int what) {
    if (what == 0) {
        judge->allocated += (uint64_t)size;
        judge->allocations++;
        judge->live += size;
    } else if (what == 1) {
        judge->live -= size;
    } else {
        judge->freed += (uint64_t)size;
        judge->frees++;
    }
}

static void judge_stack(const uint32_t *stack, uint32_t depth, int64_t size, int what) {
    bool frames[FRAMES] = {false}, functions[FRAMES] = {false};
    apply(&frame_self[stack[depth - 1]], size, what);
    apply(&function_self[function_of(stack[depth - 1])], size, what);
    for (uint32_t i = 0; i < depth; i++) {
        if (!frames[stack[i]])
            apply(&frame_total[stack[i]], size, what);
        if (!functions[function_of(stack[i])])
            apply(&function_total[function_of(stack[i])], size, what);
        frames[stack[i]] = functions[function_of(stack[i])] = true;
    }
}

static uint32_t random_stack(uint32_t *stack) {
    uint32_t depth = 1 + (uint32_t)rand() % DEPTH;
    for (uint32_t i = 0; i < depth; i++)
        stack[i] = 1 + (uint32_t)rand() % (FRAMES - 1);
    return depth;
}

static void event(const struct peak_books *books) {
    struct block *block = &blocks[rand() % BLOCKS];
    uint32_t stack[DEPTH], depth = random_stack(stack), node = node_of(stack, depth);
    if (block->size) {
        peak_event(books, owner_drop(block->owner), -block->size, 0);
        shim_node(node)->freed_bytes += (uint64_t)block->size;
        shim_node(node)->frees++;
        judge_stack(block->stack, block->depth, block->size, 1);
        judge_stack(stack, depth, block->size, 2);
        block->size = 0;
        return;
    }
    block->size = 1 + rand() % 3000;
    block->depth = depth;
    memcpy(block->stack, stack, sizeof stack);
    block->owner = owner_take(node);
    peak_event(books, node, block->size, 0);
    shim_node(node)->allocated_bytes += (uint64_t)block->size;
    shim_node(node)->allocations++;
    judge_stack(stack, depth, block->size, 0);
}

// Whether a node's path holds the frame or a frame of the function.
static bool on_path(uint32_t node, uint32_t frame, uint32_t function) {
    for (; node != TREE_ROOT; node = shim_node(node)->parent) {
        uint32_t at = shim_node(node)->frame;
        if (at && (at == frame || function_of(at) == function))
            return true;
    }
    return false;
}

static void add_node(struct judge *judge, const struct record_node *node) {
    judge->allocated += node->allocated_bytes;
    judge->allocations += node->allocations;
    judge->freed += node->freed_bytes;
    judge->frees += node->frees;
    judge->live += node->live;
}

static int64_t add_folded(struct judge *self, struct judge *total, uint32_t folded) {
    if (!folded)
        return 0;
    const struct record_folded *entry = (struct record_folded *)shim.tables[RECORD_FOLDED].base + folded;
    struct judge *judges[] = {self, total};
    const struct record_sums *sums[] = {&entry->self, &entry->total};
    for (int i = 0; i < 2; i++) {
        judges[i]->allocated += sums[i]->allocated_bytes;
        judges[i]->allocations += sums[i]->allocations;
        judges[i]->freed += sums[i]->freed_bytes;
        judges[i]->frees += sums[i]->frees;
    }
    return entry->unseen_bytes;
}

static void compare(const struct judge *got, const struct judge *wanted, int64_t unseen) {
    assert_int_equal(got->allocated, wanted->allocated);
    assert_int_equal(got->allocations, wanted->allocations);
    assert_int_equal(got->freed, wanted->freed);
    assert_int_equal(got->frees, wanted->frees);
    assert_true(got->live <= wanted->live);
    assert_true(got->live >= wanted->live - unseen);
}

static void check_one(uint32_t frame, uint32_t function, const struct record_account *account,
                      uint32_t folded, const struct judge *self_wanted, const struct judge *total_wanted) {
    struct judge self = {0}, total = {0};
    for (uint32_t n = 2; n < shim.header->tables[RECORD_NODES].count; n++) {
        const struct record_node *node = shim_node(n);
        if (node->flags & RECORD_NODE_FREE)
            continue;
        if (node->frame && (node->frame == frame || function_of(node->frame) == function))
            add_node(&self, node);
        if (on_path(n, frame, function))
            add_node(&total, node);
    }
    int64_t unseen = add_folded(&self, &total, folded);
    compare(&self, self_wanted, unseen);
    // The tree keeps folded live bytes beneath those who stay, so only the folded ones' own totals may lack
    // them.
    compare(&total, total_wanted, unseen);
    assert_true(account->total_live <= total_wanted->live);
    assert_true(account->total_live >= total_wanted->live - unseen);
    assert_true(account->self_live >= self_wanted->live - unseen);
}

static void sums_stay_exact(void **state) {
    (void)state;
    uint64_t folds = 0;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        srand(seed);
        shim_double_reset(RECORDS);
        memset(blocks, 0, sizeof blocks);
        memset(frame_self, 0, sizeof frame_self);
        memset(frame_total, 0, sizeof frame_total);
        memset(function_self, 0, sizeof function_self);
        memset(function_total, 0, sizeof function_total);
        assert_true(tree_open());
        for (uint32_t f = 1; f < FRAMES; f++) {
            struct record_frame frame = {.function = function_of(f)};
            assert_int_equal(recording_append(RECORD_FRAMES, &frame), f);
        }
        const struct peak_books books = {shim.header, shim_node(0), shim_frame(0), shim_function(0)};
        int64_t live = 0, most = 0;
        for (int i = 0; i < EVENTS; i++) {
            event(&books);
            live = shim.header->heap_live;
            most = live > most ? live : most;
        }
        peak_flush(&books);
        int64_t sum = 0, at_peak = 0;
        uint32_t blocks_known = 0, blocks_there = 0;
        for (uint32_t n = 1; n < shim.header->tables[RECORD_NODES].count; n++) {
            if (shim_node(n)->flags & RECORD_NODE_FREE)
                continue;
            sum += shim_node(n)->live;
            at_peak += peak_saved(shim.header, shim_node(n));
        }
        assert_int_equal(sum, live);
        assert_int_equal(at_peak, shim.header->heap_peak);
        assert_int_equal(shim.header->heap_peak, most);
        for (uint32_t f = 1; f < FRAMES; f++)
            check_one(f, 0, &shim_frame(f)->account, shim_frame(f)->folded, &frame_self[f], &frame_total[f]);
        for (uint32_t f = 1; f <= FUNCTIONS; f++)
            check_one(0, f, &shim_function(f)->account, shim_function(f)->folded, &function_self[f],
                      &function_total[f]);
        assert_int_equal(shim.header->lost[RECORD_LOST_TABLE_FULL], 0);
        folds += shim.header->folded_nodes;
        // Freed to the last block, nothing is left anywhere, and no owner is in use but those of the nodes.
        for (size_t b = 0; b < BLOCKS; b++) {
            blocks_there += blocks[b].size != 0;
            if (blocks[b].size)
                peak_event(&books, owner_drop(blocks[b].owner), -blocks[b].size, 0);
        }
        for (uint32_t n = 1; n < shim.header->tables[RECORD_NODES].count; n++)
            if (!(shim_node(n)->flags & RECORD_NODE_FREE)) {
                assert_int_equal(shim_node(n)->live, 0);
                blocks_known += owner_blocks(n);
            }
        assert_int_equal(shim.header->heap_live, 0);
        assert_int_equal(blocks_known, 0);
        assert_true(blocks_there > 0);
    }
    assert_true(folds > SEEDS * 1000); // the tree really was too small
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_stay_exact)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
