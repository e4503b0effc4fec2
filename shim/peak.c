// SPDX-License-Identifier: MIT
//
// The active path: see peak.h and record_format.h.

#include "shim/peak.h"

// Hands the current node's segment to its accounts and to its parent, which is the current one then. The
// process may end at any store of this: record_format.h says how it is completed then.
static inline void peak_flush_node(const struct peak_books *books) {
    struct record_header *header = books->header;
    const uint32_t number = header->current_node;
    struct record_node *node = &books->nodes[number];
    const int64_t net = node->segment_net, high = node->segment_high;
    if (net == 0 && high == 0) {
        header->current_node = node->parent;
        return;
    }
    // Record 0 where there is none.
    struct record_node *parent = &books->nodes[node->parent];
    struct record_frame *frame = &books->frames[node->frame];
    struct record_account *of_frame = &frame->account,
                          *of_function = &books->functions[frame->function].account;
    header->flushed.parent_net = parent->segment_net;
    header->flushed.frame_live = of_frame->total_live;
    header->flushed.function_live = of_function->total_live;
    peak_order();
    header->flushing = number;
    peak_order();
    if (node->frame && node->flags & RECORD_NODE_OUTERMOST_FRAME) {
        peak_raise(&of_frame->total_peak, of_frame->total_live + high);
        of_frame->total_live += net;
    }
    if (node->frame && node->flags & RECORD_NODE_OUTERMOST_FUNCTION) {
        peak_raise(&of_function->total_peak, of_function->total_live + high);
        of_function->total_live += net;
    }
    if (node->parent) {
        peak_raise(&parent->segment_high, parent->segment_net + high);
        parent->segment_net += net;
    }
    peak_order();
    header->current_node = node->parent;
    peak_order();
    node->segment_net = 0;
    node->segment_high = 0;
    peak_order();
    header->flushing = 0;
}

void peak_move(const struct peak_books *books, uint32_t to) {
    const struct record_node *nodes = books->nodes;
    struct record_header *header = books->header;
    // Up to the lowest common ancestor, which stays on the active path.
    for (uint32_t above = to; header->current_node && header->current_node != above;) {
        if (nodes[header->current_node].depth >= nodes[above].depth)
            peak_flush_node(books);
        else
            above = nodes[above].parent;
    }
    peak_order();
    header->current_node = to;
}

void peak_flush(const struct peak_books *books) {
    while (books->header->current_node)
        peak_flush_node(books);
}
