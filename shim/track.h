// SPDX-License-Identifier: MIT
//
// The one place that decides what an allocation or a free means. Hooks call it with the guard held.
//
// `frame` is the frame address of any function of the shim on the way to the host: where stacks start.
// errno is preserved. Failure is counted in the recording, never shown to the host.

#ifndef PEAKLINE_TRACK_H
#define PEAKLINE_TRACK_H

#include "shim/live.h"
#include "shim/shim.h"

// While thread->paused, new blocks and mappings are not recorded; those that were recorded before leave the
// books as ever, which is also what a realloc is for them.

// A new block of the malloc family. NULL is ignored.
void track_alloc(struct thread *thread, void *block, size_t size, const void *frame);

// Before the real free: the block leaves the books.
void track_free(struct thread *thread, void *block, const void *frame);

// As track_free, in a thread whose guard is taken already: accounted later by the owner of the guard.
void track_free_nested(struct thread *thread, void *block);

// Before the real realloc; true: call exactly one of the next two after it.
bool track_detach(struct thread *thread, void *block, struct live_block *old);
void track_restore(struct thread *thread, void *block, const struct live_block *old);
void track_realloc(struct thread *thread, const struct live_block *old, void *block, size_t size,
                   const void *frame);

// Anonymous memory. What is done between track_hold and track_let_go is one step for other threads: the real
// call, which may free a range that another one gets in the next moment, and what it means for the books. A
// call that fails means nothing.
struct track_hold {
    enum lock_got locked;
    uint32_t node; // of the present stack; 0 = nothing is to be recorded
};

// `frame` NULL: nothing new is to be recorded.
struct track_hold track_hold(struct thread *thread, const void *frame);
void track_let_go(const struct track_hold *hold);

// The range was mapped, and is the node's; or, without a node, is nobody's any more.
void track_mapped(const struct track_hold *hold, void *address, size_t length);

// `kept`: the old range is still there.
void track_remapped(const struct track_hold *hold, void *old, size_t old_length, void *address, size_t length,
                    bool kept);

// Blocks of Python's object allocator come and go in track_object.h. The same in two steps, before and after
// a real realloc that succeeded; track_restore after one that did not.
bool track_object_detach(struct thread *thread, void *block, struct live_block *old);
void track_object_freed(struct thread *thread, void *block, const struct live_block *old, const void *frame);

// Small objects where they are sampled (size <= SAMPLING_LARGEST): one that was chosen; and, after
// track_object_detach, its end. Of the others nothing is known. `address` NULL: it is not temporary in any
// case.
void track_sampled(struct thread *thread, void *address, size_t size, const void *frame);
void track_sampled_freed(struct thread *thread, const void *address, const struct live_block *old,
                         const void *frame);

// Another object begins in the block's memory (track_object.h): if it is on the books, it is not any more.
void track_sampled_reused(struct thread *thread, void *address);

// Applies what all threads have noted, reads the clock and adds to the timeline: at the end of the process.
void track_tick(void);

#endif
