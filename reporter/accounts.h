// SPDX-License-Identifier: MIT
//
// What the recording's accounts of frames and functions add to the metrics: peaks, and the sums of what was
// folded.
//
// An entry of the report (a line or a function) is a set of frames. When it is one frame, or all frames of
// one function of the recording, the account is the answer; otherwise each function that is involved
// contributes the smaller of its own account and the sum of its frames' accounts, which is a bound.

#ifndef PEAKLINE_ACCOUNTS_H
#define PEAKLINE_ACCOUNTS_H

#include "reporter/metrics.h"

// Adds what folded nodes held, and fills in the peaks. `line_extra` and `function_extra` are peaks of nodes
// that count as self of an entry although their innermost frame is not part of it (frames of the other
// language).
void accounts_apply(const struct model_process *process, struct metrics *metrics, const int64_t *line_extra,
                    const int64_t *function_extra);

#endif
