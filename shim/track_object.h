// SPDX-License-Identifier: MIT
//
// Blocks of Python's object allocator (python/objects.c), with the guard held.
//
// Objects come and go by the million, so the ordinary case is a path of its own through all that an event
// takes, inline in the hook: a stack that is the one of the event before, a slot of memory where the thread
// has been lately, a journal that has begun. Whatever else it meets, it leaves as it was, to a function that
// can do everything.

#ifndef PEAKLINE_TRACK_OBJECT_H
#define PEAKLINE_TRACK_OBJECT_H

#include "shim/journal.h"
#include "shim/live.h"
#include "shim/owner.h"
#include "shim/stack.h"

// The same as the two below in any case, once until_sample has been counted down.
void track_object_alloc_any(struct thread *thread, void *block, size_t size, const void *frame);
void track_object_free_any(struct thread *thread, void *block, const void *frame);

// Once in a while, after an event; `due`: the journal is to be flushed.
void track_done_any(struct thread *thread, bool due);

// Whether this event's cost is to be measured.
static inline bool track_is_sample(struct thread *thread) {
    return shim_unlikely(--thread->until_sample == 0);
}

// Events have an object's slack as pymalloc's size classes make it.
static inline uint32_t track_object_slack(size_t size) {
    return (uint32_t)(-size & 15) << RECORD_EVENT_FLAG_BITS;
}

// A new block. One that the inner malloc has recorded already is left as it is.
static inline __attribute__((always_inline)) void track_object_alloc(struct thread *thread, void *block,
                                                                     size_t size, const void *frame) {
    const uintptr_t address = (uintptr_t)block;
    struct journal *journal = thread->journal;
    if (shim_unlikely(thread->paused) || track_is_sample(thread) || !journal_enter(journal)) {
        track_object_alloc_any(thread, block, size, frame);
        return;
    }
    const struct stack_place *sure = stack_sure(thread);
    uint32_t *slot = live_known_slot(thread, address);
    if (shim_unlikely(!sure || !slot || !journal_takes(journal, size) || size >= LIVE_ASIDE)) {
        journal_leave(journal);
        track_object_alloc_any(thread, block, size, frame);
        return;
    }
    bool due = false;
    const uint32_t present = __atomic_load_n(slot, __ATOMIC_RELAXED);
    uint32_t *free = slot;
    if (shim_unlikely(present != 0))
        free = live_empty_beside(thread, slot, present, address, size);
    if (shim_likely(free != NULL)) { // else malloc has recorded it
        thread->last_block = address;
        due = journal_take(journal, (struct record_event){
                                        .size = size,
                                        .node = sure->node,
                                        .owner = sure->owner,
                                        .slack_flags = track_object_slack(size),
                                    });
        // As in track_record.
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        live_fill(free, address, sure->owner, size, true);
    } else if (shim_unlikely((present & LIVE_OBJECT) || !live_is_of(present, address))) {
        journal_leave(journal); // an object whose end was not seen, or a neighbour
        track_object_alloc_any(thread, block, size, frame);
        return;
    }
    journal_leave(journal);
    if (shim_unlikely(due || thread->attention))
        track_done_any(thread, due);
}

// Before the real free. A block that is not on the books as an object is left as it is.
static inline __attribute__((always_inline)) void track_object_free(struct thread *thread, void *block,
                                                                    const void *frame) {
    const uintptr_t address = (uintptr_t)block;
    struct journal *journal = thread->journal;
    if (track_is_sample(thread) || !journal_enter(journal)) {
        track_object_free_any(thread, block, frame);
        return;
    }
    const struct stack_place *sure = stack_sure(thread);
    uint32_t *slot = live_known_slot(thread, address);
    uint32_t value = slot ? __atomic_load_n(slot, __ATOMIC_RELAXED) : 0;
    const bool beside = value && !live_is_of(value, address);
    if (shim_unlikely(beside)) {
        slot = live_known_beside(thread, slot, value, address);
        value = slot ? __atomic_load_n(slot, __ATOMIC_RELAXED) : 0;
    }
    const size_t size = value & LIVE_ASIDE;
    const uint32_t owner = (value & ~LIVE_OBJECT) >> LIVE_OWNER_SHIFT;
    const uint32_t node = owner_present_node(owner);
    if (shim_unlikely(!sure || !(value & LIVE_OBJECT) || size == LIVE_ASIDE ||
                      !journal_takes(journal, size) || !node)) {
        journal_leave(journal);
        track_object_free_any(thread, block, frame);
        return;
    }
    if (shim_unlikely(size <= LIVE_TINY) && !beside)
        live_empty_tiny(slot, live_known_shift(thread, address));
    else
        __atomic_store_n(slot, 0, __ATOMIC_RELAXED);
    uint32_t flags = RECORD_EVENT_FREE;
    if (thread->last_block == address) {
        thread->last_block = 0;
        flags |= RECORD_EVENT_TEMPORARY;
    }
    const bool due = journal_take(journal, (struct record_event){
                                               .size = size,
                                               .node = node,
                                               .owner = owner,
                                               .freeing = sure->node,
                                               .slack_flags = track_object_slack(size) | flags,
                                           });
    journal_leave(journal);
    if (shim_unlikely(due || thread->attention))
        track_done_any(thread, due);
}

#endif
