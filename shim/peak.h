// SPDX-License-Identifier: MIT
//
// High-water arithmetic: what an event does to the process's peak, to its node's, and to the inclusive peaks
// of the lines and functions on the node's path. Pure: works on the records it is given, calls nothing.
//
// Units are bytes. Callers serialise events (shim.lock). The rules are those of record_format.h; they are
// exact for any sequence of events, whichever threads made them.
//
// Inclusive peaks cost nothing per event and little per change of node: segments are pending only on the
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

// Live bytes of `node` change by `change`, and usable minus requested bytes by `slack`. True when that raised
// the process's peak.
bool peak_event(const struct peak_books *books, uint32_t node, int64_t change, int64_t slack);

// Brings every pending segment to its accounts; afterwards no node is current.
void peak_flush(const struct peak_books *books);

// The node's bytes at the process's peak.
static inline int64_t peak_saved(const struct record_header *header, const struct record_node *node) {
    return node->saved_seq == header->peak_seq ? node->saved : node->live;
}

#endif
