// SPDX-License-Identifier: MIT
//
// Standard errors of what was estimated from samples, from the variances that the shim kept for lines and
// functions (struct record_estimate).
//
// An entry of the report that is one frame, or all of a function, has its variances to the letter. Where
// several frames make up an entry (a line with code of its own, as a lambda; an inlined function), their
// variances are added, which is too much if one calls the other; and that of its peak is the most it can be:
// that of all that was allocated, or, as a sample stands for sampling_bytes of objects, sampling_bytes times
// the peak.

#ifndef PEAKLINE_ERRORS_H
#define PEAKLINE_ERRORS_H

#include "reporter/metrics.h"

// After the peaks are known.
void errors_apply(const struct model_process *process, struct metrics *metrics);

// Of the process as a whole: its peak is the heap's.
struct metrics_variance errors_of_process(const struct model_process *process);

// The square root, rounded to the nearest integer.
uint64_t errors_standard(double variance);

#endif
