// SPDX-License-Identifier: MIT
//
// How each process of a recording ended: from its own file, from the processes that waited for it, from the
// images that came after it, and from /proc when it may still be running.

#ifndef PEAKLINE_ENDING_H
#define PEAKLINE_ENDING_H

#include "reporter/model.h"

// Fills in end, exit_code, signal and duration of every process. The processes are in the order of the
// recording's images (pid, then image).
void ending_find(struct model_process *processes, size_t count);

#endif
