// SPDX-License-Identifier: MIT
// needs: shim/estimate.c shim/sampling.c shim/frame.c shim/tree.c shim/numbers.c shim/fold.c shim/fold_ranks.c
// needs: shim/folded.c shim/owner.c shim/former.c
// needs: shim/journal.c shim/timeline.c
// needs: shim/peak.c shim/arena.c shim/lock.c tests/unit/shim_double.c
//
// The books of sampled objects against brute force: random programs with recursion, in two languages, some of
// whose blocks are samples. Bytes, counts and each variance of each line and function, at their peaks, too,
// must be what a list of all events says; also where the tree is far too small for the contexts.

#include "shim/estimate.h"
#include "shim/former.h"
#include "shim/frame.h"
#include "shim/owner.h"
#include "shim/recording.h"
#include "shim/sampling.h"
#include "shim/tree.h"
#include "tests/unit/peak_event.h"
#include "tests/unit/shim_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FUNCTIONS 6
#define LINES 4 // of a function
#define PLACES (FUNCTIONS * LINES + 1)
#define RECORDS 20000
#define DEPTH 6
#define BLOCKS 60
#define EVENTS 3000
#define SEEDS 100
#define NODES 100 // where they are few

struct judge {
    int64_t live, peak;
    uint64_t variance, at_peak, allocated, allocations, net;
};

struct block {
    uint32_t owner, depth, stack[DEPTH];
    size_t size; // 0: none
    bool sampled;
};

static struct judge line_self[PLACES], line_total[PLACES], function_self[PLACES], function_total[PLACES];
static struct judge process;
static struct block blocks[BLOCKS];

static uint32_t function_of(uint32_t line) {
    return 1 + (line - 1) / LINES;
}

static uint32_t frame_of(uint32_t line) {
    const struct frame_key key = {.function = function_of(line), .line = line};
    return frame_number(&key);
}

static uint32_t node_of(const uint32_t *stack, uint32_t depth) {
    tree_prepare(depth);
    uint32_t node = TREE_ROOT;
    for (uint32_t i = 0; i + 1 < depth; i++)
        node = tree_path(node, frame_of(stack[i]));
    return tree_leaf(node, frame_of(stack[depth - 1]));
}

static uint32_t language_of(uint32_t line) {
    return function_of(line) % 3 == 0 ? RECORD_NATIVE : RECORD_PYTHON;
}

static bool holds(const uint32_t *stack, uint32_t depth, uint32_t line, uint32_t function) {
    for (uint32_t i = 0; i < depth; i++)
        if (stack[i] == line || (function && function_of(stack[i]) == function))
            return true;
    return false;
}

// The innermost line of a language; 0 = none.
static uint32_t innermost(const uint32_t *stack, uint32_t depth, uint32_t language) {
    while (depth-- > 0)
        if (language_of(stack[depth]) == language)
            return stack[depth];
    return 0;
}

enum what { ALLOCATED, RELEASED, FREEING };

// `here`: the block was allocated on this line (function), too.
static void apply(struct judge *judge, const struct block *block, enum what what, bool here) {
    uint64_t weight = block->sampled ? sampling_weight(block->size) : 1;
    uint64_t count = weight * (weight - 1), square = count * block->size * block->size;
    int64_t bytes = (int64_t)(weight * block->size);
    if (what == FREEING) {
        judge->net = here ? judge->net - square : judge->net + square;
        return;
    }
    if (what == RELEASED) {
        judge->live -= bytes;
        judge->variance -= square;
        return;
    }
    judge->live += bytes;
    judge->variance += square;
    judge->net += square;
    judge->allocated += square;
    judge->allocations += count;
    if (judge->live > judge->peak) {
        judge->peak = judge->live;
        judge->at_peak = judge->variance;
    }
}

static void judge_path(const uint32_t *stack, uint32_t depth, const struct block *block, enum what what) {
    for (uint32_t line = 1; line < PLACES; line++)
        if (holds(stack, depth, line, 0))
            apply(&line_total[line], block, what, holds(block->stack, block->depth, line, 0));
    for (uint32_t function = 1; function <= FUNCTIONS; function++)
        if (holds(stack, depth, 0, function))
            apply(&function_total[function], block, what, holds(block->stack, block->depth, 0, function));
    for (uint32_t language = RECORD_PYTHON; language <= RECORD_NATIVE; language++) {
        uint32_t line = innermost(stack, depth, language),
                 other = innermost(block->stack, block->depth, language);
        if (!line)
            continue;
        apply(&line_self[line], block, what, line == other);
        apply(&function_self[function_of(line)], block, what,
              other && function_of(line) == function_of(other));
    }
}

// With recursion folded, as the tree has it (record_format.h).
static uint32_t random_stack(uint32_t *stack) {
    uint32_t calls = 1 + (uint32_t)rand() % DEPTH, depth = 0;
    for (uint32_t i = 0; i < calls; i++) {
        uint32_t line = 1 + (uint32_t)rand() % (PLACES - 1);
        if (i + 1 == calls || !holds(stack, depth, line, 0))
            stack[depth++] = line;
    }
    return depth;
}

static void event(const struct peak_books *books) {
    struct block *block = &blocks[rand() % BLOCKS];
    uint32_t stack[DEPTH], depth = random_stack(stack);
    uint32_t node = node_of(stack, depth);
    if (block->size) {
        const bool own = rand() % 4 == 0;
        uint32_t freeing = own ? ESTIMATE_OWN : rand() % 4 ? node : 0;
        apply(&process, block, RELEASED, true);
        judge_path(block->stack, block->depth, block, RELEASED);
        if (block->sampled) {
            if (own)
                judge_path(block->stack, block->depth, block, FREEING);
            else if (freeing)
                judge_path(stack, depth, block, FREEING);
            estimate_free(block->owner, block->size, freeing, false);
        } else {
            peak_event(books, owner_node(block->owner), -(int64_t)block->size, 0);
            if (owner_is_former(block->owner))
                former_free(books, block->owner, (int64_t)block->size, 0, 0);
            owner_drop(block->owner);
        }
        block->size = 0;
        return;
    }
    block->sampled = rand() % 2;
    block->size = 1 + (size_t)rand() % (block->sampled ? SAMPLING_LARGEST : 200000);
    block->depth = depth;
    memcpy(block->stack, stack, sizeof stack);
    block->owner = owner_of(node);
    apply(&process, block, ALLOCATED, true);
    judge_path(stack, depth, block, ALLOCATED);
    if (block->sampled) {
        estimate_alloc(node, block->owner, block->size);
    } else {
        owner_use(block->owner);
        peak_event(books, node, (int64_t)block->size, 0);
    }
}

static void compare(const struct judge *judge, const struct record_variance *found, int64_t live,
                    int64_t peak) {
    if (live >= 0) {
        assert_int_equal(live, judge->live);
        assert_int_equal(peak, judge->peak);
        assert_int_equal(found->peak == peak ? found->at_peak : found->live, judge->at_peak);
    }
    assert_int_equal(found->live, judge->variance);
    assert_int_equal(found->net, judge->net);
    assert_int_equal(found->allocated, judge->allocated);
    assert_int_equal(found->allocations, judge->allocations);
}

static const struct record_estimate *estimate(uint32_t number) {
    static const struct record_estimate none;
    return number ? (struct record_estimate *)shim.tables[RECORD_ESTIMATES].base + number : &none;
}

static void check(void) {
    for (uint32_t line = 1; line < PLACES; line++) {
        uint32_t frame = frame_of(line);
        const struct record_account *account = &shim_frame(frame)->account;
        const struct record_estimate *found = estimate(shim.frame_estimates[frame]);
        compare(&line_total[line], &found->total, account->total_live, account->total_peak);
        compare(&line_self[line], &found->self, -1, 0); // accounts know the innermost of all languages only
    }
    for (uint32_t function = 1; function <= FUNCTIONS; function++) {
        const struct record_account *account = &shim_function(function)->account;
        const struct record_estimate *found = estimate(shim.function_estimates[function]);
        compare(&function_total[function], &found->total, account->total_live, account->total_peak);
        compare(&function_self[function], &found->self, -1, 0);
    }
    const struct record_estimate *whole = estimate(1);
    assert_int_equal(whole->kind, RECORD_OF_PROCESS);
    process.net = whole->total.net; // says nothing
    compare(&process, &whole->total, shim.header->heap_live, shim.header->heap_peak);
}

static struct peak_books start(void) {
    shim_double_reset(RECORDS);
    assert_true(tree_open() && estimate_open());
    memset(line_self, 0, sizeof line_self);
    memset(line_total, 0, sizeof line_total);
    memset(function_self, 0, sizeof function_self);
    memset(function_total, 0, sizeof function_total);
    memset(&process, 0, sizeof process);
    memset(blocks, 0, sizeof blocks);
    for (uint32_t i = 1; i <= FUNCTIONS; i++) {
        const struct record_function function = {.language = (uint16_t)language_of(1 + (i - 1) * LINES)};
        assert_int_equal(recording_append(RECORD_FUNCTIONS, &function), i);
    }
    return (struct peak_books){shim.header, shim_node(0), shim_frame(0), shim_function(0)};
}

static void run(unsigned seed, size_t nodes) {
    srand(seed);
    const struct peak_books books = start();
    shim.tables[RECORD_NODES].budget = nodes;
    for (int i = 0; i < EVENTS; i++)
        event(&books);
    peak_flush(&books);
    check();
    assert_true(nodes ? shim.header->folded_nodes > 1000 : shim.header->folded_nodes == 0);
    assert_int_equal(shim.header->forgotten_lines, 0);
}

static void variances_are_those_of_all_events(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++)
        run(seed, 0);
}

static void so_they_are_after_folding(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++)
        run(seed, NODES);
}

static void a_sample_counts_for_many(void **state) {
    (void)state;
    start();
    const uint32_t stack[] = {1, 5}, other[] = {1, 9};
    uint32_t node = node_of(stack, 2), freeing = node_of(other, 2), owner = owner_of(node);
    const uint64_t weight = sampling_weight(40);
    estimate_alloc(node, owner, 40);
    assert_int_equal(shim.header->heap_peak, weight * 40);
    assert_int_equal(shim.header->slack_at_peak, weight * 8);
    assert_int_equal(shim_node(node)->allocated_bytes, weight * 40);
    assert_int_equal(shim_node(node)->allocations, weight);
    assert_int_equal(shim_node(node)->heap_high, weight * 40);
    assert_int_equal(owner_blocks(node), 1);
    assert_int_equal(shim.tick_heap_high, weight * 40);
    estimate_free(owner, 40, freeing, true);
    assert_int_equal(shim_node(node)->temporary, weight);
    assert_int_equal(shim_node(freeing)->freed_bytes, weight * 40);
    assert_int_equal(shim_node(freeing)->frees, weight);
    assert_int_equal(owner_blocks(node), 0);
    assert_int_equal(shim.header->heap_live, 0);
    assert_int_equal(shim.header->slack_live, 0);
    assert_int_equal(shim.header->allocations, weight);
    assert_int_equal(shim.header->frees, weight);
    assert_int_equal(shim.header->freed_bytes, shim.header->allocated_bytes);
}

static void a_forgotten_line_leaves_its_record(void **state) {
    (void)state;
    start();
    const uint32_t stack[] = {1, 5};
    uint32_t node = node_of(stack, 2), frame = frame_of(5), number;
    estimate_alloc(node, owner_of(node), 40);
    assert_int_not_equal(number = shim.frame_estimates[frame], 0);
    estimate_forget(frame);
    assert_int_equal(shim.frame_estimates[frame], 0);
    assert_int_equal(estimate(number)->kind, RECORD_OF_NOTHING);
    const uint32_t next[] = {6};
    node = node_of(next, 1);
    estimate_alloc(node, owner_of(node), 40);
    assert_int_equal(shim.frame_estimates[frame_of(6)], number); // used again
    assert_int_equal(estimate(number)->number, frame_of(6));
}

static void without_room_it_is_counted(void **state) {
    (void)state;
    start();
    while (recording_append(RECORD_ESTIMATES, estimate(0)))
        continue;
    const uint32_t stack[] = {1};
    uint32_t node = node_of(stack, 1), owner = owner_of(node);
    estimate_alloc(node, owner, 40);
    assert_int_equal(shim.header->estimates_missing, 4); // line and function, self and total
    estimate_free(owner, 40, node, false);
    assert_int_equal(shim.header->heap_live, 0);
}

int main(void) {
    sampling_open();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variances_are_those_of_all_events),
        cmocka_unit_test(so_they_are_after_folding),
        cmocka_unit_test(a_sample_counts_for_many),
        cmocka_unit_test(a_forgotten_line_leaves_its_record),
        cmocka_unit_test(without_room_it_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
