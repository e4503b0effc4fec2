// SPDX-License-Identifier: MIT
//
// Between the threads and the books: each thread notes its events in a journal of its own and brings them to
// the tables (peaks, nodes, owners) many at a time. So threads meet at shim.lock once for some dozens of
// events.
//
// Journals lie in the recording: what a killed process had noted but not applied, the reader applies.
//
// Each journal has a lock, which its thread holds from the moment it looks at its stack's nodes until it has
// noted the event: as long as it is held, no node is folded away. It is not taken while the process has a
// single thread. Whoever holds shim.lock may take the lock of any journal, never the other way round; so a
// thread that holds its own and needs shim.lock gives up the first (journal_lock_books).
//
// Order of events: within a thread, as they happened; between threads, off by what a journal may hold. Of
// that the bytes are bounded (journal.budget), and the sum of all bounds is the recording's peak_error_bytes.
// With one thread there is no error.
//
// Signals: guard.h keeps a handler that interrupts us away from here.

#ifndef PEAKLINE_JOURNAL_H
#define PEAKLINE_JOURNAL_H

#include "shim/shim.h"

// Of a thread; in the arena. Used again when the thread has ended.
struct journal {
    struct lock lock;
    bool used; // by a thread that lives
    struct record_journal *record;
    struct journal *next;
    uint64_t pending; // bytes of the events that are noted
    uint64_t budget;  // flushed when they are as many
    uint64_t since;   // coarse clock at the first of them
} __attribute__((aligned(64)));

// At start: makes the shared journal. False: no memory.
bool journal_init(void);

// The thread's events go to a journal of its own from now on; where there is no room for one, to
// shim.journal_shared.
void journal_open(struct thread *thread);

// The thread ends: what it noted is applied; whatever it still does goes to shim.journal_shared.
void journal_close(struct thread *thread);

#define JOURNAL_SECTION 2 // events noted at the most between journal_lock and journal_unlock

// Applies what the thread has noted. Takes both locks.
void journal_flush(struct thread *thread);

static inline void journal_lock(struct thread *thread) {
    thread->journal_locked = lock_take(&thread->journal->lock);
    while (shim_unlikely(thread->journal->record->count > RECORD_JOURNAL_EVENTS - JOURNAL_SECTION)) {
        lock_drop(&thread->journal->lock, thread->journal_locked);
        journal_flush(thread);
        thread->journal_locked = lock_take(&thread->journal->lock);
    }
}

static inline void journal_unlock(struct thread *thread) {
    lock_drop(&thread->journal->lock, thread->journal_locked);
}

// With the journal locked: gives that up for a moment, takes shim.lock, and locks the journal again. Nodes
// that were known before may have been folded away: compare tree_epoch. Returns what journal_unlock_books
// must be told.
bool journal_lock_books(struct thread *thread);
void journal_unlock_books(bool locked);

// With shim.lock held: applies what all threads have noted and keeps them from noting more until
// journal_release_all. `self`: its journal is locked already; or NULL. False: some thread could not be
// stopped within a reasonable time; nothing is held.
bool journal_stop_all(const struct thread *self);
void journal_release_all(const struct thread *self);

// With shim.lock held and no journal locked: applies what all threads have noted, but for those that cannot
// be stopped.
void journal_apply_all(void);

// What journal_note does with the first event of a batch.
bool journal_begin(struct journal *journal, const struct record_event *event);

// An event of so many bytes: wants to find the journal empty (journal_flush before anything is locked), so
// that it is neither ordered nor timed by what was noted before.
static inline bool journal_is_large(const struct thread *thread, uint64_t size) {
    return size >= __atomic_load_n(&thread->journal->budget, __ATOMIC_RELAXED);
}

// With the journal locked. True: journal_flush is due, after unlocking.
static inline __attribute__((always_inline)) bool journal_note(struct thread *thread,
                                                               const struct record_event event) {
    struct journal *journal = thread->journal;
    struct record_journal *record = journal->record;
    uint32_t count = record->count;
    if (shim_unlikely(count == 0))
        return journal_begin(journal, &event);
    // Field by field: a copy of what has just been put together would wait for it.
    struct record_event *place = &record->events[count];
    place->size = event.size;
    place->node = event.node;
    place->owner = event.owner;
    place->freeing = event.freeing;
    place->slack_flags = event.slack_flags;
    // After the event itself, for a reader that comes when we are killed in between.
    __atomic_store_n(&record->count, count + 1, __ATOMIC_RELEASE);
    journal->pending += event.size;
    return count + 1 > RECORD_JOURNAL_EVENTS - JOURNAL_SECTION || journal->pending >= journal->budget;
}

#endif
