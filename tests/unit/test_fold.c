// SPDX-License-Identifier: MIT
// needs: shim/former.c shim/fold.c shim/fold_ranks.c shim/folded.c shim/frame.c shim/tree.c shim/numbers.c shim/owner.c
// needs: shim/journal.c shim/timeline.c shim/estimate.c shim/sampling.c
// needs: shim/peak.c shim/arena.c shim/lock.c tests/unit/shim_double.c
//
// Forgetting contexts against brute force: random programs in a tree that is far too small for them. What
// every line and function allocated, freed and holds, held at most and at the process's peak, must be exact
// however often its contexts are folded, and so must the process's totals. Then the same with too few frames:
// functions and totals stay exact, and so do lines that were never forgotten; of the others no more is
// missing than the recording admits. Then both in stacks of two languages.

#include "shim/fold.h"
#include "shim/former.h"
#include "shim/frame.h"
#include "shim/owner.h"
#include "shim/recording.h"
#include "shim/tree.h"
#include "tests/unit/peak_event.h"
#include "tests/unit/shim_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FUNCTIONS 8
#define LINES_MOST 12
#define PLACES (FUNCTIONS * LINES_MOST + 1)
#define RECORDS 300
#define NODES 150
#define DEPTH 6
#define BLOCKS 400
#define EVENTS 4000
#ifdef __SANITIZE_THREAD__ // forty times as slow, and there is one thread
#define SEEDS 6
#define SEEDS_FORGETTING 25
#else
#define SEEDS 60
#define SEEDS_FORGETTING 250
#endif

struct block {
    uint32_t owner, depth;
    uint32_t stack[DEPTH];
    int64_t size;
};

// What each line and function must have.
struct judge {
    uint64_t allocated, allocations, freed, frees, temporary;
    int64_t live, peak, at_peak;
    int64_t unseen; // what may be missing in these
};

// Lines are numbered from 1 by the test; their frames may come and go.
static struct judge line_self[PLACES], line_total[PLACES], function_self[PLACES], function_total[PLACES];
static struct block blocks[BLOCKS];
static uint32_t lines; // per function
static uint32_t blocks_used;
static uint32_t owners; // few, or 0
static bool mixed;      // every other function is native

static uint32_t function_of(uint32_t line) {
    return 1 + (line - 1) / lines;
}

static uint32_t frame_of(uint32_t line) {
    const struct frame_key key = {.function = function_of(line), .line = line};
    uint32_t frame = frame_number(&key);
    assert_int_not_equal(frame, 0);
    assert_int_equal(shim_frame(frame)->line, line);
    return frame;
}

static bool is_native(uint32_t line) {
    return mixed && function_of(line) % 2 == 0;
}

// Whether stack[i] is the innermost of its language.
static bool is_innermost(const uint32_t *stack, uint32_t depth, uint32_t i) {
    for (uint32_t inner = i + 1; inner < depth; inner++)
        if (is_native(stack[inner]) == is_native(stack[i]))
            return false;
    return true;
}

static uint32_t node_of(const uint32_t *stack, uint32_t depth) {
    tree_prepare(depth + 1);
    uint32_t node = TREE_ROOT;
    for (uint32_t i = 0; i < depth; i++) {
        uint32_t frame = frame_of(stack[i]);
        node = is_innermost(stack, depth, i) ? tree_leaf(node, frame) : tree_path(node, frame);
    }
    return node;
}

static void apply(struct judge *judge, int64_t size, int what) {
    if (what == 0) {
        judge->allocated += (uint64_t)size;
        judge->allocations++;
        judge->live += size;
        judge->peak = judge->live > judge->peak ? judge->live : judge->peak;
    } else if (what == 1) {
        judge->live -= size;
    } else {
        judge->freed += (uint64_t)size;
        judge->frees++;
    }
}

static void judge_stack(const uint32_t *stack, uint32_t depth, int64_t size, int what) {
    bool seen[PLACES] = {false}, functions[PLACES] = {false};
    for (uint32_t i = 0; i < depth; i++) {
        if (is_innermost(stack, depth, i)) {
            apply(&line_self[stack[i]], size, what);
            apply(&function_self[function_of(stack[i])], size, what);
        }
        if (!seen[stack[i]])
            apply(&line_total[stack[i]], size, what);
        if (!functions[function_of(stack[i])])
            apply(&function_total[function_of(stack[i])], size, what);
        seen[stack[i]] = functions[function_of(stack[i])] = true;
    }
}

static void judge_peak(void) {
    struct judge *const all[] = {line_self, line_total, function_self, function_total};
    for (int i = 0; i < 4; i++)
        for (uint32_t at = 0; at < PLACES; at++)
            all[i][at].at_peak = all[i][at].live;
}

static void count_free(uint32_t node, int64_t size) {
    shim_node(node)->freed_bytes += (uint64_t)size;
    shim_node(node)->frees++;
}

// `own`: by the lines that had allocated it.
static void release(const struct peak_books *books, uint32_t owner, int64_t size, bool own) {
    const uint32_t node = owner_node(owner);
    peak_event(books, node, -size, 0);
    if (owner_is_former(owner))
        former_free(books, owner, size, 0, own);
    if (own)
        count_free(node, size);
    owner_drop(owner);
}

static uint32_t random_stack(uint32_t *stack) {
    uint32_t depth = 1 + (uint32_t)rand() % DEPTH;
    for (uint32_t i = 0; i < depth; i++)
        stack[i] = 1 + (uint32_t)rand() % (FUNCTIONS * lines);
    return depth;
}

static void event(const struct peak_books *books) {
    struct block *block = &blocks[(uint32_t)rand() % blocks_used];
    uint32_t stack[DEPTH], depth = random_stack(stack), node = node_of(stack, depth);
    if (block->size) {
        const bool own = rand() % 4 == 0;
        release(books, block->owner, block->size, own);
        judge_stack(block->stack, block->depth, block->size, 1);
        if (own) {
            judge_stack(block->stack, block->depth, block->size, 2);
        } else {
            count_free(node, block->size);
            judge_stack(stack, depth, block->size, 2);
        }
        block->size = 0;
        return;
    }
    block->size = 1 + rand() % 3000;
    block->depth = depth;
    memcpy(block->stack, stack, sizeof stack);
    block->owner = owner_take(node);
    bool raised = peak_event(books, node, block->size, 0);
    shim_node(node)->allocated_bytes += (uint64_t)block->size;
    shim_node(node)->allocations++;
    judge_stack(stack, depth, block->size, 0);
    if (raised)
        judge_peak();
}

// Whether a node's path holds the frame or a frame of the function.
static bool on_path(uint32_t node, uint32_t frame, uint32_t function) {
    for (; node != TREE_ROOT; node = shim_node(node)->parent) {
        uint32_t at = shim_node(node)->frame;
        if (at && (at == frame || shim_frame(at)->function == function))
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
    judge->at_peak += peak_saved(shim.header, node);
}

static void add_folded(struct judge *judge, uint32_t folded) {
    if (!folded)
        return;
    const struct record_folded *entry = (struct record_folded *)shim.tables[RECORD_FOLDED].base + folded;
    judge->allocated += entry->allocated_bytes;
    judge->allocations += entry->allocations;
    judge->freed += entry->freed_bytes;
    judge->frees += entry->frees;
    judge->live += entry->live;
    judge->at_peak += entry->saved_seq == shim.header->peak_seq ? entry->saved : entry->live;
    judge->unseen += entry->unseen_bytes;
}

// What is there of a line (function 0) or a function (frame 0).
struct found {
    struct judge self, total;
};

static struct found find(uint32_t frame, uint32_t function) {
    struct found found = {0};
    for (uint32_t n = 2; n < shim.header->tables[RECORD_NODES].count; n++) {
        const struct record_node *node = shim_node(n);
        if (node->flags & RECORD_NODE_FREE)
            continue;
        uint32_t other = node->flags >> RECORD_NODE_OTHER_SHIFT;
        if ((node->frame && (node->frame == frame || shim_frame(node->frame)->function == function)) ||
            (other && (other == frame || shim_frame(other)->function == function)))
            add_node(&found.self, node);
        if (on_path(n, frame, function))
            add_node(&found.total, node);
    }
    const uint32_t *self = frame ? &shim_frame(frame)->folded_self : &shim_function(function)->folded_self;
    const uint32_t *total = frame ? &shim_frame(frame)->folded_total : &shim_function(function)->folded_total;
    add_folded(&found.self, *self);
    assert_int_equal(found.self.unseen, 0);
    add_folded(&found.total, *total);
    const struct record_account *account =
        frame ? &shim_frame(frame)->account : &shim_function(function)->account;
    found.self.peak = account->self_peak;
    found.total.peak = account->total_peak;
    assert_int_equal(account->self_live, found.self.live);
    assert_int_equal(account->total_live, found.total.live);
    return found;
}

static void compare(const struct judge *got, const struct judge *wanted) {
    assert_int_equal(got->allocated, wanted->allocated);
    assert_int_equal(got->allocations, wanted->allocations);
    // By the lines themselves.
    assert_true(got->freed <= wanted->freed && got->freed + (uint64_t)got->unseen >= wanted->freed);
    assert_true(got->unseen ? got->frees <= wanted->frees : got->frees == wanted->frees);
    assert_true(got->live <= wanted->live && got->live + got->unseen >= wanted->live);
    assert_true(got->peak <= wanted->peak && got->peak + got->unseen >= wanted->peak);
    assert_true(got->at_peak <= wanted->at_peak && got->at_peak + got->unseen >= wanted->at_peak);
}

// Of a line that was forgotten: what is there is true, what is missing is bounded.
static void compare_again(const struct judge *got, const struct judge *wanted) {
    assert_true(got->allocated <= wanted->allocated);
    assert_true(got->freed <= wanted->freed);
    assert_true(got->peak <= wanted->peak);
    assert_true(got->live <= wanted->live);
    assert_true(got->peak + got->unseen + shim.header->forgotten_peak >= wanted->peak);
}

static uint32_t check_lines(void) {
    uint32_t again = 0;
    uint64_t self = shim.header->forgotten_bytes;
    for (uint32_t f = 1; f < shim.header->tables[RECORD_FRAMES].count; f++) {
        const struct record_frame *frame = shim_frame(f);
        if (frame->flags & RECORD_FRAME_FREE)
            continue;
        struct found found = find(f, 0);
        self += found.self.allocated;
        again += (frame->flags & RECORD_FRAME_AGAIN) != 0;
        if (frame->flags & RECORD_FRAME_AGAIN) {
            compare_again(&found.self, &line_self[frame->line]);
            compare_again(&found.total, &line_total[frame->line]);
        } else {
            compare(&found.self, &line_self[frame->line]);
            compare(&found.total, &line_total[frame->line]);
        }
    }
    uint64_t all = 0;
    for (uint32_t i = 1; i < PLACES; i++)
        all += line_self[i].allocated;
    assert_int_equal(self, all); // each byte is a line's or that of the forgotten ones
    return again;
}

static void check_functions(void) {
    for (uint32_t f = 1; f <= FUNCTIONS; f++) {
        struct found found = find(0, f);
        compare(&found.self, &function_self[f]);
        compare(&found.total, &function_total[f]);
    }
}

static void check_totals(int64_t most) {
    int64_t sum = 0, at_peak = 0;
    for (uint32_t n = 1; n < shim.header->tables[RECORD_NODES].count; n++) {
        if (shim_node(n)->flags & RECORD_NODE_FREE)
            continue;
        sum += shim_node(n)->live;
        at_peak += peak_saved(shim.header, shim_node(n));
        assert_false(shim_frame(shim_node(n)->frame)->flags & RECORD_FRAME_FREE);
    }
    assert_int_equal(sum, shim.header->heap_live);
    assert_int_equal(at_peak, shim.header->heap_peak);
    assert_int_equal(shim.header->heap_peak, most);
    assert_int_equal(shim.header->lost[RECORD_LOST_TABLE_FULL], 0);
}

// Freed to the last block, nothing is left anywhere, and no owner is in use but those of the nodes.
static void check_end(const struct peak_books *books) {
    uint32_t blocks_known = 0, blocks_there = 0;
    for (size_t b = 0; b < BLOCKS; b++) {
        blocks_there += blocks[b].size != 0;
        if (blocks[b].size)
            release(books, blocks[b].owner, blocks[b].size, false);
    }
    peak_flush(books);
    for (uint32_t n = 1; n < shim.header->tables[RECORD_NODES].count; n++)
        if (!(shim_node(n)->flags & RECORD_NODE_FREE)) {
            assert_int_equal(shim_node(n)->live, 0);
            blocks_known += owner_blocks(n);
        }
    for (uint32_t f = 1; f < shim.header->tables[RECORD_FRAMES].count; f++)
        if (!(shim_frame(f)->flags & RECORD_FRAME_FREE)) {
            assert_int_equal(shim_frame(f)->account.self_live, 0);
            assert_int_equal(shim_frame(f)->account.total_live, 0);
        }
    for (uint32_t f = 1; f <= FUNCTIONS; f++) {
        assert_int_equal(shim_function(f)->account.self_live, 0);
        assert_int_equal(shim_function(f)->account.total_live, 0);
    }
    assert_int_equal(shim.header->heap_live, 0);
    assert_int_equal(blocks_known, 0);
    assert_true(blocks_there > 0);
}

struct tally {
    uint64_t folds, forgotten;
    int64_t unseen;
    uint32_t again; // lines that came back, at the end of each run
};

static void run(unsigned seed, size_t frames, struct tally *tally) {
    srand(seed);
    shim_double_reset(RECORDS);
    shim.tables[RECORD_NODES].budget = NODES;
    shim.tables[RECORD_FRAMES].budget = frames;
    memset(blocks, 0, sizeof blocks);
    memset(line_self, 0, sizeof line_self);
    memset(line_total, 0, sizeof line_total);
    memset(function_self, 0, sizeof function_self);
    memset(function_total, 0, sizeof function_total);
    assert_true(tree_open());
    if (owners)
        shim.owners_most = owners;
    if (mixed)
        shim.header->flags |= RECORD_FLAG_NATIVE_IN_PYTHON;
    for (uint32_t f = 1; f <= FUNCTIONS; f++)
        shim_function(f)->language = mixed && f % 2 == 0 ? RECORD_NATIVE : RECORD_PYTHON;
    frame_own(1);
    const struct peak_books books = {shim.header, shim_node(0), shim_frame(0), shim_function(0)};
    int64_t most = 0;
    for (int i = 0; i < EVENTS; i++) {
        event(&books);
        most = shim.header->heap_live > most ? shim.header->heap_live : most;
    }
    peak_flush(&books);
    check_totals(most);
    tally->again += check_lines();
    check_functions();
    if (frames / 4 > lines) // there was room for the program's own ones
        assert_int_equal(shim_function(1)->forgotten, 0);
    for (uint32_t f = 1; f < shim.header->tables[RECORD_FOLDED].count; f++)
        tally->unseen += ((struct record_folded *)shim.tables[RECORD_FOLDED].base)[f].unseen_bytes;
    if (!owners)
        assert_int_equal(tally->unseen, 0);
    tally->folds += shim.header->folded_nodes;
    tally->forgotten += shim.header->forgotten_lines;
    check_end(&books);
}

static void sums_stay_exact(void **state) {
    (void)state;
    struct tally tally = {0};
    lines = 3;
    blocks_used = BLOCKS;
    for (unsigned seed = 1; seed <= SEEDS; seed++)
        run(seed, 0, &tally);
    assert_true(tally.folds > SEEDS * 1000); // the tree really was too small
    assert_int_equal(tally.forgotten, 0);
}

static void forgotten_lines_stay_in_their_functions(void **state) {
    (void)state;
    struct tally tally = {0};
    lines = LINES_MOST;
    blocks_used = 30;
    for (unsigned seed = 1; seed <= SEEDS_FORGETTING; seed++)
        run(seed, seed % 2 ? 40 : 60, &tally);
    assert_true(tally.forgotten > SEEDS_FORGETTING * 100);
    assert_true(tally.again > SEEDS_FORGETTING);
}

static void what_is_not_remembered_is_bounded(void **state) {
    (void)state;
    struct tally tally = {0};
    lines = 3;
    blocks_used = BLOCKS;
    owners = 4 * NODES;
    for (unsigned seed = 1; seed <= SEEDS; seed++)
        run(seed, 0, &tally);
    owners = 0;
    assert_true(tally.unseen > 0);
}

static void the_same_in_two_languages(void **state) {
    mixed = true;
    sums_stay_exact(state);
    forgotten_lines_stay_in_their_functions(state);
    what_is_not_remembered_is_bounded(state);
    mixed = false;
}

// Tables with small budgets in much room; so many lines in each function.
static void open_tables(size_t nodes, size_t frames, uint32_t lines_each) {
    shim_double_reset(4096);
    shim.tables[RECORD_NODES].budget = nodes;
    shim.tables[RECORD_FRAMES].budget = frames;
    lines = lines_each;
    assert_true(tree_open());
}

// A crowd of lines that come once, each in a function with others; among them a few that matter, and some of
// functions that are the program's own, or that it chose.
static void lines_that_matter_stay(void **state) {
    (void)state;
    open_tables(200, 100, 1000);
    const struct peak_books books = {shim.header, shim_node(0), shim_frame(0), shim_function(0)};
    uint32_t matter[8] = {0};
    frame_own(9);
    shim_function(10)->chosen = 1;
    for (uint32_t i = 1; i <= 8000; i++) {
        uint32_t line = i % 800 == 400 ? 8000 + i / 4 : i; // a line of function 9 or 10, or one of a crowd
        bool large = line % 1000 == 500 && line == i;
        uint32_t node = node_of((uint32_t[]){line}, 1), owner = owner_take(node);
        int64_t size = large ? 1000003 + i : 33;
        peak_event(&books, node, size, 0);
        shim_node(node)->allocated_bytes += (uint64_t)size;
        shim_node(node)->allocations++;
        if (large)
            matter[i / 1000] = shim_node(node)->frame;
        else
            peak_event(&books, owner_drop(owner), -size, 0);
    }
    peak_flush(&books);
    assert_true(shim.header->forgotten_lines > 7000);
    assert_int_equal(shim.header->forgotten_peak, 33);
    assert_int_equal(shim.header->forgotten_bytes, 33 * shim.header->forgotten_lines);
    assert_int_equal(shim.tables[RECORD_FRAMES].budget, 100);
    for (uint32_t i = 0; i < 8; i++) {
        const struct record_frame *frame = shim_frame(matter[i]);
        assert_int_equal(frame->line, 1000 * i + 500);
        assert_int_equal(frame->flags, 0);
        assert_int_equal(frame->account.total_peak, 1000503 + 1000 * i);
        assert_int_equal(shim_function(frame->function)->account.self_live, 1000503 + 1000 * i);
    }
    assert_int_equal(shim_function(9)->forgotten, 0);
    assert_int_equal(shim_function(10)->forgotten, 0);
}

// Of too many own lines, as many stay as are spared.
static void some_own_lines_stay(void **state) {
    (void)state;
    open_tables(200, 100, 1000);
    frame_own(1);
    for (uint32_t i = 1; i <= 1000; i++) {
        node_of((uint32_t[]){i}, 1);
        for (uint32_t other = 1; other < 4; other++)
            node_of((uint32_t[]){1000 * other + i}, 1);
        assert_true(shim.frames_own >= (i < 25 ? i : 25));
    }
    assert_true(shim_function(1)->forgotten > 900);
}

// Where all of it matters, the tables grow.
static void what_matters_gets_room(void **state) {
    (void)state;
    open_tables(100, 100, 500);
    const struct peak_books books = {shim.header, shim_node(0), shim_frame(0), shim_function(0)};
    for (uint32_t i = 1; i <= 2000; i++) {
        uint32_t node = node_of((uint32_t[]){i}, 1);
        owner_take(node);
        peak_event(&books, node, 1 << 20, 0);
    }
    assert_int_equal(shim.header->forgotten_lines, 0);
    assert_int_equal(shim.header->folded_nodes, 0);
    assert_true(shim.tables[RECORD_FRAMES].budget > 2000 && shim.tables[RECORD_FRAMES].budget < 4000);
}

// At the cap, and without a record for what folded nodes held: what lines lose is counted, and they are
// marked.
static void what_finds_no_record_is_counted(void **state) {
    (void)state;
    shim_double_reset(200);
    lines = 1000;
    assert_true(tree_open());
    shim.header->tables[RECORD_FOLDED].count = 200;
    const struct peak_books books = {shim.header, shim_node(0), shim_frame(0), shim_function(0)};
    uint64_t allocated = 0, left = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        const uint32_t stack[] = {1 + i % 30, 101 + i / 30 % 30};
        uint32_t node = node_of(stack, 2), owner = owner_take(node);
        const int64_t size = 1001 + i;
        peak_event(&books, node, size, 0);
        shim_node(node)->allocated_bytes += (uint64_t)size;
        shim_node(node)->allocations++;
        peak_event(&books, owner_drop(owner), -size, 0);
        allocated += (uint64_t)size;
    }
    peak_flush(&books);
    uint32_t marked = 0;
    for (uint32_t n = 1; n < shim.header->tables[RECORD_NODES].count; n++)
        if (shim_node(n)->frame && !(shim_node(n)->flags & RECORD_NODE_FREE))
            left += shim_node(n)->allocated_bytes;
    for (uint32_t n = 1; n < shim.header->tables[RECORD_FRAMES].count; n++)
        marked += (shim_frame(n)->flags & RECORD_FRAME_AGAIN) != 0;
    assert_true(shim.header->folded_nodes > 1000);
    assert_int_equal(left + shim.header->forgotten_bytes, allocated);
    assert_true(marked >= 30 && shim_function(1)->forgotten > 0);
    assert_true(shim.header->forgotten_peak >= 1001 + 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_stay_exact),
        cmocka_unit_test(forgotten_lines_stay_in_their_functions),
        cmocka_unit_test(what_is_not_remembered_is_bounded),
        cmocka_unit_test(the_same_in_two_languages),
        cmocka_unit_test(lines_that_matter_stay),
        cmocka_unit_test(some_own_lines_stay),
        cmocka_unit_test(what_matters_gets_room),
        cmocka_unit_test(what_finds_no_record_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
