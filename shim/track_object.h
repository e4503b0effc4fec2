// SPDX-License-Identifier: MIT
//
// Blocks of Python's object allocator (python/objects.c), with the guard held.
//
// Objects come and go by the million, so the ordinary case is a path of its own through all that an event
// takes, inline in the hook and without a call: a stack that is the one of the event before, a slot of memory
// where the thread has been lately, a journal that has begun. Whatever else it meets, it leaves as it was, to
// a function that can do everything.

#ifndef PEAKLINE_TRACK_OBJECT_H
#define PEAKLINE_TRACK_OBJECT_H

#include "shim/journal.h"
#include "shim/live.h"
#include "shim/owner.h"
#include "shim/stack.h"

enum track_quick {
    TRACK_NOT,    // it is no ordinary case: nothing has been done
    TRACK_DONE,   // the event is noted
    TRACK_ATTEND, // likewise, and track_done_any is to be called,
    TRACK_FLUSH   // with `due`
};

// A new block. One that the inner malloc has recorded already is left as it is.
static inline enum track_quick track_object_alloc_quick(struct thread *thread, void *block, size_t size,
                                                        enum frames_kind kind);

// Before the real free. A block that is not on the books as an object is left as it is.
static inline enum track_quick track_object_free_quick(struct thread *thread, void *block,
                                                       enum frames_kind kind);

// The end of a block that has been taken off the books (track_object_detach).
static inline enum track_quick track_object_freed_quick(struct thread *thread, const void *block,
                                                        const struct live_block *old, enum frames_kind kind);

// An object begins in memory that the interpreter had set aside when another one ended (a free list): if that
// is on the books, the old one was freed there, and this one is allocated. Not where objects are sampled.
static inline enum track_quick track_object_reused_quick(struct thread *thread, void *block,
                                                         enum frames_kind kind);

// The same in any case, after those have said TRACK_NOT.
void track_object_alloc_any(struct thread *thread, void *block, size_t size, const void *frame);
void track_object_free_any(struct thread *thread, void *block, const void *frame);
void track_object_reused_any(struct thread *thread, void *block, const void *frame);

// The same from the beginning, for all that comes less often than the OBJ domain's malloc and free.
void track_object_alloc(struct thread *thread, void *block, size_t size, const void *frame);
void track_object_free(struct thread *thread, void *block, const void *frame);

// Once in a while, after an event; `due`: the journal is to be flushed.
void track_done_any(struct thread *thread, bool due);

// Events have an object's slack as pymalloc's size classes make it.
static inline uint32_t track_object_slack(size_t size) {
    return (uint32_t)(-size & 15) << RECORD_EVENT_FLAG_BITS;
}

// After the event.
static inline enum track_quick track_object_noted(struct thread *thread, bool due) {
    thread->until_sample--;
    return shim_unlikely(due) ? TRACK_FLUSH : shim_unlikely(thread->attention) ? TRACK_ATTEND : TRACK_DONE;
}

static inline enum track_quick track_object_leave(struct journal *journal, enum track_quick quick) {
    journal_leave(journal);
    return quick;
}

// The slot is empty. Whether the journal is to be flushed.
static inline __attribute__((always_inline)) bool track_object_note_alloc(struct thread *thread,
                                                                          uint32_t *slot, uintptr_t address,
                                                                          size_t size,
                                                                          const struct stack_place *sure) {
    thread->last_block = address;
    const bool due = journal_take(thread->journal, (struct record_event){
                                                       .size = size,
                                                       .node = sure->node,
                                                       .owner = sure->owner,
                                                       .slack_flags = track_object_slack(size),
                                                   });
    // As in track_record.
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    live_fill(slot, address, sure->owner, size, true);
    return due;
}

// Each condition has its own way out, so that what is ordinary comes in a row.
static inline __attribute__((always_inline)) enum track_quick
track_object_alloc_quick(struct thread *thread, void *block, size_t size, enum frames_kind kind) {
    const uintptr_t address = (uintptr_t)block;
    struct journal *journal = thread->journal;
    if (shim_unlikely(thread->paused) || shim_unlikely(thread->until_sample <= 1) ||
        shim_unlikely(!journal_enter(journal)))
        return TRACK_NOT;
    const struct stack_place *sure = stack_sure(thread, kind);
    if (shim_unlikely(!sure))
        return track_object_leave(journal, TRACK_NOT);
    const struct live_slot place = live_known_slot(thread, address);
    if (shim_unlikely(!place.slot) || shim_unlikely(!live_is_large_enough(place.part, size)) ||
        shim_unlikely(size > LIVE_POOLED) || shim_unlikely(!journal_takes(journal, size)))
        return track_object_leave(journal, TRACK_NOT);
    const uint32_t present = __atomic_load_n(place.slot, __ATOMIC_RELAXED);
    uint32_t *free = place.slot;
    if (shim_unlikely(present != 0)) {
        free = live_empty_beside(&place, present, address, size);
        // An object whose end was not seen, or a neighbour; else malloc has recorded it.
        if (!free)
            return track_object_leave(
                journal, (present & LIVE_OBJECT) || !live_is_of(present, address) ? TRACK_NOT : TRACK_DONE);
    }
    thread->last_begun = 0;
    const bool due = track_object_note_alloc(thread, free, address, size, sure);
    journal_leave(journal);
    return track_object_noted(thread, due);
}

// `event` lacks its flags. Leaves the journal.
static inline __attribute__((always_inline)) enum track_quick
track_object_note_free(struct thread *thread, uintptr_t address, struct record_event event) {
    struct journal *journal = thread->journal;
    event.slack_flags = track_object_slack(event.size) | RECORD_EVENT_FREE;
    if (shim_unlikely(thread->last_block == address)) {
        thread->last_block = thread->last_begun = 0;
        event.slack_flags |= RECORD_EVENT_TEMPORARY;
    }
    const bool due = journal_take(journal, event);
    journal_leave(journal);
    return track_object_noted(thread, due);
}

static inline __attribute__((always_inline)) enum track_quick
track_object_free_quick(struct thread *thread, void *block, enum frames_kind kind) {
    const uintptr_t address = (uintptr_t)block;
    struct journal *journal = thread->journal;
    if (shim_unlikely(thread->until_sample <= 1) || shim_unlikely(!journal_enter(journal)))
        return TRACK_NOT;
    const struct stack_place *sure = stack_sure(thread, kind);
    if (shim_unlikely(!sure))
        return track_object_leave(journal, TRACK_NOT);
    const struct live_slot place = live_known_slot(thread, address);
    uint32_t *slot = place.slot;
    if (shim_unlikely(!slot))
        return track_object_leave(journal, TRACK_NOT);
    uint32_t value = __atomic_load_n(slot, __ATOMIC_RELAXED);
    const bool beside = value && !live_is_of(value, address);
    if (shim_unlikely(beside)) {
        slot = live_known_beside(&place, value, address);
        if (!slot)
            return track_object_leave(journal, TRACK_NOT);
        value = __atomic_load_n(slot, __ATOMIC_RELAXED);
    }
    const size_t size = value & LIVE_ASIDE;
    if (shim_unlikely(!(value & LIVE_OBJECT)) || shim_unlikely(size == LIVE_ASIDE) ||
        shim_unlikely(!journal_takes(journal, size)))
        return track_object_leave(journal, TRACK_NOT);
    const uint32_t owner = (value & ~LIVE_OBJECT) >> LIVE_OWNER_SHIFT;
    const uint32_t node = owner_present_node(owner);
    if (shim_unlikely(!node))
        return track_object_leave(journal, TRACK_NOT);
    if (shim_unlikely(size <= LIVE_TINY) && !beside)
        live_empty_tiny(&place);
    else
        __atomic_store_n(slot, 0, __ATOMIC_RELAXED);
    return track_object_note_free(
        thread, address,
        (struct record_event){.size = size, .node = node, .owner = owner, .freeing = sure->node});
}

static inline __attribute__((always_inline)) enum track_quick
track_object_freed_quick(struct thread *thread, const void *block, const struct live_block *old,
                         enum frames_kind kind) {
    struct journal *journal = thread->journal;
    if (shim_unlikely(thread->until_sample <= 1) || shim_unlikely(!journal_enter(journal)))
        return TRACK_NOT;
    const struct stack_place *sure = stack_sure(thread, kind);
    if (shim_unlikely(!sure))
        return track_object_leave(journal, TRACK_NOT);
    const uint32_t node = owner_present_node(old->owner);
    if (shim_unlikely(!node) || shim_unlikely(!journal_takes(journal, old->size)))
        return track_object_leave(journal, TRACK_NOT);
    return track_object_note_free(
        thread, (uintptr_t)block,
        (struct record_event){.size = old->size, .node = node, .owner = old->owner, .freeing = sure->node});
}

// Other objects than small ones, and those that share a slot, are left to the general way.
static inline __attribute__((always_inline)) enum track_quick
track_object_reused_quick(struct thread *thread, void *block, enum frames_kind kind) {
    const uintptr_t address = (uintptr_t)block;
    struct journal *journal = thread->journal;
    if (shim_unlikely(thread->paused) || shim_unlikely(thread->until_sample <= 1) ||
        shim_unlikely(!journal_enter(journal)))
        return TRACK_NOT;
    const struct live_slot place = live_known_slot(thread, address);
    if (shim_unlikely(!place.slot))
        return track_object_leave(journal, TRACK_NOT);
    const uint32_t value = __atomic_load_n(place.slot, __ATOMIC_RELAXED);
    if (!value)
        return track_object_leave(journal, TRACK_DONE);
    const size_t size = value & LIVE_ASIDE;
    const struct stack_place *sure = stack_sure(thread, kind);
    if (shim_unlikely(!sure) || shim_unlikely(!live_is_of(value, address)) ||
        shim_unlikely(!(value & LIVE_OBJECT)) || shim_unlikely(size <= LIVE_TINY) ||
        shim_unlikely(size == LIVE_ASIDE) || shim_unlikely(!journal_takes(journal, 2 * size)))
        return track_object_leave(journal, TRACK_NOT);
    const uint32_t owner = (value & ~LIVE_OBJECT) >> LIVE_OWNER_SHIFT, node = owner_present_node(owner);
    if (shim_unlikely(!node))
        return track_object_leave(journal, TRACK_NOT);
    // As track_given_up and track_record do.
    __atomic_store_n(place.slot, 0, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    journal_take(journal, (struct record_event){
                              .size = size,
                              .node = node,
                              .owner = owner,
                              .freeing = node,
                              .slack_flags = track_object_slack(size) | RECORD_EVENT_FREE,
                          });
    const bool due = track_object_note_alloc(thread, place.slot, address, size, sure);
    thread->last_begun = address;
    journal_leave(journal);
    return track_object_noted(thread, due);
}

#endif
