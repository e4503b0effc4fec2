// SPDX-License-Identifier: MIT
//
// High-water arithmetic: what events do to the process's peak, to their node's, and to the inclusive peaks
// of the lines and functions on the node's path. Pure: works on the records it is given, calls nothing.
//
// Consecutive events of one node are accounted together, as a run: high-water marks need only know how far
// their sum went and where it ended.
//
// Units are bytes. Callers serialise events (shim.lock). The rules are those of record_format.h; they are
// exact for any sequence of events, whichever threads made them.
//
// Inclusive peaks cost nothing per run and little per change of node: segments are pending only on the
// path from the root to the current node, and a move to another node flushes the nodes that leave that path.
// So the cost is the distance between consecutive events in the tree, not its depth.

#ifndef PEAKLINE_PEAK_H
#define PEAKLINE_PEAK_H

#include "shim/record_format.h"

#include <stdbool.h>

struct peak_books {
    struct record_header *header;
    struct record_node *nodes;
    struct record_frame *frames;
    struct record_function *functions;
};

// Begin with PEAK_RUN_NONE, then peak_add.
struct peak_run {
    int64_t net;      // sum of the changes of live bytes
    int64_t top;      // the highest that it was after an allocation; INT64_MIN: there was none
    int64_t slack;    // sum of the changes of usable minus requested bytes
    int64_t slack_at; // that sum when `net` first was `top`
};

#define PEAK_RUN_NONE ((struct peak_run){.top = INT64_MIN})

static inline void peak_add(struct peak_run *run, int64_t size, int64_t slack) {
    run->net += size;
    run->slack += slack;
    if (run->net > run->top) {
        run->top = run->net;
        run->slack_at = run->slack;
    }
}

static inline void peak_subtract(struct peak_run *run, int64_t size, int64_t slack) {
    run->net -= size;
    run->slack -= slack;
}

// Makes `node` the current one: segments that leave its path go where they belong.
void peak_move(const struct peak_books *books, uint32_t node);

// Stores before it come to be before those after it. (Processors of this kind keep that order by themselves.)
static inline void peak_order(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void peak_raise(int64_t *peak, int64_t value) {
    if (value > *peak)
        *peak = value;
}

static inline void peak_change_self(struct record_account *account, int64_t net, int64_t high) {
    int64_t live = account->self_live;
    account->self_live = live + net;
    peak_raise(&account->self_peak, live + high);
}

// The same for the innermost frame of the other language, in a mixed stack.
__attribute__((noinline, cold, unused)) static void
peak_change_other(const struct peak_books *books, uint32_t number, int64_t net, int64_t high) {
    struct record_frame *frame = &books->frames[number];
    peak_change_self(&frame->account, net, high);
    peak_change_self(&books->functions[frame->function].account, net, high);
}

// The run's events, all of `number`, come to the books. True when they raised the process's peak; that counts
// as one raise, to the highest.
static inline __attribute__((always_inline)) bool peak_apply(const struct peak_books *books, uint32_t number,
                                                             const struct peak_run *run) {
    struct record_header *header = books->header;
    struct record_node *node = &books->nodes[number];
    if (header->current_node != number)
        peak_move(books, number);

    const int64_t net = run->net, high = run->top > 0 ? run->top : 0;
    const int64_t live = node->live, heap = header->heap_live;
    header->heap_live = heap + net;
    // An allocation is as high as the heap got here, even if that is lower than before.
    if (run->top != INT64_MIN)
        peak_raise(&node->heap_high, heap + run->top);
    bool raised = heap + high > header->heap_peak;
    if (raised) {
        // Before the peak: of what is read in between, nothing is of an older one.
        header->peak_seq++;
        peak_order();
        header->heap_peak = heap + high;
        header->slack_at_peak = header->slack_live + run->slack_at;
        node->saved = live + high;
        node->saved_seq = header->peak_seq;
    } else if (node->saved_seq != header->peak_seq) {
        node->saved = live;
        node->saved_seq = header->peak_seq;
    }
    header->slack_live += run->slack;

    node->live = live + net;
    peak_raise(&node->peak, live + high);
    peak_raise(&node->segment_high, node->segment_net + high);
    node->segment_net += net;
    if (node->frame) {
        struct record_frame *frame = &books->frames[node->frame];
        peak_change_self(&frame->account, net, high);
        peak_change_self(&books->functions[frame->function].account, net, high);
        if (__builtin_expect(node->flags >> RECORD_NODE_OTHER_SHIFT, 0))
            peak_change_other(books, node->flags >> RECORD_NODE_OTHER_SHIFT, net, high);
    }
    return raised;
}

// Brings every pending segment to its accounts; afterwards no node is current.
void peak_flush(const struct peak_books *books);

// The node's bytes at the process's peak.
static inline int64_t peak_saved(const struct record_header *header, const struct record_node *node) {
    return node->saved_seq == header->peak_seq ? node->saved : node->live;
}

#endif
