// SPDX-License-Identifier: MIT
//
// From a block to the books: who allocated it (stack.c), where it is kept (live.c), what is to be said about
// it (journal.c).

#include "shim/track.h"
#include "shim/clock.h"
#include "shim/config.h"
#include "shim/estimate.h"
#include "shim/former.h"
#include "shim/hash.h"
#include "shim/journal.h"
#include "shim/mapped.h"
#include "shim/owner.h"
#include "shim/process.h"
#include "shim/real.h"
#include "shim/sampling.h"
#include "shim/stack.h"
#include "shim/timeline.h"
#include "shim/track_object.h"
#include "shim/tree.h"

#define TRACK_SAMPLE 1024        // events for one measurement of our own cost, on average; a power of two
#define TRACK_INTERRUPTED 100000 // ns

// Slack as events have it.
static inline uint32_t track_slack(size_t slack) {
    const size_t most = UINT32_MAX >> RECORD_EVENT_FLAG_BITS; // 16 MiB: beyond, it is not known to the byte
    return (uint32_t)(shim_likely(slack <= most) ? slack : most) << RECORD_EVENT_FLAG_BITS;
}

// ---- our own cost ----
//
// One event in TRACK_SAMPLE is measured, by functions that others take as well: a copy that runs once in a
// while would be slower, by waits for its code and branches that nothing predicts. The hook and its guard are
// left out, and so is what samples of objects cost (track_sampled).

// Whether this event's cost is to be measured.
static inline bool track_is_sample(struct thread *thread) {
    return shim_unlikely(--thread->until_sample == 0);
}

// The next one is drawn, so that the measurements keep no time with what recurs: journals that are full.
static uint64_t track_measure(struct thread *thread) {
    const uint64_t now = clock_monotonic();
    thread->until_sample = TRACK_SAMPLE / 2 + (uint32_t)hash_mix(now) % TRACK_SAMPLE;
    return now;
}

static void track_measured(uint64_t since) {
    // What two readings of the clock in a row differ by is the cost of measuring.
    uint64_t end = clock_monotonic(), again = clock_monotonic();
    uint64_t spent = end - since, own = again - end;
    spent = spent > own ? spent - own : 0;
    // One that took so long was interrupted, or did what is done once in a while: it stands for itself alone.
    shim.header->hook_ns += spent < TRACK_INTERRUPTED ? spent * TRACK_SAMPLE : spent;
    shim.header->hook_samples++;
}

typedef void track_alloc_function(struct thread *thread, void *address, size_t size, const void *frame);
typedef void track_free_function(struct thread *thread, void *address, const void *frame);

__attribute__((noinline, cold)) static void track_alloc_measured(track_alloc_function *alloc,
                                                                 struct thread *thread, void *address,
                                                                 size_t size, const void *frame) {
    const uint64_t since = track_measure(thread);
    alloc(thread, address, size, frame);
    track_measured(since);
}

__attribute__((noinline, cold)) static void
track_free_measured(track_free_function *release, struct thread *thread, void *address, const void *frame) {
    const uint64_t since = track_measure(thread);
    release(thread, address, frame);
    track_measured(since);
}

// What pymalloc's size classes give.
static inline size_t track_object_usable(size_t size) {
    return (size + 15) & ~(size_t)15;
}

// Whether it stands for others (sampling.h).
static inline bool track_is_estimated(const struct live_block *block) {
    return block->object && block->size <= SAMPLING_LARGEST && config.objects == RECORD_OBJECTS_SAMPLED;
}

// A block's end cannot be noted: it stands for others, or its node was folded (former.h). The latter is to be
// asked with the journal locked.
static inline bool track_is_special(const struct live_block *block) {
    return track_is_estimated(block) || owner_is_former(block->owner);
}

// A block has left the live table, to be accounted after the present event. Also in signal handlers.
static void track_later(struct thread *thread, const struct live_block *old) {
    // One instruction, so a handler that interrupts this one gets another place.
    uint32_t place = __atomic_fetch_add(&thread->late_tail, 1, __ATOMIC_RELAXED);
    thread->late[place % THREAD_LATE_FREES] = (struct late_free){
        .owner = old->owner, .size = old->size, .usable = old->usable, .object = old->object};
    thread->attention = 1;
}

static inline bool track_has_room_for_later(const struct thread *thread) {
    return thread->late_tail - thread->late_head <=
           THREAD_LATE_FREES / 2; // handlers may interrupt each other here
}

// A block's end, for the journal. The journal is locked.
static inline struct record_event track_release(const struct live_block *old, uint32_t freeing,
                                                bool temporary) {
    return (struct record_event){
        .size = old->size,
        .node = owner_node(old->owner),
        .owner = old->owner,
        .freeing = freeing,
        .slack_flags = track_slack(old->usable - old->size) | RECORD_EVENT_FREE |
                       (temporary ? RECORD_EVENT_TEMPORARY : 0),
    };
}

// The node of the present stack, and the owner of what is allocated there. The journal is locked.
static inline __attribute__((always_inline)) uint32_t track_place(struct thread *thread, const void *frame,
                                                                  uint32_t *owner) {
    const struct stack_place *sure = stack_sure(thread, FRAMES_ANY);
    if (sure) {
        *owner = sure->owner;
        return sure->node;
    }
    uint32_t node = stack_find(thread, frame);
    *owner = owner_of(node);
    return node;
}

// The node of the present stack, with shim.lock taken; *locked: LOCK_REFUSED where it is not.
static uint32_t track_node(struct thread *thread, const void *frame, enum lock_got *locked) {
    for (;;) {
        journal_lock(thread);
        uint32_t owner, node = track_place(thread, frame, &owner), epoch = shim.tree_epoch;
        journal_unlock(thread);
        *locked = lock_take(&shim.lock);
        if (shim_likely(epoch == shim.tree_epoch) || *locked == LOCK_REFUSED)
            return node;
        lock_drop(&shim.lock, *locked); // folded meanwhile
    }
}

// An end that is applied at once: see track_is_special. `freeing` as in estimate_free. With shim.lock held.
static void track_apply_free(struct thread *thread, const struct live_block *old, uint32_t freeing,
                             bool temporary) {
    journal_apply_own(thread); // it comes after what the thread has noted
    if (track_is_estimated(old)) {
        estimate_free(old->owner, old->size, freeing, temporary);
    } else {
        const bool own = freeing == ESTIMATE_OWN;
        const struct record_event event =
            track_release(old, own ? owner_node(old->owner) : freeing, temporary);
        journal_free_former(&event, own);
    }
    timeline_look();
}

__attribute__((noinline, cold)) static void
track_freed_at_once(struct thread *thread, const struct live_block *old, bool temporary, const void *frame) {
    enum lock_got locked;
    uint32_t freeing = 0;
    if (frame && (config.frees || python_found()))
        freeing = track_node(thread, frame, &locked);
    else
        locked = lock_take(&shim.lock);
    if (locked == LOCK_REFUSED)
        return;
    track_apply_free(thread, old, freeing, temporary);
    lock_drop(&shim.lock, locked);
}

// What signal handlers freed while the guard was taken.
__attribute__((noinline, cold)) static void track_settle(struct thread *thread) {
    while (thread->late_head != __atomic_load_n(&thread->late_tail, __ATOMIC_RELAXED)) {
        struct late_free late = thread->late[thread->late_head % THREAD_LATE_FREES];
        // Empty again, should a handler not come to its end while it fills it.
        thread->late[thread->late_head % THREAD_LATE_FREES] = (struct late_free){.owner = 0};
        __atomic_store_n(&thread->late_head, thread->late_head + 1, __ATOMIC_RELEASE);
        if (!late.owner)
            continue;
        const struct live_block old = {
            .owner = late.owner, .object = late.object, .size = late.size, .usable = late.usable};
        journal_lock(thread);
        if (track_is_special(&old)) {
            journal_unlock(thread);
            track_freed_at_once(thread, &old, false, NULL);
            continue;
        }
        const struct record_event event = track_release(&old, 0, false);
        bool due = journal_note(thread, event);
        journal_unlock(thread);
        if (due)
            journal_flush(thread);
    }
}

// What is to be done now and then, after an event.
__attribute__((noinline, cold)) static void track_attend(struct thread *thread) {
    thread->attention = 0;
    if (thread->late_head != __atomic_load_n(&thread->late_tail, __ATOMIC_RELAXED))
        track_settle(thread);
    if (thread->ending && thread->stack)
        stack_close(thread); // borrowed
    if (__atomic_load_n(&shim.modules_new, __ATOMIC_RELAXED))
        process_poll();
}

// After each event.
static inline __attribute__((always_inline)) void track_done(struct thread *thread, bool due) {
    if (shim_unlikely(due))
        journal_flush(thread);
    if (shim_unlikely(thread->attention != 0))
        track_attend(thread);
}

void track_done_any(struct thread *thread, bool due) {
    track_done(thread, due);
}

// A block that is no ordinary one. The journal is locked. Returns whether it is to be flushed.
__attribute__((noinline)) static bool track_insert(struct thread *thread, void *address, uint32_t node,
                                                   const struct live_block *block) {
    struct live_block stale;
    bool due = false, kept = live_insert(thread, address, block, &stale);
    if (stale.owner && track_is_special(&stale)) { // its free was not seen
        if (track_has_room_for_later(thread))
            track_later(thread, &stale);
    } else if (stale.owner) {
        const struct record_event event = track_release(&stale, 0, false);
        due = journal_note(thread, event);
    }
    if (!kept) {
        shim_lose(RECORD_LOST_NO_MEMORY);
        return due;
    }
    const struct record_event event = {
        .size = block->size,
        .node = node,
        .owner = block->owner,
        .slack_flags = track_slack(block->usable - block->size),
    };
    return journal_note(thread, event) || due;
}

// `slot`: the block's, where that is known and empty; or NULL.
static inline __attribute__((always_inline)) void track_record(struct thread *thread, void *address,
                                                               uint32_t *slot, size_t size, size_t usable,
                                                               bool object, const void *frame) {
    if (shim_unlikely(journal_is_large(thread, size)))
        journal_flush(thread);
    journal_lock(thread);
    uint32_t owner;
    const uint32_t node = track_place(thread, frame, &owner);
    thread->last_block = (uintptr_t)address;
    thread->last_begun = 0;
    const size_t slack = usable - size;
    bool due;
    if (shim_likely(slot && live_is_ordinary(object ? size : slack))) {
        // First the event, then the slot: should this hook never end in between (guard.c), there is a block
        // that stays for ever, but no free of one that was not counted.
        due = journal_note(thread, (struct record_event){
                                       .size = size,
                                       .node = node,
                                       .owner = owner,
                                       .slack_flags = (uint32_t)slack << RECORD_EVENT_FLAG_BITS,
                                   });
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        live_fill(slot, (uintptr_t)address, owner, object ? size : slack, object);
    } else {
        const struct live_block block = {.owner = owner, .object = object, .size = size, .usable = usable};
        due = track_insert(thread, address, node, &block);
    }
    journal_unlock(thread);
    track_done(thread, due);
}

void track_alloc(struct thread *thread, void *address, size_t size, const void *frame) {
    if (shim_unlikely(!address) || stack_is_paused(thread))
        return;
    if (track_is_sample(thread)) {
        track_alloc_measured(track_alloc, thread, address, size, frame);
        return;
    }
    size_t usable = live_usable(address, size);
    track_record(thread, address, live_empty_slot(thread, (uintptr_t)address, 0), size, usable, false, frame);
}

__attribute__((noinline, cold)) static void track_released_former(struct thread *thread, uint32_t owner,
                                                                  size_t size, size_t slack, bool temporary,
                                                                  const void *frame) {
    const struct live_block old = {.owner = owner, .size = size, .usable = size + slack};
    track_freed_at_once(thread, &old, temporary, frame);
    track_done_any(thread, false);
}

// A block that has left the live table.
static inline __attribute__((always_inline)) void track_released(struct thread *thread, uintptr_t address,
                                                                 uint32_t owner, size_t size, size_t slack,
                                                                 const void *frame) {
    uint32_t flags = RECORD_EVENT_FREE;
    former_fetch(owner); // until the place is known
    if (thread->last_block == address) {
        thread->last_block = thread->last_begun = 0;
        flags |= RECORD_EVENT_TEMPORARY;
    }
    if (shim_unlikely(journal_is_large(thread, size)))
        journal_flush(thread);
    journal_lock(thread);
    // Frees count where they happen in Python, elsewhere on request.
    uint32_t freeing = 0, unused;
    if (config.frees || python_found())
        freeing = track_place(thread, frame, &unused);
    // Not before: to find the place may have taken a folding.
    if (shim_unlikely(owner_is_former(owner))) {
        journal_unlock(thread);
        track_released_former(thread, owner, size, slack, flags & RECORD_EVENT_TEMPORARY, frame);
        return;
    }
    bool due = journal_note(thread, (struct record_event){
                                        .size = size,
                                        .node = owner_node(owner),
                                        .owner = owner,
                                        .freeing = freeing,
                                        .slack_flags = track_slack(slack) | flags,
                                    });
    journal_unlock(thread);
    track_done(thread, due);
}

__attribute__((noinline)) static void track_released_block(struct thread *thread, uintptr_t address,
                                                           const struct live_block *old, const void *frame) {
    track_released(thread, address, old->owner, old->size, old->usable - old->size, frame);
}

// The end of a block that is resized.
static void track_released_resized(struct thread *thread, uintptr_t address, const struct live_block *old,
                                   const void *frame) {
    if (!track_is_sample(thread)) {
        track_released_block(thread, address, old, frame);
        return;
    }
    const uint64_t since = track_measure(thread);
    track_released_block(thread, address, old, frame);
    track_measured(since);
}

void track_free(struct thread *thread, void *address, const void *frame) {
    if (track_is_sample(thread)) {
        track_free_measured(track_free, thread, address, frame);
        return;
    }
    struct live_block old;
    uint32_t slot = live_detach_quick(thread, (uintptr_t)address);
    if (shim_likely(slot)) {
        const size_t usable = real_usable_size(address), slack = slot & LIVE_ASIDE;
        track_released(thread, (uintptr_t)address, slot >> LIVE_OWNER_SHIFT, usable - slack, slack, frame);
    } else if (live_detach(thread, address, &old)) {
        if (shim_unlikely(track_is_estimated(&old)))
            track_sampled_freed(thread, address, &old, frame);
        else
            track_released_block(thread, (uintptr_t)address, &old, frame);
    } else {
        __atomic_fetch_add(&shim.header->unknown_frees, 1, __ATOMIC_RELAXED);
    }
}

void track_free_nested(struct thread *thread, void *address) {
    struct live_block old;
    // The side table's lock may be held by this very thread; blocks that are there stay on the books.
    if (thread->generation == shim.generation && track_has_room_for_later(thread) &&
        live_detach_simple(address, &old))
        track_later(thread, &old);
}

bool track_detach(struct thread *thread, void *address, struct live_block *old) {
    return live_detach(thread, address, old);
}

void track_restore(struct thread *thread, void *address, const struct live_block *old) {
    struct live_block stale;
    if (!live_insert(thread, address, old, &stale))
        shim_lose(RECORD_LOST_NO_MEMORY);
}

void track_realloc(struct thread *thread, const struct live_block *old, void *address, size_t size,
                   const void *frame) {
    if (shim_unlikely(track_is_estimated(old)))
        track_sampled_freed(thread, NULL, old, frame);
    else
        track_released_resized(thread, UINTPTR_MAX, old, frame); // which is not temporary
    track_alloc(thread, address, size, frame);
}

__attribute__((cold)) void track_sampled(struct thread *thread, void *address, size_t size,
                                         const void *frame) {
    if (stack_is_paused(thread) || live_has_block(thread, address))
        return; // malloc has recorded it
    thread->last_block = (uintptr_t)address;
    enum lock_got locked;
    uint32_t node = track_node(thread, frame, &locked);
    if (locked == LOCK_REFUSED)
        return;
    const struct live_block block = {
        .owner = owner_of(node), .object = true, .size = size, .usable = track_object_usable(size)};
    struct live_block stale;
    const bool kept = live_insert(thread, address, &block, &stale);
    journal_apply_own(thread); // it comes after what the thread has noted
    if (kept)
        estimate_alloc(node, block.owner, size);
    else
        shim_lose(RECORD_LOST_NO_MEMORY);
    timeline_look();
    lock_drop(&shim.lock, locked);
    if (stale.owner && track_has_room_for_later(thread)) // its free was not seen
        track_later(thread, &stale);
    if (shim_unlikely(thread->attention != 0))
        track_attend(thread);
}

__attribute__((cold)) void track_sampled_freed(struct thread *thread, const void *address,
                                               const struct live_block *old, const void *frame) {
    bool temporary = address && thread->last_block == (uintptr_t)address;
    if (temporary)
        thread->last_block = 0;
    track_freed_at_once(thread, old, temporary, frame);
}

struct track_hold track_hold(struct thread *thread, const void *frame) {
    struct track_hold hold = {.node = 0};
    if (frame)
        hold.node = track_node(thread, frame, &hold.locked);
    else
        hold.locked = lock_take(&shim.lock);
    return hold;
}

void track_let_go(const struct track_hold *hold) {
    lock_drop(&shim.lock, hold->locked);
}

void track_mapped(const struct track_hold *hold, void *address, size_t length) {
    if (hold->locked == LOCK_REFUSED)
        return;
    shim_begin_update(RECORD_UPDATING_EVENTS);
    if (hold->node)
        mapped_add((uintptr_t)address, length, hold->node);
    else
        mapped_remove((uintptr_t)address, length);
    shim_end_update();
    timeline_look();
}

void track_remapped(const struct track_hold *hold, void *old, size_t old_length, void *address, size_t length,
                    bool kept) {
    if (hold->locked == LOCK_REFUSED)
        return;
    uint32_t node = mapped_find((uintptr_t)old);
    shim_begin_update(RECORD_UPDATING_EVENTS);
    if (node && !kept)
        mapped_remove((uintptr_t)old, old_length);
    if (node)
        mapped_add((uintptr_t)address, length, node);
    else // a file's mapping, or one that is not the program's, perhaps in place of one that was
        mapped_remove((uintptr_t)address, length);
    shim_end_update();
    timeline_look();
}

void track_object_alloc_any(struct thread *thread, void *address, size_t size, const void *frame) {
    if (track_is_sample(thread)) {
        track_alloc_measured(track_object_alloc, thread, address, size, frame);
        return;
    }
    const bool paused = stack_is_paused(thread);
    if (paused || live_has_block(thread, address)) {
        // Else it was malloc's, or has just been noted in realloc.
        if (paused || (size && size <= SAMPLING_LARGEST && thread->last_block != (uintptr_t)address))
            stack_overlooked(thread);
        return;
    }
    track_record(thread, address, live_empty_slot(thread, (uintptr_t)address, size), size,
                 track_object_usable(size), true, frame);
}

void track_object_alloc(struct thread *thread, void *address, size_t size, const void *frame) {
    const enum track_quick quick = track_object_alloc_quick(thread, address, size, FRAMES_ANY);
    if (shim_likely(quick == TRACK_DONE))
        return;
    if (quick == TRACK_NOT)
        track_object_alloc_any(thread, address, size, frame);
    else
        track_done(thread, quick == TRACK_FLUSH);
}

bool track_object_detach(struct thread *thread, void *address, struct live_block *old) {
    return live_detach_object(thread, address, old);
}

void track_object_freed(struct thread *thread, void *address, const struct live_block *old,
                        const void *frame) {
    track_released_resized(thread, (uintptr_t)address, old, frame);
}

// A block that has left the live table, since another object begins in its memory. Where the one that it was
// ended is not known: by the line that made it.
static void track_given_up(struct thread *thread, const struct live_block *old) {
    journal_lock(thread);
    if (!track_is_special(old)) {
        bool due = journal_note(thread, track_release(old, owner_node(old->owner), false));
        journal_unlock(thread);
        track_done(thread, due);
        return;
    }
    journal_unlock(thread);
    enum lock_got locked = lock_take(&shim.lock);
    if (locked == LOCK_REFUSED)
        return;
    track_apply_free(thread, old, ESTIMATE_OWN, false);
    lock_drop(&shim.lock, locked);
}

void track_sampled_reused(struct thread *thread, void *address) {
    struct live_block old;
    if (live_detach_object(thread, address, &old))
        track_given_up(thread, &old);
}

__attribute__((noinline)) void track_object_reused_any(struct thread *thread, void *address,
                                                       const void *frame) {
    if (track_is_sample(thread)) {
        track_free_measured(track_object_reused_any, thread, address, frame);
        return;
    }
    const bool paused = stack_is_paused(thread);
    if (!paused) {
        // Most often it was the stack that was not known yet.
        uint32_t unused;
        journal_lock(thread);
        track_place(thread, frame, &unused);
        journal_unlock(thread);
        const enum track_quick quick = track_object_reused_quick(thread, address, FRAMES_ANY);
        if (quick != TRACK_NOT) {
            track_done(thread, quick == TRACK_FLUSH);
            return;
        }
    }
    struct live_block old;
    if (!live_detach(thread, address, &old))
        return;
    // A program's own pool, which lends memory to objects, goes on being that.
    if (!old.object && old.size > LIVE_POOLED) {
        track_restore(thread, address, &old);
        return;
    }
    track_given_up(thread, &old);
    if (paused)
        return;
    track_record(thread, address, NULL, old.size, old.usable, old.object, frame);
    thread->last_begun = (uintptr_t)address;
}

void track_object_free_any(struct thread *thread, void *address, const void *frame) {
    if (track_is_sample(thread)) {
        track_free_measured(track_object_free, thread, address, frame);
        return;
    }
    struct live_block old;
    if (live_detach_object(thread, address, &old))
        track_released_block(thread, (uintptr_t)address, &old, frame);
}

void track_object_free(struct thread *thread, void *address, const void *frame) {
    const enum track_quick quick = track_object_free_quick(thread, address, FRAMES_ANY);
    if (shim_likely(quick == TRACK_DONE))
        return;
    if (quick == TRACK_NOT)
        track_object_free_any(thread, address, frame);
    else
        track_done(thread, quick == TRACK_FLUSH);
}

void track_tick(void) {
    enum lock_got locked = lock_take(&shim.lock);
    if (locked == LOCK_REFUSED)
        return;
    journal_apply_all();
    timeline_now();
    lock_drop(&shim.lock, locked);
}
