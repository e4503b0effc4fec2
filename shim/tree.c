// SPDX-License-Identifier: MIT
//
// The hash is uthash on the shim's own arena; in front of it a small direct-mapped cache takes nearly all
// lookups.

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
#define TREE_PAUSE_NS 1000000000 // between attempts to fold that do not help
#define TREE_CACHE 4096          // entries; a power of two

struct tree_entry {
    uint64_t key; // parent << 32 | frame
    uint32_t node;
    UT_hash_handle hh;
};

struct tree_cached {
    uint64_t key;
    uint32_t node;
};

static inline uint64_t tree_bit(uint32_t frame) {
    return 1ull << (hash_mix(frame) >> 58);
}

bool tree_open(void) {
    shim.blooms =
        arena_reserve(shim.tables[RECORD_NODES].reserved / sizeof(struct record_node) * sizeof(uint64_t));
    shim.tree_cache = arena_alloc(TREE_CACHE * sizeof *shim.tree_cache);
    shim.folded_child =
        arena_reserve(shim.tables[RECORD_NODES].reserved / sizeof(struct record_node) * sizeof(uint32_t));
    shim.nodes_born =
        arena_reserve(shim.tables[RECORD_NODES].reserved / sizeof(struct record_node) * sizeof(uint32_t));
    const struct record_node root = {.depth = 0};
    return shim.blooms && shim.tree_cache && shim.folded_child && shim.nodes_born && frame_open() &&
           owner_open() && recording_append(RECORD_NODES, &root) == TREE_ROOT && owner_add(TREE_ROOT);
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
    shim.tree_again = clock_coarse() + TREE_PAUSE_NS;
    shim.tree_full = !tree_make_room(RECORD_NODES, shim.nodes_free_count, frames) ||
                     !tree_make_room(RECORD_FRAMES, shim.frames_free_count, frames);
    __builtin_memset(shim.tree_cache, 0, TREE_CACHE * sizeof *shim.tree_cache);
}

void tree_forget(uint32_t number) {
    const struct record_node *node = shim_node(number);
    uint64_t key = (uint64_t)node->parent << 32 | node->frame;
    struct tree_entry *entry;
    HASH_FIND(hh, shim.tree, &key, sizeof key, entry);
    if (entry)
        HASH_DEL(shim.tree, entry);
    arena_free(entry, sizeof *entry);
}

void tree_release(uint32_t number) {
    *shim_node(number) = (struct record_node){.parent = shim.nodes_free, .flags = RECORD_NODE_FREE};
    shim.nodes_free = number;
    shim.nodes_free_count++;
}

// A record for a new node; 0 = there is no room.
static uint32_t tree_record(const struct record_node *node) {
    uint32_t number = shim.nodes_free;
    if (!number)
        return recording_append(RECORD_NODES, node);
    shim.nodes_free = shim_node(number)->parent;
    shim.nodes_free_count--;
    *shim_node(number) = *node;
    return number;
}

static bool tree_on_path(uint32_t node, uint32_t frame) {
    if (!(shim.blooms[node] & tree_bit(frame)))
        return false;
    for (; node != TREE_ROOT; node = shim_node(node)->parent)
        if (shim_node(node)->frame == frame)
            return true;
    return false;
}

static bool tree_function_on_path(uint32_t node, uint32_t function) {
    for (; node != TREE_ROOT; node = shim_node(node)->parent)
        if (shim_frame(shim_node(node)->frame)->function == function)
            return true;
    return false;
}

__attribute__((noinline, cold)) static uint32_t tree_add(uint32_t parent, uint32_t frame, uint64_t key) {
    struct tree_entry *entry = arena_alloc(sizeof *entry);
    if (!entry) {
        shim_lose(RECORD_LOST_TABLE_FULL);
        return 0;
    }
    struct record_node node = {.parent = parent, .frame = frame, .depth = shim_node(parent)->depth + 1};
    // A node that is new has had nothing live at any peak so far, which is what saved = 0 at the present one
    // says.
    node.saved_seq = shim.header->peak_seq;
    if (!tree_on_path(parent, frame))
        node.flags |= RECORD_NODE_OUTERMOST_FRAME;
    if (!tree_function_on_path(parent, shim_frame(frame)->function))
        node.flags |= RECORD_NODE_OUTERMOST_FUNCTION;
    uint32_t number = tree_record(&node);
    bool added = number && owner_add(number);
    if (added) {
        entry->key = key;
        entry->node = number;
        HASH_ADD(hh, shim.tree, key, sizeof entry->key, entry);
        added = entry->hh.tbl != NULL; // else uthash had no memory; the node stays, unused
    } else if (number) {
        tree_release(number);
    }
    if (!added) {
        shim_lose(RECORD_LOST_TABLE_FULL);
        arena_free(entry, sizeof *entry);
        return 0;
    }
    shim.folded_child[number] = 0;
    shim.nodes_born[number] = shim.tree_epoch;
    shim.blooms[number] = shim.blooms[parent] | tree_bit(frame);
    return number;
}

// 0 when it does not exist and does not fit.
static uint32_t tree_child(uint32_t parent, uint32_t frame) {
    uint64_t key = (uint64_t)parent << 32 | frame;
    struct tree_cached *cached = &shim.tree_cache[hash_mix(key) >> 52 & (TREE_CACHE - 1)];
    if (shim_likely(cached->key == key))
        return cached->node;
    struct tree_entry *entry;
    HASH_FIND(hh, shim.tree, &key, sizeof key, entry);
    uint32_t node = entry ? entry->node : tree_add(parent, frame, key);
    if (node) {
        cached->key = key;
        cached->node = node;
    }
    return node;
}

uint32_t tree_path(uint32_t parent, uint32_t frame) {
    if (!frame || tree_on_path(parent, frame))
        return parent;
    uint32_t node = tree_child(parent, frame);
    return node ? node : parent;
}

uint32_t tree_leaf(uint32_t parent, uint32_t frame) {
    if (!frame)
        return parent;
    uint32_t node = tree_child(parent, frame);
    return node ? node : parent;
}
