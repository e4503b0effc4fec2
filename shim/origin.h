// SPDX-License-Identifier: MIT
//
// Which line of the program a thread is started by. What a thread allocates counts for the places in its own
// stack; where that is a library's (a pool that a function of pandas starts), none of these is the program's,
// whose own line would say nothing of it. So beside them it counts for the line that started the thread, as a
// frame of its own (RECORD_THREADS).

#ifndef PEAKLINE_ORIGIN_H
#define PEAKLINE_ORIGIN_H

#include "shim/shim.h"

// The frame for a thread that the calling one starts now: of the innermost line of the program's own Python
// code; where there is none, the one that the calling thread was started by. 0: neither. With the guard
// held; takes shim.lock.
uint32_t origin_find(struct thread *thread);

#endif
