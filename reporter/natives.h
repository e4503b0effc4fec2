// SPDX-License-Identifier: MIT
//
// Which native functions took the memory in a Python program (`run --native`), and for which of the user's
// own lines.

#ifndef PEAKLINE_NATIVES_H
#define PEAKLINE_NATIVES_H

#include "reporter/metrics.h"

struct natives_row {
    uint32_t function;
    uint32_t line; // the user's Python line that was innermost when it allocated most; UINT32_MAX = none
};

// Native functions that allocated inside Python frames: at most `most`, those that held most themselves
// first, and none that held less than a hundredth of the process's peak. `user`: by function, whether it is
// the user's own. Returns an array of *count rows; the caller frees it.
struct natives_row *natives_find(const struct model_process *process, const struct metrics *metrics,
                                 const bool *user, size_t most, size_t *count);

#endif
