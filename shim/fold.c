// SPDX-License-Identifier: MIT
//
// One pass goes through the nodes from the deepest to the root and folds each leaf that qualifies, so whole
// subtrees collapse upward. Passes follow each other with a rising limit until enough nodes are free. The
// cost, some 100 ns a node, is paid once per half a table of new contexts.

#include "shim/fold.h"
#include "shim/arena.h"
#include "shim/journal.h"
#include "shim/owner.h"
#include "shim/peak.h"
#include "shim/recording.h"
#include "shim/shim.h"
#include "shim/tree.h"

#define FOLD_FIRST_LIMIT 1024 // bytes: contexts whose peak was no higher go first

static void fold_add(struct record_sums *sums, const struct record_node *node, int64_t at_peak) {
    sums->allocated_bytes += node->allocated_bytes;
    sums->allocations += node->allocations;
    sums->temporary += node->temporary;
    sums->freed_bytes += node->freed_bytes;
    sums->frees += node->frees;
    sums->at_peak += at_peak;
}

// The entry behind *place, made when there is none; brought to the present peak. NULL: no room.
static struct record_folded *fold_entry(uint32_t *place) {
    struct record_folded *entries = (struct record_folded *)shim.tables[RECORD_FOLDED].base;
    if (!*place) {
        const struct record_folded none = {.at_peak_seq = shim.header->peak_seq};
        *place = recording_append(RECORD_FOLDED, &none);
        if (!*place)
            return NULL;
    }
    struct record_folded *entry = &entries[*place];
    if (entry->at_peak_seq != shim.header->peak_seq) {
        entry->self.at_peak = 0;
        entry->total.at_peak = 0;
        entry->at_peak_seq = shim.header->peak_seq;
    }
    return entry;
}

// What the line or function would lose. `beneath` is the node's own folded child, or NULL.
static void fold_account(struct record_folded *entry, struct record_account *account,
                         const struct record_node *node, const struct record_node *beneath, bool outermost) {
    const struct record_header *header = shim.header;
    fold_add(&entry->self, node, peak_saved(header, node));
    account->self_live -= node->live;
    int64_t unseen = node->live;
    if (outermost) {
        fold_add(&entry->total, node, peak_saved(header, node));
        account->total_live -= node->live;
        if (node->heap_high > entry->heap_high)
            entry->heap_high = node->heap_high;
        if (beneath) {
            fold_add(&entry->total, beneath, peak_saved(header, beneath));
            account->total_live -= beneath->live;
            unseen += beneath->live;
            if (beneath->heap_high > entry->heap_high)
                entry->heap_high = beneath->heap_high;
        }
    }
    entry->unseen_bytes += unseen;
    entry->nodes++;
}

// `from`'s numbers go to its folded sibling.
static void fold_merge(struct record_node *into, const struct record_node *from) {
    const struct record_header *header = shim.header;
    into->saved = peak_saved(header, into) + peak_saved(header, from);
    into->saved_seq = header->peak_seq;
    into->live += from->live;
    if (into->live > into->peak)
        into->peak = into->live;
    into->allocated_bytes += from->allocated_bytes;
    into->allocations += from->allocations;
    into->temporary += from->temporary;
    into->freed_bytes += from->freed_bytes;
    into->frees += from->frees;
    if (from->heap_high > into->heap_high)
        into->heap_high = from->heap_high;
    into->mapped_live += from->mapped_live;
    if (into->mapped_live > into->mapped_peak)
        into->mapped_peak = into->mapped_live;
}

static void fold_release(uint32_t number, uint32_t into) {
    fold_merge(shim_node(into), shim_node(number));
    owner_forward(number, into);
    tree_release(number);
}

// What the node's line and function would lose. False: there is no room to keep it, and `lossy` does not
// allow to let it go.
static bool fold_account_both(uint32_t number, bool lossy) {
    struct record_node *node = shim_node(number);
    struct record_frame *frame = shim_frame(node->frame);
    struct record_function *function = shim_function(frame->function);
    const struct record_node *below = shim.folded_child[number] ? shim_node(shim.folded_child[number]) : NULL;
    struct record_folded *of_frame = fold_entry(&frame->folded), *of_function = fold_entry(&function->folded);
    if (!(of_frame && of_function) && !lossy)
        return false;
    struct record_folded nowhere;
    if (!(of_frame && of_function))
        shim_lose(RECORD_LOST_TABLE_FULL);
    fold_account(of_frame ? of_frame : &nowhere, &frame->account, node, below,
                 node->flags & RECORD_NODE_OUTERMOST_FRAME);
    fold_account(of_function ? of_function : &nowhere, &function->account, node, below,
                 node->flags & RECORD_NODE_OUTERMOST_FUNCTION);
    return true;
}

// False: the node stays.
static bool fold_node(uint32_t number, bool lossy) {
    struct record_node *node = shim_node(number);
    uint32_t beneath = shim.folded_child[number];
    if (!fold_account_both(number, lossy))
        return false;
    tree_forget(number);
    uint32_t sibling = shim.folded_child[node->parent];
    if (beneath)
        fold_release(beneath, sibling ? sibling : number);
    shim.folded_child[number] = 0;
    if (sibling) {
        fold_release(number, sibling);
    } else {
        // The first of its parent becomes the one that stands for all.
        node->frame = 0;
        node->flags = RECORD_NODE_FOLDED;
        shim.folded_child[node->parent] = number;
    }
    shim.header->folded_nodes++;
    return true;
}

// Numbers of the nodes, the deepest first: counting sort. NULL: no memory.
static uint32_t *fold_order(uint32_t count, size_t *bytes) {
    uint32_t deepest = 0;
    for (uint32_t i = TREE_ROOT; i < count; i++)
        if (shim_node(i)->depth > deepest)
            deepest = shim_node(i)->depth;
    *bytes = ((size_t)count + deepest + 2) * sizeof(uint32_t);
    uint32_t *order = arena_alloc(*bytes);
    if (!order)
        return NULL;
    uint32_t *start = order + count;
    for (uint32_t i = 1; i < count; i++)
        start[deepest - shim_node(i)->depth + 1]++;
    for (uint32_t d = 1; d <= deepest; d++)
        start[d] += start[d - 1];
    for (uint32_t i = 1; i < count; i++)
        order[start[deepest - shim_node(i)->depth]++] = i;
    return order;
}

struct fold {
    uint32_t count;     // of nodes, entry 0 included
    uint32_t enough;    // free nodes to stop at
    uint32_t *order;    // the deepest first
    uint32_t *children; // by node, the folded one not counted
    uint32_t *nodes;    // by frame, how many it has
};

// What a round may fold, from the least harm to the most.
struct fold_round {
    bool shared_only; // only frames with several nodes: the others take as much room folded as they do now
    bool dead_only;   // only nodes without a live block
    bool lossy;       // even where the numbers of a line find no room any more
    int64_t most;     // highest peak, bytes
};

static bool fold_qualifies(const struct fold *fold, const struct fold_round *round, uint32_t number,
                           int64_t limit) {
    const struct record_node *node = shim_node(number);
    if (number == TREE_ROOT || !node->frame || fold->children[number] || node->peak > limit)
        return false;
    uint32_t beneath = shim.folded_child[number];
    if (round->dead_only && (owner_blocks(number) || (beneath && owner_blocks(beneath))))
        return false;
    return !round->shared_only || shim_frame(node->frame)->folded || fold->nodes[node->frame] > 2;
}

static void fold_pass(const struct fold *fold, const struct fold_round *round, int64_t limit) {
    for (uint32_t i = 0; i + 1 < fold->count && shim.nodes_free_count < fold->enough; i++) {
        uint32_t number = fold->order[i];
        if (!fold_qualifies(fold, round, number, limit))
            continue;
        uint32_t parent = shim_node(number)->parent;
        if (fold_node(number, round->lossy))
            fold->children[parent]--;
    }
}

void fold_tree(void) {
    static const struct fold_round rounds[] = {
        {.shared_only = true, .dead_only = true, .most = 1 << 20},
        {.dead_only = true, .most = 1 << 20},
        {.most = 1 << 16},
        {.dead_only = true, .lossy = true, .most = 1 << 20},
        {.lossy = true, .most = INT64_MAX / 4},
    };
    // No thread may note an event for a node that goes.
    if (!journal_stop_all(&thread_self))
        return;
    const struct peak_books books = {shim.header, shim_node(0), shim_frame(0), shim_function(0)};
    struct fold fold = {.count = (uint32_t)shim.header->tables[RECORD_NODES].count};
    size_t order_bytes, children_bytes = fold.count * sizeof(uint32_t);
    size_t nodes_bytes = shim.header->tables[RECORD_FRAMES].count * sizeof(uint32_t);
    fold.order = fold_order(fold.count, &order_bytes);
    fold.children = arena_alloc(children_bytes);
    fold.nodes = arena_alloc(nodes_bytes);
    if (fold.order && fold.children && fold.nodes) {
        peak_flush(&books);
        for (uint32_t i = TREE_ROOT + 1; i < fold.count; i++) {
            if (!shim_node(i)->frame)
                continue;
            fold.children[shim_node(i)->parent]++;
            fold.nodes[shim_node(i)->frame]++;
        }
        fold.enough = shim.nodes_free_count + fold.count / 2;
        for (size_t r = 0; r < sizeof rounds / sizeof *rounds; r++)
            for (int64_t limit = FOLD_FIRST_LIMIT; limit <= rounds[r].most; limit *= 4)
                fold_pass(&fold, &rounds[r], limit);
        shim.tree_epoch++;
    }
    journal_release_all(&thread_self);
    arena_free(fold.order, order_bytes);
    arena_free(fold.children, children_bytes);
    arena_free(fold.nodes, nodes_bytes);
}
