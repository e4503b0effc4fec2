// SPDX-License-Identifier: MIT
//
// The timeline of heap, mapped and resident bytes: a bounded number of points, whose resolution halves when
// full. Also keeps shim.now_ns, the time as of the last look at the clock. Callers hold shim.lock.

#ifndef PEAKLINE_TIMELINE_H
#define PEAKLINE_TIMELINE_H

#include <stdbool.h>

// After every event; `raised`: it raised the process's peak.
void timeline_event(bool raised);

// Closes the present interval.
void timeline_now(void);

#endif
