// SPDX-License-Identifier: MIT
//
// One pass goes through the nodes from the deepest to the root and folds each leaf that qualifies, so whole
// subtrees collapse upward; lines that have lost their last node are forgotten on the way, where lines are to
// become fewer. Passes follow each other with a rising limit until half of the records are free (a third,
// when the limit has become high), so what a pass costs, some 100 ns a node, is paid once per so much of a
// table of new contexts. When less than a quarter can be had, because the rest matters, the tables' budget is
// raised instead of trying again and again; at the cap, what matters goes too.

#include "shim/fold.h"
#include "shim/arena.h"
#include "shim/budget.h"
#include "shim/folded.h"
#include "shim/frame.h"
#include "shim/journal.h"
#include "shim/owner.h"
#include "shim/peak.h"
#include "shim/place.h"
#include "shim/recording.h"
#include "shim/shim.h"
#include "shim/tree.h"

#define FOLD_FIRST 1024 // bytes: contexts whose peak was no higher go first
#define FOLD_SMALL (4 << 10)
#define FOLD_LEAST (256 << 10) // and, as long as there is a choice, none with a higher peak than this,
#define FOLD_MATTERS 1024      // or than that part of the process's peak
#define FOLD_YOUTH 16          // by so much the limit is lower for what is new
#define FOLD_TURNOVER 16       // a line that allocated or freed so many times the limit is none to forget

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
    uint32_t count;                       // of nodes, entry 0 included
    uint32_t *order;                      // the deepest first
    uint32_t *children;                   // by node, the folded one not counted
    uint32_t *nodes;                      // by frame, how many it has
    bool lines;                           // lines are to become fewer
    uint32_t nodes_enough, frames_enough; // free records to stop at
};

// What may go.
struct fold_round {
    bool old_only;      // only nodes that have seen a folding, lines that have seen some being forgotten
    bool dead_only;     // only nodes without a live block
    bool lossy;         // even where the numbers of a line or function find no room any more
    int64_t limit;      // the highest peak of a node, bytes
    int64_t line_limit; // and of a line
};

// Fewer records are left for new nodes (frames) than one in `part` of all.
static bool fold_is_short(enum record_table table, uint32_t part) {
    uint64_t spare = budget_spare(table), all = shim.header->tables[table].count + spare;
    uint64_t left = spare + (table == RECORD_NODES ? shim.nodes_free_count : shim.frames_free_count);
    return left * part < all;
}

// How many must be free so that one in `part` is left.
static uint32_t fold_enough(enum record_table table, uint32_t part) {
    uint64_t spare = budget_spare(table), want = (shim.header->tables[table].count + spare + part - 1) / part;
    return want > spare ? (uint32_t)(want - spare) : 0;
}

static inline bool fold_wants_nodes(const struct fold *fold) {
    return shim.nodes_free_count < fold->nodes_enough;
}

static inline bool fold_wants_frames(const struct fold *fold) {
    return fold->lines && shim.frames_free_count < fold->frames_enough;
}

// What a line did by itself, and with all that it called.
struct fold_line {
    int64_t peak;   // the most it can have had, with what it had when it was forgotten before
    int64_t unseen; // as in struct record_folded
    uint64_t allocated, freed;
    uint64_t self_allocated;
};

// Of a frame that has no node but `node` (NULL: none), below which `beneath` is folded (or NULL).
static struct fold_line fold_line(const struct record_frame *frame, const struct record_node *node,
                                  const struct record_node *beneath) {
    const struct record_folded *folded = (struct record_folded *)shim.tables[RECORD_FOLDED].base;
    struct fold_line line = {.peak = frame->account.total_peak};
    if (frame->folded_total) {
        const struct record_folded *total = &folded[frame->folded_total];
        line.unseen = total->unseen_bytes;
        line.allocated = total->allocated_bytes;
        line.freed = total->freed_bytes;
    }
    if (frame->folded_self)
        line.self_allocated = folded[frame->folded_self].allocated_bytes;
    if (node)
        line.self_allocated += node->allocated_bytes;
    const struct record_node *more[] = {node, beneath};
    for (int i = 0; i < 2; i++) {
        if (!more[i])
            continue;
        line.unseen += more[i]->live;
        line.allocated += more[i]->allocated_bytes;
        line.freed += more[i]->freed_bytes;
    }
    line.peak += line.unseen + frame_left(frame);
    return line;
}

static bool fold_is_small(const struct fold_round *round, uint32_t number, const struct fold_line *line) {
    const struct record_frame *frame = shim_frame(number);
    int64_t limit = round->line_limit;
    if (round->old_only && shim.frames_born[number] >= shim.frames_epoch)
        return false;
    const struct record_function *function = shim_function(frame->function);
    // A function whose start is not known is known by its frames only; of a scope, scope_path.c keeps the
    // number.
    if (function->language == RECORD_SCOPE)
        return false;
    if (function->language == RECORD_NATIVE && function->module && !function->offset)
        return false;
    return line->peak <= limit && line->allocated / FOLD_TURNOVER <= (uint64_t)limit &&
           line->freed / FOLD_TURNOVER <= (uint64_t)limit;
}

// The frame has no node any more.
static void fold_forget(uint32_t number, const struct fold_line *line) {
    struct record_header *header = shim.header;
    struct record_frame *frame = shim_frame(number);
    header->forgotten_lines++;
    header->forgotten_bytes += line->self_allocated;
    if (line->peak > header->forgotten_peak)
        header->forgotten_peak = line->peak;
    shim_function(frame->function)->forgotten++;
    folded_drop(frame->folded_self, frame->folded_total);
    frame_forget(number, line->unseen);
}

static void fold_account(struct record_account *account, const struct record_node *node,
                         const struct record_node *beneath, bool outermost) {
    account->self_live -= node->live;
    if (outermost)
        account->total_live -= node->live + (beneath ? beneath->live : 0);
}

// What the innermost frame of the other language and its function would lose, of self alone.
static void fold_other(struct record_frame *frame, const struct record_node *node) {
    struct record_function *function = shim_function(frame->function);
    folded_add(&frame->folded_self, &frame->folded_total, node, NULL, false);
    folded_add(&function->folded_self, &function->folded_total, node, NULL, false);
    fold_account(&frame->account, node, NULL, false);
    fold_account(&function->account, node, NULL, false);
}

// Hands over what the node's line and function would lose. False: there is no room to keep it.
static bool fold_accounts(struct fold *fold, uint32_t number, const struct fold_round *round) {
    const struct record_node *node = shim_node(number);
    const struct record_node *beneath =
        shim.folded_child[number] ? shim_node(shim.folded_child[number]) : NULL;
    struct record_frame *frame = shim_frame(node->frame);
    struct record_function *function = shim_function(frame->function);
    uint32_t other = node->flags >> RECORD_NODE_OTHER_SHIFT;
    bool forget = fold->nodes[node->frame] == 1 && fold_wants_frames(fold);
    struct fold_line line;
    if (forget) {
        line = fold_line(frame, node, beneath);
        forget = fold_is_small(round, node->frame, &line);
    }
    if (!folded_room(((forget ? 1u : 2u) + (other ? 2u : 0u)) * FOLDED_RECORDS)) {
        if (!round->lossy)
            return false;
        shim_lose(RECORD_LOST_TABLE_FULL);
    }
    if (other)
        fold_other(shim_frame(other), node);
    bool outermost = node->flags & RECORD_NODE_OUTERMOST_FUNCTION;
    folded_add(&function->folded_self, &function->folded_total, node, beneath, outermost);
    fold_account(&function->account, node, beneath, outermost);
    fold->nodes[node->frame]--;
    if (forget) {
        fold_forget(node->frame, &line);
        return true;
    }
    outermost = node->flags & RECORD_NODE_OUTERMOST_FRAME;
    folded_add(&frame->folded_self, &frame->folded_total, node, beneath, outermost);
    fold_account(&frame->account, node, beneath, outermost);
    return true;
}

// False: the node stays.
static bool fold_node(struct fold *fold, uint32_t number, const struct fold_round *round) {
    struct record_node *node = shim_node(number);
    uint32_t beneath = shim.folded_child[number];
    if (!fold_accounts(fold, number, round))
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

static bool fold_qualifies(const struct fold *fold, const struct fold_round *round, uint32_t number) {
    // What is near at hand comes first: most nodes have children, or are too young.
    if (fold->children[number] || (round->old_only && shim.nodes_born[number] == shim.tree_epoch))
        return false;
    const struct record_node *node = shim_node(number);
    if (number == TREE_ROOT || !node->frame || node->peak > round->limit)
        return false;
    uint32_t beneath = shim.folded_child[number];
    return !round->dead_only || !(owner_blocks(number) || (beneath && owner_blocks(beneath)));
}

static void fold_nodes(struct fold *fold, const struct fold_round *round) {
    for (uint32_t i = 0; i + 1 < fold->count; i++) {
        uint32_t number = fold->order[i];
        if (!fold_qualifies(fold, round, number))
            continue;
        if (!fold_wants_nodes(fold)) {
            // Then only to get rid of lines.
            if (!fold_wants_frames(fold))
                return;
            uint32_t frame = shim_node(number)->frame;
            if (shim_frame(frame)->account.total_peak > round->line_limit)
                continue;
            struct fold_line line = fold_line(shim_frame(frame), NULL, NULL);
            if (!fold_is_small(round, frame, &line))
                continue;
        }
        uint32_t parent = shim_node(number)->parent;
        if (fold_node(fold, number, round))
            fold->children[parent]--;
    }
}

static void fold_lines(struct fold *fold, const struct fold_round *round) {
    uint32_t count = (uint32_t)shim.header->tables[RECORD_FRAMES].count;
    for (uint32_t i = 1; i < count && fold_wants_frames(fold); i++) {
        const struct record_frame *frame = shim_frame(i);
        if (frame->flags & RECORD_FRAME_FREE || fold->nodes[i] ||
            frame->account.total_peak > round->line_limit)
            continue;
        struct fold_line line = fold_line(frame, NULL, NULL);
        if (fold_is_small(round, i, &line))
            fold_forget(i, &line);
    }
}

// Where the budget is short, it is raised. True: at the cap, and still short.
static bool fold_must_go_on(enum record_table table) {
    while (fold_is_short(table, 4))
        if (!budget_raise(table))
            return true;
    return false;
}

// The old before the young, the dead before the living.
static void fold_up_to(struct fold *fold, int64_t limit, int64_t most, bool lossy) {
    int64_t old = limit < most ? limit : most, young = limit / FOLD_YOUTH;
    const struct fold_round rounds[] = {
        {.old_only = true, .dead_only = true, .lossy = lossy, .limit = old, .line_limit = old},
        {.old_only = true, .lossy = lossy, .limit = old / 4, .line_limit = old / 4},
        {.dead_only = true, .lossy = lossy, .limit = young, .line_limit = young},
        {.lossy = lossy, .limit = young / 4, .line_limit = young / 4},
    };
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        if (fold_wants_nodes(fold) || fold_wants_frames(fold))
            fold_nodes(fold, &rounds[i]);
        if (fold_wants_frames(fold))
            fold_lines(fold, &rounds[i]);
    }
}

static void fold_rounds(struct fold *fold) {
    int64_t most = shim.header->heap_peak / FOLD_MATTERS;
    if (most < FOLD_LEAST)
        most = FOLD_LEAST;
    // What was small enough last time was folded then: the limit that sufficed is about the one that is
    // needed.
    int64_t first = shim.fold_limit / 16;
    if (first < FOLD_FIRST || first > most)
        first = FOLD_FIRST;
    for (int64_t limit = first; limit <= most * FOLD_YOUTH; limit *= 4) {
        if (limit > first && !fold_wants_nodes(fold) && !fold_wants_frames(fold))
            break;
        shim.fold_limit = limit;
        // Half of the records of what is smallest, a third of what is not.
        uint32_t part = limit <= FOLD_SMALL ? 2 : 3;
        fold->nodes_enough = fold_enough(RECORD_NODES, part);
        fold->frames_enough = fold_enough(RECORD_FRAMES, part);
        fold_up_to(fold, limit, most, false);
    }
    bool nodes = fold_must_go_on(RECORD_NODES), lines = fold_must_go_on(RECORD_FRAMES);
    for (int64_t limit = FOLD_FIRST; (nodes || lines) && limit < INT64_MAX / 4; limit *= 4)
        fold_up_to(fold, limit, limit, true);
}

void fold_tree(void) {
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
        folded_begin();
        for (uint32_t i = TREE_ROOT + 1; i < fold.count; i++) {
            if (!shim_node(i)->frame)
                continue;
            fold.children[shim_node(i)->parent]++;
            fold.nodes[shim_node(i)->frame]++;
        }
        fold.lines = fold_is_short(RECORD_FRAMES, 4);
        uint64_t forgotten = shim.header->forgotten_lines;
        fold_rounds(&fold);
        tree_refill();
        shim.tree_epoch++;
        shim_doubt();
        if (shim.header->forgotten_lines != forgotten) {
            shim.frames_epoch = shim.tree_epoch;
            place_forgotten();
        }
    }
    journal_release_all(&thread_self);
    arena_free(fold.order, order_bytes);
    arena_free(fold.children, children_bytes);
    arena_free(fold.nodes, nodes_bytes);
}
