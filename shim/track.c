// SPDX-License-Identifier: MIT
//
// From a block to the books: who allocated it (stack.c), where it is kept (live.c), what is to be said about
// it (journal.c).

#include "shim/track.h"
#include "shim/clock.h"
#include "shim/config.h"
#include "shim/journal.h"
#include "shim/mapped.h"
#include "shim/owner.h"
#include "shim/process.h"
#include "shim/real.h"
#include "shim/stack.h"
#include "shim/timeline.h"
#include "shim/tree.h"

#define TRACK_SAMPLE 1024        // events for one measurement of our own cost
#define TRACK_INTERRUPTED 100000 // ns

// Slack as events have it.
static inline uint32_t track_slack(size_t slack) {
    const size_t most = UINT32_MAX >> RECORD_EVENT_FLAG_BITS; // 16 MiB: beyond, it is not known to the byte
    return (uint32_t)(shim_likely(slack <= most) ? slack : most) << RECORD_EVENT_FLAG_BITS;
}

static inline uint64_t track_begin(struct thread *thread) {
    if (shim_likely(thread->until_sample-- > 1))
        return 0;
    thread->until_sample = TRACK_SAMPLE;
    return clock_monotonic();
}

__attribute__((noinline, cold)) static void track_measured(uint64_t since) {
    // What two readings of the clock in a row differ by is the cost of measuring.
    uint64_t end = clock_monotonic(), again = clock_monotonic();
    uint64_t spent = end - since, own = again - end;
    spent = spent > own ? spent - own : 0;
    // One that took so long was interrupted, or did what is done once in a while: it stands for itself alone.
    shim.header->hook_ns += spent < TRACK_INTERRUPTED ? spent * TRACK_SAMPLE : spent;
    shim.header->hook_samples++;
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

// What signal handlers freed while the guard was taken.
__attribute__((noinline, cold)) static void track_settle(struct thread *thread) {
    while (thread->late_head != __atomic_load_n(&thread->late_tail, __ATOMIC_RELAXED)) {
        struct late_free late = thread->late[thread->late_head % THREAD_LATE_FREES];
        __atomic_store_n(&thread->late_head, thread->late_head + 1, __ATOMIC_RELEASE);
        const struct live_block old = {.owner = late.owner, .size = late.size, .usable = late.usable};
        journal_lock(thread);
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
static inline void track_done(struct thread *thread, uint64_t since, bool due) {
    if (shim_unlikely(due))
        journal_flush(thread);
    if (shim_unlikely(since != 0))
        track_measured(since);
    if (shim_unlikely(thread->attention != 0))
        track_attend(thread);
}

// A block that is no ordinary one. The journal is locked. Returns whether it is to be flushed.
__attribute__((noinline)) static bool track_insert(struct thread *thread, void *address, uint32_t node,
                                                   const struct live_block *block) {
    struct live_block stale;
    bool due = false, kept = live_insert(thread, address, block, &stale);
    if (stale.owner) { // its free was not seen
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

static inline __attribute__((always_inline)) void track_record(struct thread *thread, void *address,
                                                               size_t size, size_t usable, bool object,
                                                               const void *frame) {
    if (shim_unlikely(thread->paused))
        return;
    uint64_t since = track_begin(thread);
    thread->last_block = (uintptr_t)address;
    if (shim_unlikely(journal_is_large(thread, size)))
        journal_flush(thread);
    journal_lock(thread);
    const uint32_t node = stack_node(thread, frame), owner = owner_of(node);
    bool due;
    if (shim_likely(
            live_insert_quick(thread, (uintptr_t)address, owner, object ? size : usable - size, object))) {
        const struct record_event event = {
            .size = size,
            .node = node,
            .owner = owner,
            .slack_flags = (uint32_t)(usable - size) << RECORD_EVENT_FLAG_BITS,
        };
        due = journal_note(thread, event);
    } else {
        const struct live_block block = {.owner = owner, .object = object, .size = size, .usable = usable};
        due = track_insert(thread, address, node, &block);
    }
    journal_unlock(thread);
    track_done(thread, since, due);
}

void track_alloc(struct thread *thread, void *address, size_t size, const void *frame) {
    if (shim_likely(address))
        track_record(thread, address, size, live_usable(address, size), false, frame);
}

// A block that has left the live table.
static inline __attribute__((always_inline)) void track_released(struct thread *thread, uintptr_t address,
                                                                 const struct live_block *old,
                                                                 const void *frame, uint64_t since) {
    bool temporary = thread->last_block == address;
    if (temporary)
        thread->last_block = 0;
    if (shim_unlikely(journal_is_large(thread, old->size)))
        journal_flush(thread);
    journal_lock(thread);
    // Frees count where they happen in Python, elsewhere on request.
    uint32_t freeing = shim_unlikely(config.frees || python_found()) ? stack_node(thread, frame) : 0;
    const struct record_event event = track_release(old, freeing, temporary);
    bool due = journal_note(thread, event);
    journal_unlock(thread);
    track_done(thread, since, due);
}

void track_free(struct thread *thread, void *address, const void *frame) {
    uint64_t since = track_begin(thread);
    struct live_block old;
    uint32_t slot = live_detach_quick(thread, (uintptr_t)address);
    if (shim_likely(slot)) {
        old.owner = slot >> LIVE_FIELD_BITS;
        old.usable = real_usable_size(address);
        old.size = old.usable - (slot & LIVE_ASIDE);
    } else if (!live_detach(thread, address, &old)) {
        __atomic_fetch_add(&shim.header->unknown_frees, 1, __ATOMIC_RELAXED);
        return;
    }
    track_released(thread, (uintptr_t)address, &old, frame, since);
}

void track_free_nested(struct thread *thread, void *address) {
    struct live_block old;
    // The side table's lock may be held by this very thread; blocks that are there stay on the books.
    if (thread->generation != shim.generation ||
        thread->late_tail - thread->late_head >
            THREAD_LATE_FREES / 2 || // handlers may interrupt each other here
        !live_detach_simple(address, &old))
        return;
    // One instruction, so a handler that interrupts this one gets another place.
    uint32_t place = __atomic_fetch_add(&thread->late_tail, 1, __ATOMIC_RELAXED);
    thread->late[place % THREAD_LATE_FREES] =
        (struct late_free){.owner = old.owner, .size = old.size, .usable = old.usable};
    thread->attention = 1;
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
    track_released(thread, UINTPTR_MAX, old, frame, 0); // what is resized is not temporary
    track_alloc(thread, address, size, frame);
}

// The node of the present stack, with shim.lock taken.
static uint32_t track_node(struct thread *thread, const void *frame, bool *locked) {
    for (;;) {
        journal_lock(thread);
        uint32_t node = stack_node(thread, frame), epoch = shim.tree_epoch;
        journal_unlock(thread);
        *locked = lock_take(&shim.lock);
        if (shim_likely(epoch == shim.tree_epoch))
            return node;
        lock_drop(&shim.lock, *locked); // folded meanwhile
    }
}

void track_map(struct thread *thread, void *address, size_t length, const void *frame) {
    if (shim_unlikely(thread->paused))
        return;
    bool locked;
    uint32_t node = track_node(thread, frame, &locked);
    mapped_add((uintptr_t)address, length, node);
    timeline_mapped();
    lock_drop(&shim.lock, locked);
}

void track_unmap(struct thread *thread, void *address, size_t length) {
    (void)thread;
    bool locked = lock_take(&shim.lock);
    mapped_remove((uintptr_t)address, length);
    timeline_mapped();
    lock_drop(&shim.lock, locked);
}

void track_remap(struct thread *thread, void *old, size_t old_length, void *address, size_t length,
                 bool kept) {
    (void)thread;
    bool locked = lock_take(&shim.lock);
    uint32_t node = mapped_find((uintptr_t)old);
    if (node) { // else a file's mapping, or one that is not the program's
        if (!kept)
            mapped_remove((uintptr_t)old, old_length);
        mapped_add((uintptr_t)address, length, node);
    }
    lock_drop(&shim.lock, locked);
}

void track_object_alloc(struct thread *thread, void *address, size_t size, const void *frame) {
    if (shim_unlikely(!address))
        return;
    const uint32_t *slot = live_known_slot(thread, (uintptr_t)address);
    if (shim_likely(slot) ? __atomic_load_n(slot, __ATOMIC_RELAXED) != 0 : live_has(thread, address))
        return; // malloc has recorded it
    track_record(thread, address, size, (size + 15) & ~(size_t)15, true, frame);
}

bool track_object_detach(struct thread *thread, void *address, struct live_block *old) {
    uint32_t slot = live_detach_object_quick(thread, (uintptr_t)address);
    if (shim_likely(slot)) {
        size_t size = slot & LIVE_ASIDE;
        *old = (struct live_block){.owner = slot >> LIVE_FIELD_BITS,
                                   .object = true,
                                   .size = size,
                                   .usable = (size + 15) & ~(size_t)15};
        return true;
    }
    return live_detach_object(thread, address, old);
}

void track_object_freed(struct thread *thread, void *address, const struct live_block *old,
                        const void *frame) {
    track_released(thread, (uintptr_t)address, old, frame, track_begin(thread));
}

void track_tick(void) {
    bool locked = lock_take(&shim.lock);
    journal_apply_all();
    timeline_now();
    lock_drop(&shim.lock, locked);
}
