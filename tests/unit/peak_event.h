// SPDX-License-Identifier: MIT
//
// A run of one event.

#ifndef PEAKLINE_TEST_PEAK_EVENT_H
#define PEAKLINE_TEST_PEAK_EVENT_H

#include "shim/peak.h"

static inline bool peak_event(const struct peak_books *books, uint32_t node, int64_t change, int64_t slack) {
    struct peak_run run = PEAK_RUN_NONE;
    if (change >= 0)
        peak_add(&run, change, slack);
    else
        peak_subtract(&run, -change, -slack);
    return peak_apply(books, node, &run);
}

#endif
