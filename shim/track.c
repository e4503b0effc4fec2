// SPDX-License-Identifier: MIT
//
// From a block to the books: who allocated it (stack.c), where it is kept (live.c), what it does to the peaks
// (peak.c).

#include "shim/track.h"
#include "shim/clock.h"
#include "shim/config.h"
#include "shim/mapped.h"
#include "shim/owner.h"
#include "shim/peak.h"
#include "shim/process.h"
#include "shim/real.h"
#include "shim/stack.h"
#include "shim/timeline.h"
#include "shim/tree.h"

#define TRACK_SAMPLE 1024 // events for one measurement of our own cost

static inline struct peak_books track_books(void) {
    return (struct peak_books){
        .header = shim.header,
        .nodes = shim_node(0),
        .frames = shim_frame(0),
        .functions = shim_function(0),
    };
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
    shim.header->hook_ns += (spent > own ? spent - own : 0) * TRACK_SAMPLE;
    shim.header->hook_samples++;
}

static inline void track_finish(uint64_t since) {
    if (shim_unlikely(since != 0))
        track_measured(since);
}

// The node's live bytes change; the lock is held.
static inline void track_event(uint32_t node, int64_t change, int64_t slack) {
    struct peak_books books = track_books();
    bool raised = peak_event(&books, node, change, slack);
    timeline_event(raised);
}

static void track_settle(struct thread *thread) {
    while (thread->late_head != __atomic_load_n(&thread->late_tail, __ATOMIC_RELAXED)) {
        struct late_free late = thread->late[thread->late_head % THREAD_LATE_FREES];
        __atomic_store_n(&thread->late_head, thread->late_head + 1, __ATOMIC_RELEASE);
        struct record_header *header = shim.header;
        bool locked = lock_take(&shim.lock);
        track_event(owner_drop(late.owner), -(int64_t)late.size, (int64_t)late.size - (int64_t)late.usable);
        header->frees++;
        header->freed_bytes += late.size;
        lock_drop(&shim.lock, locked);
    }
}

static inline void track_allocated(uint32_t node, const struct live_block *block) {
    struct record_header *header = shim.header;
    track_event(node, (int64_t)block->size, (int64_t)(block->usable - block->size));
    struct record_node *at = shim_node(node);
    at->allocated_bytes += block->size;
    at->allocations++;
    if (header->heap_live > at->heap_high)
        at->heap_high = header->heap_live;
    header->allocated_bytes += block->size;
    header->allocations++;
}

// `freeing` is the node that frees, 0 when that is not recorded.
static inline void track_released(const struct live_block *old, uint32_t freeing, bool temporary) {
    struct record_header *header = shim.header;
    uint32_t node = owner_drop(old->owner);
    track_event(node, -(int64_t)old->size, (int64_t)old->size - (int64_t)old->usable);
    if (temporary)
        shim_node(node)->temporary++;
    if (freeing) {
        struct record_node *at = shim_node(freeing);
        at->freed_bytes += old->size;
        at->frees++;
    }
    header->freed_bytes += old->size;
    header->frees++;
}

// The node of the present stack, with the lock taken: what is known before may be folded away by another
// thread.
static inline uint32_t track_node(struct thread *thread, const void *frame, bool *locked) {
    for (;;) {
        uint32_t node = stack_node(thread, frame);
        *locked = lock_take(&shim.lock);
        if (shim_likely(thread->tree_epoch == shim.tree_epoch))
            return node;
        lock_drop(&shim.lock, *locked);
    }
}

// The node that frees, 0 where that is not recorded; with the lock taken.
static inline uint32_t track_freeing_node(struct thread *thread, const void *frame, bool *locked) {
    if (config.frees || python_found())
        return track_node(thread, frame, locked);
    *locked = lock_take(&shim.lock);
    return 0;
}

static void track_record(struct thread *thread, void *address, struct live_block *block, const void *frame) {
    if (shim_unlikely(thread->paused))
        return;
    uint64_t since = track_begin(thread);
    thread->last_block = (uintptr_t)address;
    bool locked;
    uint32_t node = track_node(thread, frame, &locked);
    block->owner = owner_take(node);
    struct live_block stale;
    bool kept = live_insert(address, block, &stale);
    if (shim_unlikely(stale.owner))
        track_released(&stale, 0, false); // its free was not seen
    if (shim_likely(kept)) {
        track_allocated(node, block);
    } else {
        owner_drop(block->owner);
        shim_lose(RECORD_LOST_NO_MEMORY);
    }
    track_finish(since);
    lock_drop(&shim.lock, locked);
    if (shim_unlikely(thread->late_head != thread->late_tail))
        track_settle(thread);
    if (shim_unlikely(shim.modules_new))
        process_poll();
}

void track_alloc(struct thread *thread, void *address, size_t size, const void *frame) {
    if (shim_unlikely(!address))
        return;
    struct live_block block = {.size = size, .usable = size};
    if (shim_likely(real.usable_size_matches))
        block.usable = real.malloc_usable_size(address);
    if (shim_unlikely(block.usable < size))
        block.usable = size;
    track_record(thread, address, &block, frame);
}

void track_free(struct thread *thread, void *address, const void *frame) {
    struct live_block old;
    uint64_t since = track_begin(thread);
    if (!live_detach(address, &old)) {
        __atomic_fetch_add(&shim.header->unknown_frees, 1, __ATOMIC_RELAXED);
        return;
    }
    bool temporary = thread->last_block == (uintptr_t)address;
    if (temporary)
        thread->last_block = 0;
    bool locked;
    uint32_t freeing = track_freeing_node(thread, frame, &locked);
    track_released(&old, freeing, temporary);
    track_finish(since);
    lock_drop(&shim.lock, locked);
    if (shim_unlikely(thread->late_head != thread->late_tail))
        track_settle(thread);
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
}

bool track_detach(void *address, struct live_block *old) {
    return live_detach(address, old);
}

void track_restore(void *address, const struct live_block *old) {
    struct live_block stale;
    if (!live_insert(address, old, &stale))
        shim_lose(RECORD_LOST_NO_MEMORY);
}

void track_realloc(struct thread *thread, const struct live_block *old, void *address, size_t size,
                   const void *frame) {
    bool locked;
    uint32_t freeing = track_freeing_node(thread, frame, &locked);
    track_released(old, freeing, false);
    lock_drop(&shim.lock, locked);
    track_alloc(thread, address, size, frame);
}

void track_map(struct thread *thread, void *address, size_t length, const void *frame) {
    if (shim_unlikely(thread->paused))
        return;
    bool locked;
    uint32_t node = track_node(thread, frame, &locked);
    mapped_add((uintptr_t)address, length, node);
    timeline_event(false);
    lock_drop(&shim.lock, locked);
}

void track_unmap(struct thread *thread, void *address, size_t length) {
    (void)thread;
    bool locked = lock_take(&shim.lock);
    mapped_remove((uintptr_t)address, length);
    timeline_event(false);
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
    if (!address || live_has(address))
        return;
    struct live_block block = {.size = size, .usable = (size + 15) & ~(size_t)15, .object = true};
    track_record(thread, address, &block, frame);
}

bool track_object_detach(void *address, struct live_block *old) {
    return live_detach_object(address, old);
}

void track_object_freed(struct thread *thread, void *address, const struct live_block *old,
                        const void *frame) {
    bool temporary = thread->last_block == (uintptr_t)address;
    if (temporary)
        thread->last_block = 0;
    bool locked;
    uint32_t freeing = track_freeing_node(thread, frame, &locked);
    track_released(old, freeing, temporary);
    lock_drop(&shim.lock, locked);
}

void track_tick(void) {
    bool locked = lock_take(&shim.lock);
    timeline_now();
    lock_drop(&shim.lock, locked);
}
