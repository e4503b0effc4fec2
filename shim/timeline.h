// SPDX-License-Identifier: MIT
//
// The timeline of heap, mapped and resident bytes: a bounded number of points, whose resolution halves when
// full. Callers hold shim.lock.

#ifndef PEAKLINE_TIMELINE_H
#define PEAKLINE_TIMELINE_H

#include <stdint.h>

// Events have raised the process's peak, the first of which was noted at `since` (coarse clock).
void timeline_raised(uint64_t since);

// Events have been applied, or mappings have changed: adds a point when it is time for one.
void timeline_look(void);

// Resident bytes of this process; 0 = not known. The header's peak is not below it.
uint64_t timeline_resident(void);

// Closes the present interval.
void timeline_now(void);

#endif
