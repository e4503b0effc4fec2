// SPDX-License-Identifier: MIT
//
// The table of live blocks (live.h) where Python's objects are: fewer slots.
//
// pymalloc takes memory in arenas of 1 MiB, and cuts these into pools of 16 KiB, which are of objects of one
// size each (Python 3.10 and later). With a slot for each 32 bytes, most would stay empty between others. So
// the slots of such a part are for 64 to 512 bytes, as its objects are.
// Where address space is short (config.scarce), they are as everywhere.
//
// All with the GIL.

#ifndef PEAKLINE_LIVE_ARENA_H
#define PEAKLINE_LIVE_ARENA_H

#include "shim/live.h"

// pymalloc has taken an arena, or is about to give it back; no object is in it.
void live_arena_begin(struct thread *thread, const void *arena, size_t size);
void live_arena_end(const void *arena, size_t size);

// From now on, objects that pymalloc keeps together may be of different sizes for us, since somebody between
// us and it adds to them: parts that are without objects get slots for any. Any thread.
void live_arena_mix(void);

// The block is not large enough for a slot of its part. If that is empty, it gets other slots; else the block
// is to go *aside. False: malloc gives nothing out of an arena, or recording has been given up.
bool live_arena_settle(struct live_leaf *leaf, uintptr_t address, const struct live_block *block,
                       bool *aside);

#endif
