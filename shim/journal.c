// SPDX-License-Identifier: MIT
//
// See journal.h.

#include "shim/journal.h"
#include "shim/arena.h"
#include "shim/clock.h"
#include "shim/owner.h"
#include "shim/peak.h"
#include "shim/recording.h"
#include "shim/timeline.h"

// What all journals together may hold back: a share of the heap's peak, and a minimum.
#define JOURNAL_ERROR_SHARE 256
#define JOURNAL_ERROR_LEAST 16384
#define JOURNAL_ALONE (256u << 10) // of a single thread, where nothing but the time of events is at stake

#define JOURNAL_PATIENCE_NS 200000000 // to wait for a thread that may not run, before we do without it

static inline void journal_raise(int64_t *high, int64_t value) {
    if (value > *high)
        *high = value;
}

static inline bool journal_apply_event(const struct peak_books *books, const struct record_event *event) {
    struct record_header *header = books->header;
    struct record_node *node = &books->nodes[event->node];
    int64_t size = (int64_t)event->size, slack = event->slack_flags >> RECORD_EVENT_FLAG_BITS;
    if (!(event->slack_flags & RECORD_EVENT_FREE)) {
        bool raised = peak_event(books, event->node, size, slack);
        owner_use(event->owner);
        node->allocated_bytes += event->size;
        node->allocations++;
        journal_raise(&node->heap_high, header->heap_live);
        journal_raise(&shim.tick_heap_high, header->heap_live);
        header->allocated_bytes += event->size;
        header->allocations++;
        return raised;
    }
    peak_event(books, event->node, -size, -slack);
    owner_drop(event->owner);
    node->temporary += (event->slack_flags & RECORD_EVENT_TEMPORARY) != 0;
    if (event->freeing) {
        books->nodes[event->freeing].freed_bytes += event->size;
        books->nodes[event->freeing].frees++;
    }
    header->freed_bytes += event->size;
    header->frees++;
    return false;
}

// Without a look at how much room there is.
static inline void journal_lock_full(struct thread *thread) {
    thread->journal_locked = lock_take(&thread->journal->lock);
}

static struct peak_books journal_books(void) {
    return (struct peak_books){
        .header = shim.header,
        .nodes = shim_node(0),
        .frames = shim_frame(0),
        .functions = shim_function(0),
    };
}

// How much the thread may hold back from now on.
static void journal_grant(struct journal *journal) {
    uint64_t budget = 0;
    if (journal != shim.journal_shared && journal->used) {
        budget = JOURNAL_ALONE;
        if (shim.journals_used > 1) {
            budget = (uint64_t)shim.header->heap_peak / JOURNAL_ERROR_SHARE;
            if (budget < JOURNAL_ERROR_LEAST)
                budget = JOURNAL_ERROR_LEAST;
            budget /= shim.journals_used;
        }
    }
    if (budget == journal->budget)
        return;
    shim.journal_budgets += budget - journal->budget;
    __atomic_store_n(&journal->budget, budget, __ATOMIC_RELAXED);
}

// With shim.lock and the journal's own held.
static void journal_apply(struct journal *journal) {
    struct record_journal *record = journal->record;
    if (record->count) {
        const struct peak_books books = journal_books();
        bool raised = false;
        for (uint32_t i = 0; i < record->count; i++) {
            raised |= journal_apply_event(&books, &record->events[i]);
            __atomic_store_n(&record->applied, i + 1, __ATOMIC_RELEASE);
        }
        __atomic_store_n(&record->count, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&record->applied, 0, __ATOMIC_RELEASE);
        timeline_applied(raised, journal->since);
    }
    journal->pending = 0;
    journal_grant(journal);
    // The order of a single thread's events is the true one.
    if (shim.journals_used > 1 && shim.journal_budgets > shim.header->peak_error_bytes)
        shim.header->peak_error_bytes = shim.journal_budgets;
}

__attribute__((noinline)) void journal_flush(struct thread *thread) {
    bool locked = lock_take(&shim.lock);
    journal_lock_full(thread);
    journal_apply(thread->journal);
    journal_unlock(thread);
    lock_drop(&shim.lock, locked);
}

__attribute__((noinline)) bool journal_begin(struct journal *journal, const struct record_event *event) {
    struct record_journal *record = journal->record;
    journal->since = clock_coarse();
    record->events[0] = *event;
    __atomic_store_n(&record->count, 1, __ATOMIC_RELEASE);
    journal->pending = event->size;
    return journal->pending >= journal->budget;
}

bool journal_lock_books(struct thread *thread) {
    journal_unlock(thread);
    bool locked = lock_take(&shim.lock);
    journal_lock_full(thread);
    // Others that share it may have been there meanwhile.
    if (thread->journal->record->count > RECORD_JOURNAL_EVENTS - JOURNAL_SECTION)
        journal_apply(thread->journal);
    return locked;
}

void journal_unlock_books(bool locked) {
    lock_drop(&shim.lock, locked);
}

bool journal_stop_all(const struct thread *self) {
    for (struct journal *journal = shim.journals; journal; journal = journal->next) {
        if ((!self || journal != self->journal) && !lock_take_within(&journal->lock, JOURNAL_PATIENCE_NS)) {
            for (struct journal *taken = shim.journals; taken != journal; taken = taken->next)
                if (!self || taken != self->journal)
                    lock_give(&taken->lock);
            return false;
        }
    }
    for (struct journal *journal = shim.journals; journal; journal = journal->next)
        journal_apply(journal);
    return true;
}

void journal_release_all(const struct thread *self) {
    for (struct journal *journal = shim.journals; journal; journal = journal->next)
        if (!self || journal != self->journal)
            lock_give(&journal->lock);
}

void journal_apply_all(void) {
    for (struct journal *journal = shim.journals; journal; journal = journal->next) {
        if (!lock_take_within(&journal->lock, JOURNAL_PATIENCE_NS))
            continue; // the reader will apply it
        journal_apply(journal);
        lock_give(&journal->lock);
    }
}

// One that no thread uses, or a new one; NULL: no room. With shim.lock held.
static struct journal *journal_make(void) {
    for (struct journal *journal = shim.journals; journal; journal = journal->next)
        if (!journal->used)
            return journal;
    struct journal *journal = arena_alloc(sizeof *journal);
    const struct record_journal empty = {.count = 0};
    uint32_t number = journal ? recording_append(RECORD_JOURNALS, &empty) : 0;
    if (!number) {
        arena_free(journal, sizeof *journal);
        return NULL;
    }
    journal->record = (struct record_journal *)shim.tables[RECORD_JOURNALS].base + number;
    journal->next = shim.journals;
    shim.journals = journal;
    return journal;
}

bool journal_init(void) {
    shim.journal_shared = journal_make();
    if (!shim.journal_shared)
        return false;
    shim.journal_shared->used = true;
    return true;
}

void journal_open(struct thread *thread) {
    bool locked = lock_take(&shim.lock);
    // From the second thread on, what the first may hold back counts.
    if (shim.journals_used == 1) {
        shim.journals_used++;
        journal_apply_all();
        shim.journals_used--;
    }
    struct journal *journal = journal_make();
    if (journal) {
        journal->used = true;
        shim.journals_used++;
        journal_grant(journal);
    }
    thread->journal = journal ? journal : shim.journal_shared;
    lock_drop(&shim.lock, locked);
}

void journal_close(struct thread *thread) {
    struct journal *journal = thread->journal;
    if (journal == shim.journal_shared)
        return;
    bool locked = lock_take(&shim.lock);
    journal_lock_full(thread);
    journal_apply(journal);
    journal_unlock(thread);
    journal->used = false;
    journal_grant(journal);
    shim.journals_used--;
    thread->journal = shim.journal_shared;
    lock_drop(&shim.lock, locked);
}
