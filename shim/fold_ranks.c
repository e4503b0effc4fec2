// SPDX-License-Identifier: MIT
//
// See fold_ranks.h.

#include "shim/fold_ranks.h"
#include "shim/arena.h"
#include "shim/shim.h"
#include "shim/tree.h"

#define FOLD_KEPT (1u << 20) // bytes of memory, from one folding to the next

// What the order of rounds needs of a node, gathered once: records are eight times as large, and all of them
// do not fit into the processor's cache.
struct fold_item {
    uint32_t parent;
    uint32_t frame; // 0: it cannot be folded
    uint32_t depth;
    uint8_t alive;      // it, or one beneath, has live bytes
    uint8_t rank;       // the round in which it may go; first of all, in which those beneath may
    uint8_t rank_dead;  // the round in which it qualifies by itself, without live blocks
    uint8_t rank_alive; // and with
};

struct fold_plan fold_plan(int64_t first, int64_t most, bool lossy) {
    struct fold_plan plan = {.lossy = lossy};
    // The young go last, with limits up to `most`.
    for (int64_t limit = first; limit <= most * FOLD_YOUTH && plan.rounds < FOLD_ROUNDS; limit *= 4) {
        const int64_t old = limit < most ? limit : most, young = limit / FOLD_YOUTH;
        plan.limits[plan.rounds++] = old;
        plan.limits[plan.rounds++] = old / 4;
        plan.limits[plan.rounds++] = young;
        plan.limits[plan.rounds++] = young / 4;
    }
    return plan;
}

static size_t fold_ranks_bytes(const struct fold_ranks *ranks) {
    return ranks->count * (sizeof *ranks->items + 3 * sizeof(uint32_t)) +
           shim.header->tables[RECORD_FRAMES].count * sizeof(uint32_t);
}

static void fold_ranks_give_back(void) {
    arena_free(shim.fold_memory, shim.fold_memory_bytes);
    shim.fold_memory = NULL;
    shim.fold_memory_bytes = 0;
}

// The last folding's memory, or more of it. NULL: there is none.
static void *fold_ranks_memory(size_t bytes) {
    if (shim.fold_memory_bytes >= bytes)
        return shim.fold_memory;
    fold_ranks_give_back();
    shim.fold_memory = arena_alloc(bytes + bytes / 4);
    if (shim.fold_memory)
        shim.fold_memory_bytes = bytes + bytes / 4;
    return shim.fold_memory;
}

bool fold_ranks_open(struct fold_ranks *ranks) {
    ranks->count = (uint32_t)shim.header->tables[RECORD_NODES].count;
    ranks->items = fold_ranks_memory(fold_ranks_bytes(ranks));
    if (!ranks->items)
        return false;
    ranks->order = (uint32_t *)(ranks->items + ranks->count);
    ranks->nodes = ranks->order + ranks->count;
    ranks->children = ranks->nodes + ranks->count;
    ranks->of_frame = ranks->children + ranks->count;
    return true;
}

void fold_ranks_close(void) {
    if (shim.fold_memory_bytes > FOLD_KEPT)
        fold_ranks_give_back();
}

// The first round of a kind in which a node with that peak may go.
static inline unsigned fold_first_of_kind(const struct fold_plan *plan, unsigned kind, int64_t peak) {
    unsigned round = kind;
    while (round < plan->rounds && plan->limits[round] < peak)
        round += FOLD_KINDS;
    return round < plan->rounds ? round : plan->rounds;
}

static inline unsigned fold_earlier(unsigned one, unsigned other) {
    return one < other ? one : other;
}

// What is asked of all nodes, and how many nodes each frame and each node has. Returns the greatest depth.
static uint32_t fold_ranks_gather(struct fold_ranks *ranks, const struct fold_plan *plan) {
    uint32_t deepest = 0;
    for (uint32_t i = TREE_ROOT; i < ranks->count; i++) {
        const struct record_node *node = shim_node(i);
        struct fold_item *item = &ranks->items[i];
        *item = (struct fold_item){.parent = node->parent};
        if (node->flags & RECORD_NODE_FREE)
            continue;
        item->alive = node->live != 0;
        item->depth = node->depth;
        if (node->depth > deepest)
            deepest = node->depth;
        item->frame = node->frame;
        if (!node->frame)
            continue; // the root, or one that stands for folded ones
        ranks->children[node->parent]++;
        ranks->of_frame[node->frame]++;
        unsigned alive = fold_first_of_kind(plan, 3, node->peak), dead = alive;
        dead = fold_earlier(dead, fold_first_of_kind(plan, 2, node->peak));
        if (shim.nodes_born[i] != shim.tree_epoch) {
            alive = fold_earlier(alive, fold_first_of_kind(plan, 1, node->peak));
            dead = fold_earlier(fold_earlier(dead, alive), fold_first_of_kind(plan, 0, node->peak));
        }
        item->rank_alive = (uint8_t)alive;
        item->rank_dead = (uint8_t)dead;
    }
    return deepest;
}

// Counting sort; `starts` has an entry for each depth and one more.
static void fold_ranks_order(struct fold_ranks *ranks, uint32_t deepest, uint32_t *starts) {
    for (uint32_t i = TREE_ROOT; i < ranks->count; i++)
        starts[deepest - ranks->items[i].depth + 1]++;
    for (uint32_t d = 1; d <= deepest; d++)
        starts[d] += starts[d - 1];
    for (uint32_t i = TREE_ROOT; i < ranks->count; i++)
        ranks->order[starts[deepest - ranks->items[i].depth]++] = i;
}

// In which round each node may go: not before those beneath it.
static void fold_ranks_sort(struct fold_ranks *ranks, const struct fold_plan *plan) {
    uint32_t *from = ranks->from;
    __builtin_memset(from, 0, (plan->rounds + 2) * sizeof *from);
    for (uint32_t i = 0; i + 1 < ranks->count; i++) {
        struct fold_item *item = &ranks->items[ranks->order[i]], *parent = &ranks->items[item->parent];
        parent->alive |= item->alive;
        if (!item->frame)
            continue;
        const uint8_t own = item->alive ? item->rank_alive : item->rank_dead;
        if (own > item->rank)
            item->rank = own;
        if (item->rank > parent->rank)
            parent->rank = item->rank;
        from[item->rank + 1]++;
    }
    for (unsigned round = 1; round <= plan->rounds; round++)
        from[round + 1] += from[round];
    for (uint32_t i = 0; i + 1 < ranks->count; i++) {
        const struct fold_item *item = &ranks->items[ranks->order[i]];
        if (item->frame)
            ranks->nodes[from[item->rank]++] = ranks->order[i];
    }
    for (unsigned round = plan->rounds + 1; round; round--)
        from[round] = from[round - 1];
    from[0] = 0;
}

bool fold_ranks_fill(struct fold_ranks *ranks, const struct fold_plan *plan) {
    const size_t frames = shim.header->tables[RECORD_FRAMES].count;
    __builtin_memset(ranks->children, 0, ranks->count * sizeof *ranks->children);
    __builtin_memset(ranks->of_frame, 0, frames * sizeof *ranks->of_frame);
    const uint32_t deepest = fold_ranks_gather(ranks, plan);
    const size_t bytes = ((size_t)deepest + 2) * sizeof(uint32_t);
    uint32_t *starts = arena_alloc(bytes);
    if (!starts)
        return false;
    fold_ranks_order(ranks, deepest, starts);
    arena_free(starts, bytes);
    fold_ranks_sort(ranks, plan);
    return true;
}
