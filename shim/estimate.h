// SPDX-License-Identifier: MIT
//
// The books of sampled objects: each stands for several (sampling.h). Their estimated bytes and counts go
// where those of other blocks go; how far off they may be is kept beside, for the process and for each line
// and function on whose stacks objects were sampled (struct record_estimate).
//
// Samples are rare. So they do not pass through a journal but are applied at once, each with a walk up its
// path, and nothing here is paid for by programs whose objects are not sampled.
//
// Callers hold shim.lock and have applied what their own thread has noted (journal_apply_own). Failure: a
// line without room for its record has no error; that is counted in the recording.

#ifndef PEAKLINE_ESTIMATE_H
#define PEAKLINE_ESTIMATE_H

#include "shim/shim.h"

// False: no memory. Once, before anything is sampled.
bool estimate_open(void);

// An object of `size` bytes (sampling.h) was sampled at the node; it is in the live table with that owner.
void estimate_alloc(uint32_t node, uint32_t owner, size_t size);

// It was freed. `freeing`: the node that does, or 0; or ESTIMATE_OWN: the lines that had allocated it.
#define ESTIMATE_OWN UINT32_MAX
void estimate_free(uint32_t owner, size_t size, uint32_t freeing, bool temporary);

// The frame's number is about to be used again.
void estimate_drop(uint32_t frame);

static inline void estimate_forget(uint32_t frame) {
    if (shim_unlikely(shim.frame_estimates != NULL))
        estimate_drop(frame);
}

#endif
