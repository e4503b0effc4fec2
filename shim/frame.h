// SPDX-License-Identifier: MIT
//
// Frames by number: each line of a Python function and each native call site gets one, once. Their records
// are used again when they are forgotten (record_format.h, "Forgetting").
//
// Callers hold shim.lock.

#ifndef PEAKLINE_FRAME_H
#define PEAKLINE_FRAME_H

#include "shim/record_format.h"

#include <stdbool.h>
#include <stdint.h>

// As in struct record_frame. Compared as bytes: no padding.
struct frame_key {
    uint32_t function, line;
    uint64_t offset;
    uint32_t module;
    uint32_t flags; // RECORD_FRAME_EXACT_PC or 0
};

// False: no memory.
bool frame_open(void);

// This function is the program's own: its lines are to be forgotten last. Before it has any.
void frame_own(uint32_t function);

// The frame's number, made when it is new. 0: the recording is full.
uint32_t frame_number(const struct frame_key *key);

// No node has the frame any more: its record is free. Whoever keeps numbers of frames must drop this one.
// `left` of its bytes may be live still. Before the next frame is asked for: frame_refill.
void frame_forget(uint32_t frame, int64_t left);
void frame_refill(void);

// How many bytes may be live still that were left when the frame was forgotten before, as often as that was:
// an upper bound.
int64_t frame_left(const struct record_frame *frame);

#endif
