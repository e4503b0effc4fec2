// SPDX-License-Identifier: MIT
//
// See estimate.h.

#include "shim/estimate.h"
#include "shim/arena.h"
#include "shim/clock.h"
#include "shim/former.h"
#include "shim/owner.h"
#include "shim/peak.h"
#include "shim/recording.h"
#include "shim/sampling.h"
#include "shim/timeline.h"
#include "shim/tree.h"

#define ESTIMATE_PROCESS 1u // the first record

// What one object that was sampled adds to the variances.
struct estimate_square {
    uint64_t bytes, count;
};

static struct estimate_square estimate_square(size_t size) {
    const uint64_t weight = sampling_weight(size), count = weight * (weight - 1);
    return (struct estimate_square){.bytes = (uint64_t)size * size * count, .count = count};
}

static inline struct record_estimate *estimate_at(uint32_t number) {
    return (struct record_estimate *)shim.tables[RECORD_ESTIMATES].base + number;
}

bool estimate_open(void) {
    shim.frame_estimates =
        arena_reserve(shim.tables[RECORD_FRAMES].reserved / sizeof(struct record_frame) * sizeof(uint32_t));
    shim.function_estimates = arena_reserve(shim.tables[RECORD_FUNCTIONS].reserved /
                                            sizeof(struct record_function) * sizeof(uint32_t));
    const struct record_estimate process = {.kind = RECORD_OF_PROCESS};
    return shim.frame_estimates && shim.function_estimates &&
           recording_append(RECORD_ESTIMATES, &process) == ESTIMATE_PROCESS;
}

void estimate_drop(uint32_t frame) {
    uint32_t number = shim.frame_estimates[frame];
    if (!number)
        return;
    const struct record_estimate gone = {.number = shim.estimates_free};
    recording_put(RECORD_ESTIMATES, number, &gone);
    shim.estimates_free = number;
    shim.frame_estimates[frame] = 0;
}

// The record that `place` names, made where there is none. NULL: there is no room.
static struct record_estimate *estimate_find(uint32_t *place, enum record_estimated kind, uint32_t of) {
    if (shim_likely(*place))
        return estimate_at(*place);
    const struct record_estimate fresh = {.kind = kind, .number = of};
    uint32_t number = shim.estimates_free;
    if (number) {
        shim.estimates_free = estimate_at(number)->number;
        recording_put(RECORD_ESTIMATES, number, &fresh);
    } else if (!(number = recording_append(RECORD_ESTIMATES, &fresh))) {
        shim.header->estimates_missing++;
        return NULL;
    }
    *place = number;
    return estimate_at(number);
}

static struct record_estimate *estimate_of_frame(uint32_t frame) {
    return estimate_find(&shim.frame_estimates[frame], RECORD_OF_FRAME, frame);
}

static struct record_estimate *estimate_of_function(uint32_t function) {
    return estimate_find(&shim.function_estimates[function], RECORD_OF_FUNCTION, function);
}

static void estimate_subtract(uint64_t *sum, uint64_t value) {
    *sum -= value < *sum ? value : *sum; // less may be there where lines were forgotten
}

// What is to be done to the variances on a path.
struct estimate_walk {
    void (*change)(struct record_variance *variance, int64_t peak, const struct estimate_walk *walk,
                   bool known);
    struct estimate_square square;
    uint32_t allocated, owner; // the node and the owner of the block
};

// Before `live` changes: what it was when the account had its peak.
static inline void estimate_save(struct record_variance *variance, int64_t peak) {
    if (variance->peak != peak) {
        variance->at_peak = variance->live;
        variance->peak = peak;
    }
}

static void estimate_allocated(struct record_variance *variance, int64_t peak,
                               const struct estimate_walk *walk, bool known) {
    (void)known;
    estimate_save(variance, peak);
    variance->live += walk->square.bytes;
    variance->net += walk->square.bytes;
    variance->allocated += walk->square.bytes;
    variance->allocations += walk->square.count;
}

static void estimate_released(struct record_variance *variance, int64_t peak,
                              const struct estimate_walk *walk, bool known) {
    (void)known;
    estimate_save(variance, peak);
    estimate_subtract(&variance->live, walk->square.bytes);
}

// Bytes that come and go within one line are certain to be 0 in the end. `known`: it was allocated here, too.
static void estimate_freeing(struct record_variance *variance, int64_t peak, const struct estimate_walk *walk,
                             bool known) {
    (void)peak;
    if (known)
        estimate_subtract(&variance->net, walk->square.bytes);
    else
        variance->net += walk->square.bytes;
}

// Which are innermost of their language on a path. frame 0: it has been forgotten; function 0: there is none.
struct estimate_inner {
    struct former_line of[RECORD_SCOPE + 1];
};

static void estimate_meet(struct estimate_inner *inner, struct former_line line) {
    uint32_t language = shim_function(line.function)->language;
    if (language <= RECORD_SCOPE && !inner->of[language].function)
        inner->of[language] = line;
}

// What is folded of the path to a block's node: only the owner knows it. 0, which is nobody's, on other
// paths.
static uint32_t estimate_beyond(uint32_t node, const struct estimate_walk *walk) {
    return node == walk->allocated ? walk->owner : 0;
}

static struct estimate_inner estimate_innermost(uint32_t node, const struct estimate_walk *walk) {
    struct estimate_inner inner = {{{0}}};
    uint32_t owner = estimate_beyond(node, walk);
    for (; owner_is_former(owner); owner = owner_next(owner))
        estimate_meet(&inner, (struct former_line){former_frame(owner), shim.formers[owner].function});
    for (; node && node != TREE_ROOT; node = shim_node(node)->parent) {
        if (inner.of[RECORD_PYTHON].function && inner.of[RECORD_NATIVE].function)
            break;
        uint32_t frame = shim_node(node)->frame;
        if (frame)
            estimate_meet(&inner, (struct former_line){frame, shim_frame(frame)->function});
    }
    return inner;
}

static void estimate_selves(uint32_t node, const struct estimate_walk *walk) {
    const struct estimate_inner inner = estimate_innermost(node, walk);
    const struct estimate_inner block = estimate_innermost(walk->allocated, walk);
    for (uint32_t language = RECORD_PYTHON; language <= RECORD_NATIVE; language++) {
        const struct former_line *line = &inner.of[language], *other = &block.of[language];
        struct record_estimate *estimate;
        if (line->frame && (estimate = estimate_of_frame(line->frame)) != NULL)
            walk->change(&estimate->self, shim_frame(line->frame)->account.self_peak, walk,
                         line->frame == other->frame);
        if (line->function && (estimate = estimate_of_function(line->function)) != NULL)
            walk->change(&estimate->self, shim_function(line->function)->account.self_peak, walk,
                         line->function == other->function);
    }
}

static void estimate_total_of_frame(uint32_t frame, const struct estimate_walk *walk, bool known) {
    struct record_estimate *estimate = estimate_of_frame(frame);
    if (estimate)
        walk->change(&estimate->total, shim_frame(frame)->account.total_peak, walk, known);
}

static void estimate_total_of_function(uint32_t function, const struct estimate_walk *walk, bool known) {
    struct record_estimate *estimate = estimate_of_function(function);
    if (estimate)
        walk->change(&estimate->total, shim_function(function)->account.total_peak, walk, known);
}

// Each line and function on the path once, and its innermost ones as self. `walk->allocated`: the path that
// the block was allocated on.
static void estimate_path(uint32_t node, const struct estimate_walk *walk) {
    if (!node)
        return;
    estimate_selves(node, walk);
    uint32_t owner = estimate_beyond(node, walk);
    for (; owner_is_former(owner); owner = owner_next(owner)) {
        const struct former *former = &shim.formers[owner];
        const uint32_t frame = former_frame(owner);
        if (former->outermost & RECORD_NODE_OUTERMOST_FRAME && frame)
            estimate_total_of_frame(frame, walk, true);
        if (former->outermost & RECORD_NODE_OUTERMOST_FUNCTION)
            estimate_total_of_function(former->function, walk, true);
    }
    uint32_t common = walk->allocated == node ? node : tree_common(node, walk->allocated);
    bool above = false; // from here on, both paths are one
    for (uint32_t at = node; at != TREE_ROOT; at = shim_node(at)->parent) {
        above |= at == common;
        const struct record_node *record = shim_node(at);
        if (!record->frame)
            continue;
        uint32_t function = shim_frame(record->frame)->function;
        if (record->flags & RECORD_NODE_OUTERMOST_FRAME)
            estimate_total_of_frame(record->frame, walk,
                                    above || tree_holds_frame(walk->allocated, record->frame) ||
                                        former_holds_frame(walk->owner, record->frame));
        if (record->flags & RECORD_NODE_OUTERMOST_FUNCTION)
            estimate_total_of_function(function, walk,
                                       above || tree_holds_function(walk->allocated, function) ||
                                           former_holds_function(walk->owner, function));
    }
}

static void estimate_walk(uint32_t node, const struct estimate_walk *walk) {
    estimate_path(node, walk);
    walk->change(&estimate_at(ESTIMATE_PROCESS)->total, shim.header->heap_peak, walk, true);
}

static struct peak_books estimate_books(void) {
    return (struct peak_books){shim.header, shim_node(0), shim_frame(0), shim_function(0)};
}

static int64_t estimate_slack(size_t size) {
    return (int64_t)((size + SAMPLING_CLASS - 1) / SAMPLING_CLASS * SAMPLING_CLASS - size);
}

void estimate_alloc(uint32_t number, uint32_t owner, size_t size) {
    const struct peak_books books = estimate_books();
    const struct estimate_walk walk = {estimate_allocated, estimate_square(size), number, owner};
    shim_begin_update(RECORD_UPDATING_EVENTS);
    peak_flush(&books); // so that accounts know their peaks
    estimate_walk(number, &walk);

    const uint64_t weight = sampling_weight(size), bytes = weight * size;
    struct record_header *header = shim.header;
    struct record_node *node = shim_node(number);
    struct peak_run run = PEAK_RUN_NONE;
    peak_add(&run, (int64_t)bytes, (int64_t)weight * estimate_slack(size));
    if (peak_apply(&books, number, &run))
        timeline_raised(clock_coarse());
    peak_raise(&shim.tick_heap_high, header->heap_live);
    owner_use(owner);
    node->allocated_bytes += bytes;
    node->allocations += weight;
    header->allocated_bytes += bytes;
    header->allocations += weight;
    shim_end_update();
}

void estimate_free(uint32_t owner, size_t size, uint32_t freeing, bool temporary) {
    const struct peak_books books = estimate_books();
    uint32_t number = owner_node(owner);
    const bool own = freeing == ESTIMATE_OWN;
    if (own)
        freeing = number;
    struct estimate_walk walk = {estimate_released, estimate_square(size), number, owner};
    shim_begin_update(RECORD_UPDATING_EVENTS);
    peak_flush(&books);
    estimate_walk(number, &walk);
    walk.change = estimate_freeing;
    estimate_walk(freeing, &walk);

    const uint64_t weight = sampling_weight(size), bytes = weight * size;
    struct record_header *header = shim.header;
    struct peak_run run = PEAK_RUN_NONE;
    peak_subtract(&run, (int64_t)bytes, (int64_t)weight * estimate_slack(size));
    peak_apply(&books, number, &run);
    if (owner_is_former(owner))
        former_free(&books, owner, (int64_t)bytes, temporary ? weight : 0, own ? weight : 0);
    owner_drop(owner);
    if (temporary)
        shim_node(number)->temporary += weight;
    if (freeing) {
        shim_node(freeing)->freed_bytes += bytes;
        shim_node(freeing)->frees += weight;
    }
    header->freed_bytes += bytes;
    header->frees += weight;
    shim_end_update();
}
