// SPDX-License-Identifier: MIT
//
// See reader_replay.h.

#include "reporter/reader_replay.h"

static void add(int64_t *sum, int64_t value) {
    *sum = (int64_t)((uint64_t)*sum + (uint64_t)value);
}

static void raise_to(int64_t *high, int64_t value) {
    if (value > *high)
        *high = value;
}

static int64_t plus(int64_t a, int64_t b) {
    add(&a, b);
    return a;
}

static void flush_account(struct record_account *account, const struct record_node *node) {
    raise_to(&account->total_peak, plus(account->total_live, node->segment_high));
    add(&account->total_live, node->segment_net);
}

// The node's segment goes to its accounts and to its parent.
static void flush_node(struct reader_image *image, struct record_node *node) {
    if (node->frame) {
        struct record_frame *frame = &image->frames[node->frame];
        if (node->flags & RECORD_NODE_OUTERMOST_FRAME)
            flush_account(&frame->account, node);
        if (node->flags & RECORD_NODE_OUTERMOST_FUNCTION)
            flush_account(&image->functions[frame->function].account, node);
    }
    if (node->parent) {
        struct record_node *parent = &image->nodes[node->parent];
        raise_to(&parent->segment_high, plus(parent->segment_net, node->segment_high));
        add(&parent->segment_net, node->segment_net);
    }
    node->segment_net = node->segment_high = 0;
}

// Flushes what leaves the path to the current node.
static void move_to(struct reader_image *image, uint32_t to) {
    uint32_t from = image->header.current_node;
    image->header.current_node = to;
    if (from && image->nodes[from].flags & RECORD_NODE_FREE)
        return;
    while (from && from != to) {
        if (!to || image->nodes[from].depth >= image->nodes[to].depth) {
            flush_node(image, &image->nodes[from]);
            from = image->nodes[from].parent;
        } else {
            to = image->nodes[to].parent;
        }
    }
}

static void change_account(struct record_account *account, int64_t change) {
    add(&account->self_live, change);
    raise_to(&account->self_peak, account->self_live);
}

static void change_selves(struct reader_image *image, uint32_t number, int64_t change) {
    struct record_frame *frame = &image->frames[number];
    change_account(&frame->account, change);
    change_account(&image->functions[frame->function].account, change);
}

static void change_node(struct reader_image *image, struct record_node *node, int64_t change) {
    if (node->saved_seq != image->header.peak_seq) {
        node->saved = node->live;
        node->saved_seq = image->header.peak_seq;
    }
    add(&node->live, change);
    raise_to(&node->peak, node->live);
    add(&node->segment_net, change);
    raise_to(&node->segment_high, node->segment_net);
    if (node->frame)
        change_selves(image, node->frame, change);
    if (node->frame && node->flags >> RECORD_NODE_OTHER_SHIFT)
        change_selves(image, node->flags >> RECORD_NODE_OTHER_SHIFT, change);
}

static bool is_in_use(const struct reader_image *image, uint32_t node) {
    return node && node < image->node_count && !(image->nodes[node].flags & RECORD_NODE_FREE);
}

static void apply(struct reader_image *image, const struct record_event *event) {
    struct record_header *header = &image->header;
    if (!is_in_use(image, event->node))
        return;
    struct record_node *node = &image->nodes[event->node];
    bool is_free = event->slack_flags & RECORD_EVENT_FREE;
    int64_t size = (int64_t)event->size, slack = event->slack_flags >> RECORD_EVENT_FLAG_BITS;
    int64_t change = is_free ? (int64_t) - (uint64_t)size : size;
    if (header->current_node != event->node)
        move_to(image, event->node);
    change_node(image, node, change);
    add(&header->slack_live, is_free ? -slack : slack);
    add(&header->heap_live, change);
    if (header->heap_live > header->heap_peak) {
        header->heap_peak = header->heap_live;
        header->slack_at_peak = header->slack_live;
        header->peak_seq++;
    }
    if (!is_free) {
        node->allocated_bytes += event->size;
        node->allocations++;
        raise_to(&node->heap_high, header->heap_live);
        header->allocated_bytes += event->size;
        header->allocations++;
        return;
    }
    node->temporary += (event->slack_flags & RECORD_EVENT_TEMPORARY) != 0;
    if (is_in_use(image, event->freeing)) {
        image->nodes[event->freeing].freed_bytes += event->size;
        image->nodes[event->freeing].frees++;
    }
    header->freed_bytes += event->size;
    header->frees++;
}

// A flush that is half done becomes one that has not begun, or is done. See record_format.h.
static void settle_flush(struct reader_image *image) {
    const struct record_header *header = &image->header;
    if (!is_in_use(image, header->flushing))
        return;
    struct record_node *node = &image->nodes[header->flushing];
    if (header->flushing != header->current_node) {
        node->segment_net = node->segment_high = 0;
        return;
    }
    if (node->parent)
        image->nodes[node->parent].segment_net = header->flushed.parent_net;
    struct record_frame *frame = &image->frames[node->frame];
    if (node->frame && node->flags & RECORD_NODE_OUTERMOST_FRAME)
        frame->account.total_live = header->flushed.frame_live;
    if (node->frame && node->flags & RECORD_NODE_OUTERMOST_FUNCTION)
        image->functions[frame->function].account.total_live = header->flushed.function_live;
}

void reader_replay(struct reader_image *image, const struct record_journal *journals, uint32_t count) {
    settle_flush(image);
    struct record_header *header = &image->header;
    for (uint32_t i = 1; i < count; i++) {
        const struct record_journal *journal = &journals[i];
        const uint64_t peak_seq = header->peak_seq;
        for (uint32_t k = journal->applied; k < journal->count && k < RECORD_JOURNAL_EVENTS; k++)
            apply(image, &journal->events[k]);
        if (header->peak_seq != peak_seq)
            header->peak_ns =
                journal->since > header->start_monotonic_ns ? journal->since - header->start_monotonic_ns : 0;
    }
}
