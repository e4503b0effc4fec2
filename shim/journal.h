// SPDX-License-Identifier: MIT
//
// Between the threads and the books: each thread notes its events in a journal of its own and brings them to
// the tables (peaks, nodes, owners) many at a time. So threads meet at shim.lock once for some dozens of
// events.
//
// Journals lie in the recording: what a killed process had noted but not applied, the reader applies.
//
// Each journal has a gate. Its thread is inside from the moment it looks at its stack's nodes until it has
// noted the event: meanwhile, no node is folded away. Whoever holds shim.lock may close the gates of others
// and wait until they have come out, never the other way round; so a thread that is inside and needs
// shim.lock comes out first (journal_lock_books).
//
//     the thread:  inside = 1                    whoever stops it:  stop = 1
//                  if (stop) come out and wait                      membarrier
//                                                                   wait for inside == 0
//
// To go in takes a store and a load, because the fence that belongs between them (Dekker's algorithm) is made
// by the other side, in all threads at once: membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED. Where the
// kernel has none, or a sandbox forbids it, every gate asks for a fence (JOURNAL_FENCE). The journal that
// threads share has a lock in addition (JOURNAL_SHARED).
//
// Order of events: within a thread, as they happened; between threads, off by what a journal may hold. Of
// that the bytes are bounded (journal.budget), and the sum of all bounds is the recording's peak_error_bytes.
// With one thread there is no error.
//
// Signals: guard.h keeps a handler that interrupts us away from here.
//
// Once recording has been given up, a thread that is still inside an event gets a journal that leads nowhere,
// so whoever notes events need not know.

#ifndef PEAKLINE_JOURNAL_H
#define PEAKLINE_JOURNAL_H

#include "shim/shim.h"

// Of a thread; in the arena. Used again when the thread has ended.
struct journal {
    uint32_t inside;
    uint32_t stop; // enum journal_stop
    struct record_journal *record;
    uint64_t pending; // bytes of the events that are noted
    uint64_t budget;  // flushed when they are as many
    struct journal *next;
    struct lock lock;    // JOURNAL_SHARED
    enum lock_got taken; // the lock
    bool used;           // by a thread that lives
} __attribute__((aligned(64)));

enum journal_stop {
    JOURNAL_STOPPED = 1 << 0, // wait
    JOURNAL_FENCE = 1 << 1,   // nobody else makes the fence
    JOURNAL_SHARED = 1 << 2,  // several threads note here
    JOURNAL_ENDED = 1 << 3,   // recording has been given up: nothing is noted here any more
    JOURNAL_NOWHERE = 1 << 4, // not in the recording at all
};

// The kernel is not to be asked for fences any more: every gate makes its own. With shim.lock held.
void journal_fence_all(void);

// At start: makes the shared journal. False: no memory.
bool journal_init(void);

// The thread's events go to a journal of its own from now on; where there is no room for one, to
// shim.journal_shared.
void journal_open(struct thread *thread);

// The thread ends: what it noted is applied; whatever it still does goes to shim.journal_shared.
void journal_close(struct thread *thread);

#define JOURNAL_SECTION 2 // events noted at the most between journal_lock and journal_unlock

// The guard's rare cases (guard.c). Recording has been given up: from now on all threads note into nowhere.
void journal_end_all(void);

// The thread was torn out of an event, with no lock held: it is outside of its gate again.
void journal_mend(struct thread *thread);

// Applies what the thread has noted. Takes both locks.
void journal_flush(struct thread *thread);

// The same with shim.lock held.
void journal_apply_own(struct thread *thread);

// The free of a block whose owner has outlived its node is not noted but applied (former.h). `own`: by the
// lines that had allocated it; then the event's freeing node is the one that stands for theirs. With
// shim.lock held, and after what the thread has noted.
void journal_free_former(const struct record_event *event, bool own);

// What journal_lock does when `stop` says so.
void journal_wait(struct thread *thread);

// journal_lock of a journal that is the thread's own. False: the gate is closed, or it is not; nothing has
// been done.
static inline bool journal_enter(struct journal *journal) {
    __atomic_store_n(&journal->inside, 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (shim_likely(!__atomic_load_n(&journal->stop, __ATOMIC_ACQUIRE)))
        return true;
    __atomic_store_n(&journal->inside, 0, __ATOMIC_RELEASE);
    return false;
}

static inline void journal_leave(struct journal *journal) {
    __atomic_store_n(&journal->inside, 0, __ATOMIC_RELEASE);
}

static inline void journal_lock(struct thread *thread) {
    if (shim_unlikely(!journal_enter(thread->journal)))
        journal_wait(thread);
}

// What journal_unlock does when the journal is shared.
void journal_leave_shared(struct journal *journal);

static inline void journal_unlock(struct thread *thread) {
    struct journal *journal = thread->journal;
    if (shim_unlikely(__atomic_load_n(&journal->stop, __ATOMIC_RELAXED) & JOURNAL_SHARED))
        journal_leave_shared(journal);
    else
        journal_leave(journal);
}

// With the journal locked: gives that up for a moment, takes shim.lock, and locks the journal again. Nodes
// that were known before may have been folded away: compare tree_epoch. Returns what journal_unlock_books
// must be told; after LOCK_REFUSED the journal is locked all the same, and leads nowhere.
enum lock_got journal_lock_books(struct thread *thread);
void journal_unlock_books(enum lock_got locked);

// With shim.lock held: applies what all threads have noted and keeps them from noting more until
// journal_release_all. `self`: its journal is locked already; or NULL. False: some thread could not be
// stopped within a reasonable time; nothing is held.
bool journal_stop_all(const struct thread *self);
void journal_release_all(const struct thread *self);

// shim.lock, and where the tables are plain memory that is about to be written out, all journals, so that
// what is written fits together. With no journal locked. What came of the lock is .locked.
struct journal_still {
    enum lock_got locked;
    bool stopped;
};
struct journal_still journal_keep_still(void);
void journal_go_on(struct journal_still still);

// With shim.lock held and no journal locked: applies what all threads have noted, but for those that cannot
// be stopped.
void journal_apply_all(void);

// Before the first event of a batch is noted.
void journal_begin(struct journal *journal);

// An event of so many bytes: wants to find the journal empty (journal_flush before anything is locked), so
// that it is neither ordered nor timed by what was noted before.
static inline bool journal_is_large(const struct thread *thread, uint64_t size) {
    return size >= __atomic_load_n(&thread->journal->budget, __ATOMIC_RELAXED);
}

// With the journal locked: whether an event of so many bytes can be noted in a few instructions: others have
// been, and it does not fill the journal by its bytes.
static inline __attribute__((always_inline)) bool journal_takes(const struct journal *journal,
                                                                uint64_t size) {
    return journal->record->count &&
           journal->pending + size < __atomic_load_n(&journal->budget, __ATOMIC_RELAXED);
}

// Notes such an event. True: journal_flush is due, after unlocking.
static inline __attribute__((always_inline)) bool journal_take(struct journal *journal,
                                                               const struct record_event event) {
    struct record_journal *record = journal->record;
    const uint32_t count = record->count;
    struct record_event *place = &record->events[count];
    place->size = event.size;
    place->node = event.node;
    place->owner = event.owner;
    place->freeing = event.freeing;
    place->slack_flags = event.slack_flags;
    // After the event itself, for a reader that comes when we are killed in between.
    __atomic_store_n(&record->count, count + 1, __ATOMIC_RELEASE);
    journal->pending += event.size;
    return count + 1 > RECORD_JOURNAL_EVENTS - JOURNAL_SECTION;
}

// The same for any event.
static inline __attribute__((always_inline)) bool journal_note(struct thread *thread,
                                                               const struct record_event event) {
    if (shim_unlikely(thread->journal->record->count == 0))
        journal_begin(thread->journal);
    const bool full = journal_take(thread->journal, event);
    return full || thread->journal->pending >= thread->journal->budget;
}

#endif
