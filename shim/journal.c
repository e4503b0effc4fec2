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

// Frees of one place.
struct journal_frees {
    uint32_t node; // 0 = of none
    uint64_t bytes, count;
};

static inline void journal_count_frees(const struct peak_books *books, const struct journal_frees *frees) {
    if (!frees->node)
        return;
    books->nodes[frees->node].freed_bytes += frees->bytes;
    books->nodes[frees->node].frees += frees->count;
}

// An event whose neighbours are of other nodes: a run of one, without the sums.
static inline bool journal_apply_alone(const struct peak_books *books, const struct record_event *event) {
    struct record_header *header = books->header;
    struct record_node *node = &books->nodes[event->node];
    const int64_t size = (int64_t)event->size, slack = event->slack_flags >> RECORD_EVENT_FLAG_BITS;
    struct peak_run run = PEAK_RUN_NONE;
    if (event->slack_flags & RECORD_EVENT_FREE) {
        peak_subtract(&run, size, slack);
        peak_apply(books, event->node, &run);
        owner_drop(event->owner);
        node->temporary += (event->slack_flags & RECORD_EVENT_TEMPORARY) != 0;
        const struct journal_frees frees = {.node = event->freeing, .bytes = event->size, .count = 1};
        journal_count_frees(books, &frees);
        header->freed_bytes += event->size;
        header->frees++;
        return false;
    }
    peak_add(&run, size, slack);
    bool raised = peak_apply(books, event->node, &run);
    journal_raise(&shim.tick_heap_high, header->heap_live);
    owner_use(event->owner);
    node->allocated_bytes += event->size;
    node->allocations++;
    header->allocated_bytes += event->size;
    header->allocations++;
    return raised;
}

// Applies the event and those after it that are of the same node; `end` is after the last one. Returns the
// first that is not applied. *raised: set when they raised the heap's peak.
static inline const struct record_event *journal_apply_run(const struct peak_books *books,
                                                           const struct record_event *event,
                                                           const struct record_event *end, bool *raised) {
    const uint32_t number = event->node, own = owner_of(number);
    struct peak_run run = PEAK_RUN_NONE;
    struct journal_frees frees = {.node = 0};
    uint64_t allocated = 0, allocations = 0, freed = 0, freed_count = 0, temporary = 0;
    uint32_t uses = 0; // of `own`; wraps around
    do {
        const int64_t size = (int64_t)event->size, slack = event->slack_flags >> RECORD_EVENT_FLAG_BITS;
        const bool is_own = shim_likely(event->owner == own); // else of a node that was folded into this one
        if (!(event->slack_flags & RECORD_EVENT_FREE)) {
            peak_add(&run, size, slack);
            allocated += event->size;
            allocations++;
            uses += is_own;
            if (shim_unlikely(!is_own))
                owner_use(event->owner);
            continue;
        }
        peak_subtract(&run, size, slack);
        freed += event->size;
        freed_count++;
        temporary += (event->slack_flags & RECORD_EVENT_TEMPORARY) != 0;
        uses -= is_own;
        if (shim_unlikely(!is_own))
            owner_drop(event->owner);
        if (event->freeing != frees.node) {
            journal_count_frees(books, &frees);
            frees = (struct journal_frees){.node = event->freeing};
        }
        frees.bytes += event->size;
        frees.count++;
    } while (++event < end && event->node == number);

    struct record_header *header = books->header;
    struct record_node *node = &books->nodes[number];
    *raised |= peak_apply(books, number, &run);
    shim.owners[own].uses += uses;
    if (allocations) {
        journal_raise(&shim.tick_heap_high, header->heap_live - run.net + run.top);
        node->allocated_bytes += allocated;
        node->allocations += allocations;
        header->allocated_bytes += allocated;
        header->allocations += allocations;
    }
    if (freed_count) {
        node->temporary += temporary;
        journal_count_frees(books, &frees);
        header->freed_bytes += freed;
        header->frees += freed_count;
    }
    return event;
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
        const struct record_event *event = record->events, *end = event + record->count;
        while (event < end) {
            if (event + 1 < end && event[1].node == event->node)
                event = journal_apply_run(&books, event, end, &raised);
            else
                raised |= journal_apply_alone(&books, event++);
            __atomic_store_n(&record->applied, (uint32_t)(event - record->events), __ATOMIC_RELEASE);
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
