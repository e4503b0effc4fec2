// SPDX-License-Identifier: MIT
//
// The timeline of heap, mapped and resident bytes: a bounded number of points, whose resolution halves when
// full. Callers hold shim.lock.

#ifndef PEAKLINE_TIMELINE_H
#define PEAKLINE_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

// A batch of events has been applied, the first of which was noted at `since` (coarse clock); `raised`: they
// raised the process's peak.
void timeline_applied(bool raised, uint64_t since);

// Mappings have changed.
void timeline_mapped(void);

// Resident bytes of this process; 0 = not known. The header's peak is not below it.
uint64_t timeline_resident(void);

// Closes the present interval.
void timeline_now(void);

#endif
