// SPDX-License-Identifier: MIT
//
// Leaves that qualify are folded from the deepest to the root, so whole subtrees collapse upward; lines that
// have lost their last node are forgotten on the way, where lines are to become fewer. Rounds follow each
// other with a rising limit until half of the records are free (of lines a third, when the limit has become
// high). In which round a node may go is known beforehand: when it qualifies itself, but not before all
// beneath it. So a folding looks at each node once, and once more at those that go. When less than a quarter
// can be had, because the rest matters, the tables' budget is raised instead of trying again and again; at
// the cap, what matters goes too, until a third is free.

#include "shim/fold.h"
#include "shim/budget.h"
#include "shim/fold_ranks.h"
#include "shim/folded.h"
#include "shim/former.h"
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
#define FOLD_AHEAD 4           // nodes
#define FOLD_TURNOVER 16       // a line that allocated or freed so many times the limit is none to forget
#define FOLD_OWN 4             // the program's own lines are spared up to one in so many

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

struct fold {
    struct fold_ranks ranks;
    bool lines;                           // lines are to become fewer
    uint32_t nodes_enough, frames_enough; // free records to stop at
    bool skipped;                         // lines that are not remembered: owners can be shortened
    uint32_t own_most;                    // so many of the program's own lines stay
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
    struct fold_line line = {.peak = frame->account.total_peak};
    if (frame->folded_total) {
        const struct record_folded *total = folded_entry(frame->folded_total);
        line.unseen = total->unseen_bytes;
        line.allocated = total->allocated_bytes;
        line.freed = total->freed_bytes;
    }
    if (frame->folded_self)
        line.self_allocated = folded_entry(frame->folded_self)->allocated_bytes;
    if (node)
        line.self_allocated += node->allocated_bytes;
    const struct record_node *more[] = {node, beneath};
    for (int i = 0; i < 2; i++) {
        if (!more[i])
            continue;
        line.allocated += more[i]->allocated_bytes;
        line.freed += more[i]->freed_bytes;
    }
    line.peak += line.unseen + frame_left(frame);
    return line;
}

// Whether the program chose the function to be seen, or it is its own, and there are few such lines.
static bool fold_spares(const struct fold *fold, const struct record_frame *frame) {
    return shim_function(frame->function)->chosen ||
           (shim.functions_own[frame->function] && shim.frames_own <= fold->own_most);
}

static bool fold_is_small(const struct fold *fold, const struct fold_round *round, uint32_t number,
                          const struct fold_line *line) {
    const struct record_frame *frame = shim_frame(number);
    int64_t limit = round->limit;
    if (!round->lossy && fold_spares(fold, frame))
        return false;
    if (round->old_only && shim.frames_born[number] >= shim.frames_epoch)
        return false;
    const struct record_function *function = shim_function(frame->function);
    // A function whose start is not known is known by its frames only; scope_path.c and threads keep the
    // numbers of others.
    if (!RECORD_RUNS(function->language))
        return false;
    if (function->language == RECORD_NATIVE && function->module && !function->offset)
        return false;
    return line->peak <= limit && line->allocated / FOLD_TURNOVER <= (uint64_t)limit &&
           line->freed / FOLD_TURNOVER <= (uint64_t)limit;
}

static void fold_count_forgotten(const struct record_frame *frame, uint64_t allocated, int64_t peak) {
    struct record_header *header = shim.header;
    header->forgotten_lines++;
    header->forgotten_bytes += allocated;
    if (peak > header->forgotten_peak)
        header->forgotten_peak = peak;
    shim_function(frame->function)->forgotten++;
}

// The frame has no node any more.
static void fold_forget(uint32_t number, const struct fold_line *line) {
    const struct record_frame *frame = shim_frame(number);
    fold_count_forgotten(frame, line->self_allocated, line->peak);
    folded_drop(frame->folded_self, frame->folded_total);
    frame_forget(number, frame->account.total_live + line->unseen);
}

// What the innermost frame of the other language and its function would lose, of self alone.
static void fold_other(struct record_frame *frame, const struct record_node *node) {
    struct record_function *function = shim_function(frame->function);
    folded_add(&frame->folded_self, &frame->folded_total, node, NULL, false);
    folded_add(&function->folded_self, &function->folded_total, node, NULL, false);
}

// How many bytes of what was folded beneath a node its line is to forget.
static int64_t fold_unseen(uint32_t number) {
    const uint32_t beneath = shim.links[number].folded;
    return beneath && !owner_is_roomy() ? shim_node(beneath)->live : 0;
}

// The blocks beneath are not remembered to be of this line or function.
static void fold_unsee(struct record_account *account, uint32_t total, int64_t bytes) {
    account->total_live -= bytes;
    folded_unsee(total, bytes);
}

// Adds a node that goes to its line's records. Where there may be no room for these, what is lost counts as
// forgotten, as if it were that of another line in the same place that went before.
static void fold_add_line(struct record_frame *frame, const struct record_node *node,
                          const struct record_node *beneath, bool outermost, bool room) {
    struct fold_line due = {.peak = 0};
    if (!room)
        due = fold_line(frame, node, beneath);
    folded_add(&frame->folded_self, &frame->folded_total, node, beneath, outermost);
    if (room)
        return;
    const uint64_t lost = due.self_allocated - fold_line(frame, NULL, NULL).self_allocated;
    if (lost || (outermost && !frame->folded_total)) {
        frame->flags |= RECORD_FRAME_AGAIN;
        fold_count_forgotten(frame, lost, due.peak);
    }
}

// Hands over what the node's line and function would lose, but for `unseen` bytes beneath. False: there is no
// room to keep it.
static bool fold_accounts(struct fold *fold, uint32_t number, const struct fold_round *round,
                          int64_t unseen) {
    const struct record_node *node = shim_node(number);
    const struct record_node *beneath =
        shim.links[number].folded ? shim_node(shim.links[number].folded) : NULL;
    struct record_frame *frame = shim_frame(node->frame);
    struct record_function *function = shim_function(frame->function);
    uint32_t other = node->flags >> RECORD_NODE_OTHER_SHIFT;
    bool forget = fold->ranks.of_frame[node->frame] == 1 && fold_wants_frames(fold);
    struct fold_line line;
    if (forget) {
        line = fold_line(frame, node, beneath);
        forget = fold_is_small(fold, round, node->frame, &line);
    }
    const bool room = folded_room(((forget ? 1u : 2u) + (other ? 2u : 0u)) * FOLDED_RECORDS);
    if (!room) {
        if (!round->lossy)
            return false;
        shim_lose(RECORD_LOST_TABLE_FULL);
    }
    if (other)
        fold_other(shim_frame(other), node);
    bool outermost = node->flags & RECORD_NODE_OUTERMOST_FUNCTION;
    folded_add(&function->folded_self, &function->folded_total, node, beneath, outermost);
    if (unseen && outermost)
        fold_unsee(&function->account, function->folded_total, unseen);
    fold->ranks.of_frame[node->frame]--;
    if (forget) {
        fold_forget(node->frame, &line);
        return true;
    }
    outermost = node->flags & RECORD_NODE_OUTERMOST_FRAME;
    fold_add_line(frame, node, beneath, outermost, room);
    if (unseen && outermost)
        fold_unsee(&frame->account, frame->folded_total, unseen);
    return true;
}

// Blocks of the node, and of what was folded beneath it, are of its line for as long as they live, the latter
// where there is room to remember that.
static void fold_note(struct fold *fold, uint32_t number, int64_t unseen) {
    const uint32_t beneath = shim.links[number].folded;
    former_note(owner_of(number), shim_node(number));
    if (!beneath)
        return;
    if (!unseen) {
        former_note(owner_of(beneath), shim_node(number));
        return;
    }
    former_skip(owner_of(beneath));
    fold->skipped = true;
}

// False: the node stays.
static bool fold_node(struct fold *fold, uint32_t number, const struct fold_round *round) {
    struct record_node *node = shim_node(number);
    const uint32_t beneath = shim.links[number].folded, sibling = shim.links[node->parent].folded;
    if (!sibling && !owner_has_room())
        return false;
    const int64_t unseen = fold_unseen(number);
    if (!fold_accounts(fold, number, round, unseen))
        return false;
    fold_note(fold, number, unseen);
    tree_forget(number);
    if (!sibling)
        owner_renew(number);
    if (beneath)
        fold_release(beneath, sibling ? sibling : number);
    shim.links[number].folded = 0;
    if (sibling) {
        fold_release(number, sibling);
    } else {
        // The first of its parent becomes the one that stands for all.
        node->frame = 0;
        node->flags = RECORD_NODE_FOLDED;
        shim.links[node->parent].folded = number;
    }
    shim.header->folded_nodes++;
    return true;
}

// What fold_node will need of nodes further on: it is all over memory. First the record, then what that leads
// to.
static inline __attribute__((always_inline)) void fold_fetch(const struct fold_ranks *ranks, uint32_t i,
                                                             uint32_t end) {
    if (i + 2 * FOLD_AHEAD < end) {
        const uint32_t number = ranks->nodes[i + 2 * FOLD_AHEAD];
        __builtin_prefetch(shim_node(number), 1);
        __builtin_prefetch(&shim_node(number)->allocated_bytes, 1);
        __builtin_prefetch(&shim.links[number], 1);
    }
    if (i + FOLD_AHEAD < end) {
        const uint32_t number = ranks->nodes[i + FOLD_AHEAD];
        const struct record_node *node = shim_node(number);
        const struct tree_link *link = &shim.links[number];
        __builtin_prefetch(&shim_frame(node->frame)->account, 1);
        __builtin_prefetch(&shim_frame(node->frame)->folded_self, 1);
        __builtin_prefetch(&shim_function(link->function)->folded_self, 1);
        __builtin_prefetch(&shim.links[node->parent], 1);
        if (link->folded)
            __builtin_prefetch(&shim_node(link->folded)->allocated_bytes, 1);
        __builtin_prefetch(&shim.owners[link->owner], 1);
        __builtin_prefetch(&shim.formers[link->owner], 1);
    }
    if (i + FOLD_AHEAD / 2 < end) {
        const struct record_frame *frame = shim_frame(shim_node(ranks->nodes[i + FOLD_AHEAD / 2])->frame);
        folded_fetch(frame->folded_total);
        folded_fetch(shim_function(frame->function)->folded_total);
    }
}

// Nodes of the round, until there are enough free ones.
static void fold_nodes(struct fold *fold, const struct fold_round *round, unsigned rank) {
    const struct fold_ranks *ranks = &fold->ranks;
    for (uint32_t i = ranks->from[rank]; i < ranks->from[rank + 1]; i++) {
        if (!fold_wants_nodes(fold))
            return;
        fold_fetch(ranks, i, ranks->from[rank + 1]);
        uint32_t number = ranks->nodes[i], parent = shim_node(number)->parent;
        if (!ranks->children[number] && fold_node(fold, number, round))
            ranks->children[parent]--;
    }
}

// Nodes of this round and those before it, only to get rid of their lines.
static void fold_nodes_for_lines(struct fold *fold, const struct fold_round *round, unsigned rank) {
    const struct fold_ranks *ranks = &fold->ranks;
    for (uint32_t i = 0; i < ranks->from[rank + 1] && fold_wants_frames(fold); i++) {
        uint32_t number = ranks->nodes[i], parent = shim_node(number)->parent;
        uint32_t frame = shim_node(number)->frame;
        if (!frame || ranks->children[number] || shim_frame(frame)->account.total_peak > round->limit)
            continue;
        struct fold_line line = fold_line(shim_frame(frame), NULL, NULL);
        if (fold_is_small(fold, round, frame, &line) && fold_node(fold, number, round))
            ranks->children[parent]--;
    }
}

static void fold_lines(struct fold *fold, const struct fold_round *round) {
    uint32_t count = (uint32_t)shim.header->tables[RECORD_FRAMES].count;
    for (uint32_t i = 1; i < count && fold_wants_frames(fold); i++) {
        const struct record_frame *frame = shim_frame(i);
        if (frame->flags & RECORD_FRAME_FREE || fold->ranks.of_frame[i] ||
            frame->account.total_peak > round->limit)
            continue;
        struct fold_line line = fold_line(frame, NULL, NULL);
        if (fold_is_small(fold, round, i, &line))
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

// False: no memory.
static bool fold_carry_out(struct fold *fold, const struct fold_plan *plan) {
    if (!fold_ranks_fill(&fold->ranks, plan))
        return false;
    for (unsigned rank = 0; rank < plan->rounds; rank++) {
        const struct fold_round round = fold_round(plan, rank);
        if (!plan->lossy && rank % FOLD_KINDS == 0) {
            if (rank && !fold_wants_nodes(fold) && !fold_wants_frames(fold))
                break;
            shim.fold_limit = fold_plan_limit(plan, rank);
            // Half of the nodes, and of the lines that are smallest; a third of those that are not.
            fold->nodes_enough = fold_enough(RECORD_NODES, 2);
            fold->frames_enough = fold_enough(RECORD_FRAMES, shim.fold_limit <= FOLD_SMALL ? 2 : 3);
        }
        if (fold_wants_nodes(fold))
            fold_nodes(fold, &round, rank);
        if (!fold_wants_nodes(fold) && fold_wants_frames(fold))
            fold_nodes_for_lines(fold, &round, rank);
        if (fold_wants_frames(fold))
            fold_lines(fold, &round);
    }
    return true;
}

// False: no memory.
static bool fold_rounds(struct fold *fold) {
    int64_t most = shim.header->heap_peak / FOLD_MATTERS;
    if (most < FOLD_LEAST)
        most = FOLD_LEAST;
    // What was small enough last time was folded then: the limit that sufficed is about the one that is
    // needed.
    int64_t first = shim.fold_limit / 16;
    if (first < FOLD_FIRST || first > most)
        first = FOLD_FIRST;
    const struct fold_plan plan = fold_plan(first, most, false);
    if (!fold_carry_out(fold, &plan))
        return false;
    bool nodes = fold_must_go_on(RECORD_NODES), lines = fold_must_go_on(RECORD_FRAMES);
    if (nodes || lines) {
        const struct fold_plan rest = fold_plan(FOLD_FIRST, INT64_MAX / 4 / FOLD_YOUTH, true);
        // No more than it takes for a while.
        fold->nodes_enough = fold_enough(RECORD_NODES, 3);
        fold->frames_enough = fold_enough(RECORD_FRAMES, 3);
        fold_carry_out(fold, &rest);
    }
    return true;
}

void fold_tree(void) {
    // No thread may note an event for a node that goes.
    if (!journal_stop_all(&thread_self))
        return;
    const struct peak_books books = {shim.header, shim_node(0), shim_frame(0), shim_function(0)};
    struct fold fold = {.nodes_enough = 0};
    uint64_t forgotten = shim.header->forgotten_lines;
    if (fold_ranks_open(&fold.ranks)) {
        shim_begin_update(RECORD_UPDATING_CONTEXTS);
        peak_flush(&books);
        fold.lines = former_may_forget() && fold_is_short(RECORD_FRAMES, 4);
        fold.own_most =
            (uint32_t)(shim.header->tables[RECORD_FRAMES].count + budget_spare(RECORD_FRAMES)) / FOLD_OWN;
        if (fold_rounds(&fold)) {
            if (fold.skipped)
                owner_shorten();
            tree_refill();
            shim.tree_epoch++;
            shim_doubt();
        }
        if (shim.header->forgotten_lines != forgotten) {
            shim.frames_epoch = shim.tree_epoch;
            frame_refill();
            place_forgotten();
        }
        shim_end_update();
        fold_ranks_close();
    }
    journal_release_all(&thread_self);
}
