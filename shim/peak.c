// SPDX-License-Identifier: MIT
//
// The active path: see peak.h and record_format.h.

#include "shim/peak.h"

// Hands the node's segment to its accounts and to its parent.
static inline void peak_flush_node(const struct peak_books *books, struct record_node *node) {
    int64_t net = node->segment_net, high = node->segment_high;
    if (net == 0 && high == 0)
        return;
    if (node->frame) {
        struct record_frame *frame = &books->frames[node->frame];
        if (node->flags & RECORD_NODE_OUTERMOST_FRAME) {
            peak_raise(&frame->account.total_peak, frame->account.total_live + high);
            frame->account.total_live += net;
        }
        if (node->flags & RECORD_NODE_OUTERMOST_FUNCTION) {
            struct record_account *account = &books->functions[frame->function].account;
            peak_raise(&account->total_peak, account->total_live + high);
            account->total_live += net;
        }
    }
    if (node->parent) {
        struct record_node *parent = &books->nodes[node->parent];
        peak_raise(&parent->segment_high, parent->segment_net + high);
        parent->segment_net += net;
    }
    node->segment_net = 0;
    node->segment_high = 0;
}

void peak_move(const struct peak_books *books, uint32_t to) {
    struct record_node *nodes = books->nodes;
    uint32_t from = books->header->current_node;
    books->header->current_node = to;
    if (!from)
        return;
    // Up to the lowest common ancestor, which stays on the active path.
    while (from != to) {
        struct record_node *node = &nodes[from];
        if (node->depth >= nodes[to].depth) {
            peak_flush_node(books, node);
            from = node->parent;
        } else {
            to = nodes[to].parent;
        }
    }
}

void peak_flush(const struct peak_books *books) {
    uint32_t node = books->header->current_node;
    while (node) {
        peak_flush_node(books, &books->nodes[node]);
        node = books->nodes[node].parent;
    }
    books->header->current_node = 0;
}
