// SPDX-License-Identifier: MIT
//
// Which nodes may be folded in which round. Rounds follow each other with rising limits, of four kinds with
// each. In which a node may go is known beforehand: when it qualifies itself, but not before all beneath it.
//
// Callers hold shim.lock, and no node comes or goes but by their doing.

#ifndef PEAKLINE_FOLD_RANKS_H
#define PEAKLINE_FOLD_RANKS_H

#include <stdbool.h>
#include <stdint.h>

#define FOLD_KINDS 4
#define FOLD_LIMITS                                                                                          \
    27 // each four times the one before: all that there are between 1 KiB and the largest number
#define FOLD_ROUNDS (FOLD_LIMITS * FOLD_KINDS)

#define FOLD_YOUTH 16 // by so much the limit is lower for what is new

// What may go in a round.
struct fold_round {
    bool old_only;  // only nodes that have seen a folding, lines that have seen some being forgotten
    bool dead_only; // only nodes without a live block
    bool lossy;     // even where the numbers of a line or function find no room any more
    int64_t limit;  // the highest peak of a node or of a line, bytes
};

struct fold_plan {
    unsigned rounds;
    bool lossy;
    int64_t limits[FOLD_ROUNDS]; // bytes, as in struct fold_round
};

// Rounds with limits from `first` (bytes, a power of two from 1 KiB on) to `most`.
struct fold_plan fold_plan(int64_t first, int64_t most, bool lossy);

// The old before the young, the dead before the living.
static inline struct fold_round fold_round(const struct fold_plan *plan, unsigned round) {
    return (struct fold_round){
        .old_only = round % FOLD_KINDS < 2,
        .dead_only = round % 2 == 0,
        .lossy = plan->lossy,
        .limit = plan->limits[round],
    };
}

// Of the rounds that begin with this one, a multiple of FOLD_KINDS: the limit, bytes.
static inline int64_t fold_plan_limit(const struct fold_plan *plan, unsigned round) {
    return plan->limits[round + 2] * FOLD_YOUTH; // what is old may be spared by `most`
}

struct fold_item;

struct fold_ranks {
    uint32_t *nodes;                // by the round in which they may go, the deepest first in each
    uint32_t from[FOLD_ROUNDS + 2]; // where each round's begin
    uint32_t *children;             // by node, how many it has, the folded one not counted
    uint32_t *of_frame;             // by frame, how many nodes it has
    // The module's own.
    uint32_t count; // of nodes, entry 0 included
    struct fold_item *items;
    uint32_t *order; // the deepest first
};

// Room for the tree as it is. False: no memory.
bool fold_ranks_open(struct fold_ranks *ranks);

// Ranks all nodes. False: no memory.
bool fold_ranks_fill(struct fold_ranks *ranks, const struct fold_plan *plan);

// The ranks mean nothing any more. Their memory is kept for the next folding, where it is no more than a MiB.
void fold_ranks_close(void);

#endif
