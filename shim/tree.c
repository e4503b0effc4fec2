// SPDX-License-Identifier: MIT
//
// What is asked of a node again and again lies beside the recording, in one cache line (struct tree_link).

#include "shim/tree.h"
#include "shim/arena.h"
#include "shim/budget.h"
#include "shim/clock.h"
#include "shim/fold.h"
#include "shim/frame.h"
#include "shim/hash.h"
#include "shim/owner.h"
#include "shim/recording.h"
#include "shim/shim.h"

#define TREE_PREPARED 1024
#define TREE_PAUSE_NS 1000000000ull // between attempts to fold that do not help: twice as long each time,
#define TREE_PAUSES 4               // so often
#define TREE_TABLE 4096             // places at first

// Whether the number may be in the set.
static inline bool tree_set_has(const struct tree_set *set, uint32_t number) {
    const uint64_t bit = hash_mix(number) >> 57;
    return set->words[bit >> 6] >> (bit & 63) & 1;
}

static inline struct tree_set tree_set_with(struct tree_set set, uint32_t number) {
    const uint64_t bit = hash_mix(number) >> 57;
    set.words[bit >> 6] |= 1ull << (bit & 63);
    return set;
}

_Static_assert(OWNER_MOST <= NUMBERS_MOST, "there are no more nodes than owners");

struct tree_key {
    uint32_t parent, frame;
};

static inline uint64_t tree_hash(struct tree_key key) {
    return hash_mix((uint64_t)key.parent << 32 | key.frame);
}

static inline bool tree_is(uint32_t node, const void *key) {
    const struct tree_link *link = &shim.links[node];
    const struct tree_key *wanted = key;
    return link->frame == wanted->frame && link->parent == wanted->parent;
}

// 0: there is none.
static inline uint32_t tree_find(uint32_t parent, uint32_t frame) {
    if (parent == shim.nodes_newest) // it has no children yet
        return 0;
    const struct tree_key key = {parent, frame};
    return numbers_find(&shim.tree, tree_hash(key), tree_is, &key);
}

static void tree_enter(struct numbers *table, uint32_t node) {
    const struct tree_link *link = &shim.links[node];
    numbers_add(table, tree_hash((struct tree_key){link->parent, link->frame}), node);
}

bool tree_open(void) {
    const size_t nodes = shim.tables[RECORD_NODES].reserved / sizeof(struct record_node);
    shim.links = arena_reserve(nodes * sizeof *shim.links);
    const struct record_node root = {.depth = 0};
    shim.nodes_born = arena_reserve(nodes * sizeof *shim.nodes_born);
    return shim.links && numbers_open(&shim.tree, TREE_TABLE) && shim.nodes_born && frame_open() &&
           owner_open() && recording_append(RECORD_NODES, &root) == TREE_ROOT && owner_add(TREE_ROOT);
}

// All nodes that can be found.
static void tree_fill(struct numbers *table) {
    const uint32_t count = (uint32_t)shim.header->tables[RECORD_NODES].count;
    for (uint32_t node = TREE_ROOT + 1; node < count; node++)
        if (shim.links[node].frame)
            tree_enter(table, node);
}

// Free records in the order of their numbers: nodes that are made together then lie together.
static void tree_order_free(void) {
    uint32_t next = 0;
    for (uint32_t node = (uint32_t)shim.header->tables[RECORD_NODES].count - 1; node > TREE_ROOT; node--) {
        if (shim.links[node].frame || !(shim_node(node)->flags & RECORD_NODE_FREE))
            continue;
        shim_node(node)->parent = next;
        next = node;
    }
    shim.nodes_free = next;
}

void tree_refill(void) {
    tree_order_free();
    numbers_refill(&shim.tree, tree_fill);
}

// Room for so many more records, within the budget.
static inline bool tree_has_room(enum record_table table, uint32_t free, uint32_t records) {
    if (shim_likely(free >= records))
        return true;
    records -= free;
    return budget_spare(table) >= records && recording_reserve(table, records);
}

__attribute__((noinline, cold)) static bool tree_make_room(enum record_table table, uint32_t free,
                                                           uint32_t records) {
    while (!tree_has_room(table, free, records))
        if (!budget_raise(table))
            return false;
    return true;
}

static inline bool tree_is_prepared(uint32_t frames) {
    return tree_has_room(RECORD_NODES, shim.nodes_free_count, frames) &&
           tree_has_room(RECORD_FRAMES, shim.frames_free_count, frames);
}

void tree_prepare(uint32_t frames) {
    // Of a stack that is deeper than that most frames are recursion, which takes no room.
    if (frames > TREE_PREPARED)
        frames = TREE_PREPARED;
    if (shim_likely(tree_is_prepared(frames)))
        return;
    if (shim.tree_full && clock_coarse() < shim.tree_again)
        return;
    fold_tree();
    // Without memory for it, or while a thread cannot be stopped, a fold does nothing; to try again with
    // every new context would stop the host.
    shim.tree_again = clock_coarse() + (TREE_PAUSE_NS << shim.tree_failures);
    shim.tree_full = !tree_make_room(RECORD_NODES, shim.nodes_free_count, frames) ||
                     !tree_make_room(RECORD_FRAMES, shim.frames_free_count, frames);
    if (!shim.tree_full)
        shim.tree_failures = 0;
    else if (shim.tree_failures < TREE_PAUSES)
        shim.tree_failures++;
}

void tree_forget(uint32_t number) {
    shim.links[number].frame = 0;
    shim.links[number].function = 0;
}

void tree_release(uint32_t number) {
    const struct record_node gone = {.parent = shim.nodes_free, .flags = RECORD_NODE_FREE};
    __atomic_store_n(&shim_node(number)->flags, gone.flags, __ATOMIC_RELAXED);
    recording_put(RECORD_NODES, number, &gone);
    shim.nodes_free = number;
    shim.nodes_free_count++;
}

// What a node that is made next will be written to: it has not been touched since the last folding.
static inline __attribute__((always_inline)) void tree_fetch(uint32_t number) {
    __builtin_prefetch(shim_node(number), 1);
    __builtin_prefetch(&shim_node(number)->allocated_bytes, 1);
    __builtin_prefetch(&shim.links[number], 1);
    __builtin_prefetch(&shim.nodes_born[number], 1);
}

// A record for a new node; 0 = there is no room.
static uint32_t tree_record(const struct record_node *node) {
    uint32_t number = shim.nodes_free;
    if (!number)
        return recording_append(RECORD_NODES, node);
    struct record_node *place = shim_node(number);
    shim.nodes_free = place->parent;
    shim.nodes_free_count--;
    tree_fetch(shim.nodes_free);
    // Released ones are zero but for this (tree_release).
    place->parent = node->parent;
    place->frame = node->frame;
    place->depth = node->depth;
    place->saved_seq = node->saved_seq;
    __atomic_store_n(&place->flags, node->flags, __ATOMIC_RELEASE);
    return number;
}

static bool tree_on_path(uint32_t node, uint32_t frame) {
    if (!tree_set_has(&shim.links[node].frames, frame))
        return false;
    for (; node != TREE_ROOT; node = shim.links[node].parent)
        if (shim.links[node].frame == frame)
            return true;
    return false;
}

static bool tree_function_on_path(uint32_t node, uint32_t function) {
    if (!tree_set_has(&shim.links[node].functions, function))
        return false;
    for (; node != TREE_ROOT; node = shim.links[node].parent)
        if (shim.links[node].function == function)
            return true;
    return false;
}

bool tree_holds_frame(uint32_t node, uint32_t frame) {
    return tree_on_path(node, frame);
}

bool tree_holds_function(uint32_t node, uint32_t function) {
    return tree_function_on_path(node, function);
}

uint32_t tree_common(uint32_t one, uint32_t other) {
    while (one != other) {
        if (shim_node(one)->depth >= shim_node(other)->depth)
            one = shim_node(one)->parent;
        else
            other = shim_node(other)->parent;
    }
    return one;
}

static uint16_t tree_language(uint32_t frame) {
    return shim_function(shim_frame(frame)->function)->language;
}

// The last frame on the parent's path that is native where `frame` is Python's, or the other way round, where
// a node's flags have it. 0: there is none.
static uint32_t tree_other(uint32_t parent, uint32_t frame) {
    uint16_t language = tree_language(frame);
    for (; parent != TREE_ROOT; parent = shim_node(parent)->parent) {
        const struct record_node *node = shim_node(parent);
        if (tree_language(node->frame) == language)
            return node->flags >> RECORD_NODE_OTHER_SHIFT << RECORD_NODE_OTHER_SHIFT;
        if (RECORD_RUNS(tree_language(node->frame)) && node->frame <= UINT32_MAX >> RECORD_NODE_OTHER_SHIFT)
            return node->frame << RECORD_NODE_OTHER_SHIFT;
    }
    return 0;
}

// A new node. 0: it does not fit.
__attribute__((noinline)) static uint32_t tree_add(uint32_t parent, uint32_t frame) {
    const struct tree_link *above = &shim.links[parent];
    const uint32_t function = shim_frame(frame)->function;
    struct record_node node = {.parent = parent, .frame = frame, .depth = above->depth + 1};
    // A node that is new has had nothing live at any peak so far, which is what saved = 0 at the present one
    // says.
    node.saved_seq = shim.header->peak_seq;
    if (shim.header->flags & RECORD_FLAG_NATIVE_IN_PYTHON)
        node.flags = tree_other(parent, frame);
    if (!tree_on_path(parent, frame))
        node.flags |= RECORD_NODE_OUTERMOST_FRAME;
    if (!tree_function_on_path(parent, function))
        node.flags |= RECORD_NODE_OUTERMOST_FUNCTION;
    uint32_t number = numbers_grow(&shim.tree, tree_fill) ? tree_record(&node) : 0;
    if (!number || number > NUMBERS_MOST || !owner_add(number)) {
        if (number)
            tree_release(number);
        shim_lose(RECORD_LOST_TABLE_FULL);
        return 0;
    }
    shim.links[number] = (struct tree_link){
        .parent = parent,
        .frame = frame,
        .function = function,
        .owner = shim.links[number].owner,
        .depth = node.depth,
        .outermost = node.flags & RECORD_NODE_OUTERMOST_FRAME,
        .frames = tree_set_with(above->frames, frame),
        .functions = tree_set_with(above->functions, function),
    };
    shim.nodes_born[number] = shim.tree_epoch;
    shim.nodes_newest = number;
    tree_enter(&shim.tree, number);
    return number;
}

uint32_t tree_path(uint32_t parent, uint32_t frame) {
    if (!frame)
        return parent;
    uint32_t node = tree_find(parent, frame);
    if (node) // that of an innermost frame which recurs is none of a path
        return shim.links[node].outermost ? node : parent;
    if (tree_on_path(parent, frame))
        return parent;
    node = tree_add(parent, frame);
    return node ? node : parent;
}

uint32_t tree_leaf(uint32_t parent, uint32_t frame) {
    if (!frame)
        return parent;
    uint32_t node = tree_find(parent, frame);
    if (!node)
        node = tree_add(parent, frame);
    return node ? node : parent;
}

uint32_t tree_path_of_leaf(uint32_t parent, uint32_t leaf) {
    return leaf != parent && shim.links[leaf].outermost ? leaf : parent;
}
