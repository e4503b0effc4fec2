// SPDX-License-Identifier: MIT
//
// See journal.h.

#include "shim/journal.h"
#include "shim/arena.h"
#include "shim/clock.h"
#include "shim/disk.h"
#include "shim/former.h"
#include "shim/guard.h"
#include "shim/owner.h"
#include "shim/peak.h"
#include "shim/recording.h"
#include "shim/timeline.h"

#include <linux/membarrier.h>
#include <sys/mman.h>

// What all journals together may hold back: a share of the heap's peak, and a minimum.
#define JOURNAL_ERROR_SHARE 256
#define JOURNAL_ERROR_LEAST 16384
#define JOURNAL_ALONE (256u << 10) // of a single thread, where nothing but the time of events is at stake

#define JOURNAL_AHEAD 6 // events whose nodes are fetched before they are applied

#define JOURNAL_SPINS 200
#define JOURNAL_NAPS 2500 // 0.2 s: to wait for a thread that may not run, before we do without it

static inline void journal_raise(int64_t *high, int64_t value) {
    if (value > *high)
        *high = value;
}

// Where frees are made, and sums of frees before the first of these.
struct journal_frees {
    uint32_t node; // 0 = of none
    uint64_t bytes, count;
};

// `bytes`, `count`: the sums after the last one.
static inline void journal_count_frees(const struct peak_books *books, const struct journal_frees *frees,
                                       uint64_t bytes, uint64_t count) {
    if (!frees->node)
        return;
    books->nodes[frees->node].freed_bytes += bytes - frees->bytes;
    books->nodes[frees->node].frees += count - frees->count;
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
        const struct journal_frees frees = {.node = event->freeing};
        journal_count_frees(books, &frees, event->size, 1);
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
    const uint32_t number = event->node, owner = event->owner;
    const struct record_event *first = event;
    struct peak_run run = PEAK_RUN_NONE;
    uint64_t freed = 0, freed_count = 0, temporary = 0;
    struct journal_frees frees = {.node = 0}; // the present place; sums are those before it
    do { // Only what does not follow from other sums is kept: for so many there are registers.
        const int64_t size = (int64_t)event->size, slack = event->slack_flags >> RECORD_EVENT_FLAG_BITS;
        if (!(event->slack_flags & RECORD_EVENT_FREE)) {
            peak_add(&run, size, slack);
            continue;
        }
        if (shim_unlikely(event->freeing != frees.node)) {
            journal_count_frees(books, &frees, freed, freed_count);
            frees = (struct journal_frees){.node = event->freeing, .bytes = freed, .count = freed_count};
        }
        peak_subtract(&run, size, slack);
        freed += event->size;
        freed_count++;
        temporary += (event->slack_flags & RECORD_EVENT_TEMPORARY) != 0;
    } while (++event < end && event->node == number);

    const uint64_t allocations = (uint64_t)(event - first) - freed_count,
                   allocated = (uint64_t)run.net + freed;
    struct record_header *header = books->header;
    struct record_node *node = &books->nodes[number];
    *raised |= peak_apply(books, number, &run);
    shim.owners[owner].uses += (uint32_t)(allocations - freed_count); // wraps around
    if (allocations) {
        journal_raise(&shim.tick_heap_high, header->heap_live - run.net + run.top);
        node->allocated_bytes += allocated;
        node->allocations += allocations;
        header->allocated_bytes += allocated;
        header->allocations += allocations;
    }
    if (freed_count) {
        node->temporary += temporary;
        journal_count_frees(books, &frees, freed, freed_count);
        header->freed_bytes += freed;
        header->frees += freed_count;
    }
    return event;
}

// ---- gates ----

// While there is one thread: arranges for membarrier.
static void journal_prepare(void) {
    shim.journal_fences =
        sys_failed(sys_call(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0));
}

// Between a change of `stop` and a look at `inside`.
static void journal_fence(void) {
    // What was stored in `stop` before this was stored by a locked instruction, which is a fence of this
    // side.
    if (!shim.journal_fences && lock_needed())
        sys_call(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0);
}

void journal_fence_all(void) {
    if (shim.journal_fences)
        return;
    for (struct journal *journal = shim.journals; journal; journal = journal->next)
        __atomic_fetch_or(&journal->stop, JOURNAL_FENCE, __ATOMIC_SEQ_CST);
    journal_fence(); // the last: each thread finds that at its next gate
    shim.journal_fences = true;
}

static inline bool journal_is_nowhere(const struct journal *journal) {
    return __atomic_load_n(&journal->stop, __ATOMIC_RELAXED) & JOURNAL_NOWHERE;
}

static inline bool journal_is_shared(const struct journal *journal) {
    return __atomic_load_n(&journal->stop, __ATOMIC_RELAXED) & JOURNAL_SHARED;
}

static bool journal_enter_shared(struct journal *journal) {
    enum lock_got taken = lock_take(&journal->lock);
    if (taken == LOCK_REFUSED)
        return false;
    journal->taken = taken;
    return true;
}

void journal_leave_shared(struct journal *journal) {
    lock_drop(&journal->lock, journal->taken);
}

// Events lead nowhere from now on: to a page of the thread's own.
static void journal_divert(struct thread *thread) {
    static struct journal journal_nowhere; // where there is no memory; a few events of a few threads at most
    static struct record_journal journal_nothing;
    struct journal *journal = thread->journal;
    if (!journal_is_nowhere(journal)) {
        const size_t size = sizeof *journal + sizeof *journal->record;
        long page = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        journal = sys_failed(page) ? &journal_nowhere : (struct journal *)page;
        journal->record = sys_failed(page) ? &journal_nothing : (struct record_journal *)(journal + 1);
        journal->stop = JOURNAL_ENDED | JOURNAL_NOWHERE;
        thread->journal = journal;
    }
    journal->record->count = 0;
    journal->inside = 1;
}

// False: recording has been given up.
static bool journal_wait_shared(struct thread *thread) {
    struct journal *journal = thread->journal;
    while (journal_enter_shared(journal)) {
        if (journal->record->count <= RECORD_JOURNAL_EVENTS - JOURNAL_SECTION)
            return true;
        journal_leave_shared(journal);
        if (guard_gave_up())
            return false;
        journal_flush(thread);
    }
    return false;
}

static bool journal_wait_own(struct journal *journal) {
    for (;;) {
        // A locked instruction: the fence that JOURNAL_FENCE asks for.
        __atomic_exchange_n(&journal->inside, 1, __ATOMIC_SEQ_CST);
        const uint32_t stop = __atomic_load_n(&journal->stop, __ATOMIC_SEQ_CST);
        if (!(stop & (JOURNAL_STOPPED | JOURNAL_ENDED)))
            return true;
        __atomic_store_n(&journal->inside, 0, __ATOMIC_RELEASE);
        if (stop & JOURNAL_ENDED)
            return false;
        // Whoever stops us holds this.
        enum lock_got got = lock_take(&shim.lock);
        if (got == LOCK_REFUSED)
            return false;
        lock_drop(&shim.lock, got);
    }
}

__attribute__((noinline, cold)) void journal_wait(struct thread *thread) {
    if (!(journal_is_shared(thread->journal) ? journal_wait_shared(thread)
                                             : journal_wait_own(thread->journal)))
        journal_divert(thread);
}

// With shim.lock held, which keeps everybody from stopping us.
// False: recording has been given up, or the journal leads nowhere.
static inline bool journal_lock_stopped(struct journal *journal) {
    if (shim_unlikely(journal_is_shared(journal)))
        return journal_enter_shared(journal);
    if (shim_unlikely(journal_is_nowhere(journal)))
        return false;
    __atomic_store_n(&journal->inside, 1, __ATOMIC_RELAXED);
    return true;
}

static inline void journal_let_in(struct journal *journal) {
    __atomic_fetch_and(&journal->stop, ~(uint32_t)JOURNAL_STOPPED, __ATOMIC_RELEASE);
}

// With `stop` set and the fence made: whether its thread has come out. Waits until then, or for so many naps,
// which it takes off. (Not by the clock: the process may have been stopped meanwhile.)
static bool journal_is_out(const struct journal *journal, unsigned *naps) {
    for (unsigned spin = 0; __atomic_load_n(&journal->inside, __ATOMIC_ACQUIRE); spin++) {
        if (!lock_needed())
            return true; // it ended inside
        if (spin < JOURNAL_SPINS) {
            __builtin_ia32_pause();
            continue;
        }
        if (*naps == 0)
            return false;
        --*naps;
        lock_nap();
    }
    return true;
}

// The shared journal is not stopped but locked.
static void journal_stop_own(const struct journal *self) {
    for (struct journal *journal = shim.journals; journal; journal = journal->next)
        if (journal != self && !journal_is_shared(journal))
            __atomic_fetch_or(&journal->stop, JOURNAL_STOPPED, __ATOMIC_SEQ_CST);
    journal_fence();
}

static void journal_release_own(const struct journal *self) {
    for (struct journal *journal = shim.journals; journal; journal = journal->next)
        if (journal != self && !journal_is_shared(journal))
            journal_let_in(journal);
}

void journal_end_all(void) {
    // Journals are added at the head and never taken away.
    for (struct journal *journal = __atomic_load_n(&shim.journals, __ATOMIC_ACQUIRE); journal;
         journal = journal->next)
        __atomic_fetch_or(&journal->stop, JOURNAL_ENDED, __ATOMIC_SEQ_CST);
}

void journal_mend(struct thread *thread) {
    if (!journal_is_shared(thread->journal))
        journal_leave(thread->journal);
    journal_flush(thread);
}

// ---- applying ----

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

static inline __attribute__((always_inline)) void journal_fetch(const struct peak_books *books,
                                                                const struct record_event *event) {
    const struct record_node *node = &books->nodes[event->node], *freeing = &books->nodes[event->freeing];
    __builtin_prefetch(node, 1);
    __builtin_prefetch(&node->allocated_bytes, 1);
    __builtin_prefetch(&freeing->freed_bytes, 1);
    __builtin_prefetch(&shim.owners[event->owner], 1);
}

// With shim.lock and the journal's own held.
static void journal_apply(struct journal *journal) {
    struct record_journal *record = journal->record;
    if (record->count) {
        const struct peak_books books = journal_books();
        bool raised = false;
        const struct record_event *event = record->events, *end = event + record->count, *ahead = event;
        shim_begin_update(RECORD_UPDATING_EVENTS);
        while (event < end) {
            for (; ahead < end && ahead < event + JOURNAL_AHEAD; ahead++)
                if (ahead == event || ahead->node != ahead[-1].node)
                    journal_fetch(&books, ahead);
            if (event + 1 < end && event[1].node == event->node)
                event = journal_apply_run(&books, event, end, &raised);
            else
                raised |= journal_apply_alone(&books, event++);
            __atomic_store_n(&record->applied, (uint32_t)(event - record->events), __ATOMIC_RELEASE);
        }
        if (raised)
            timeline_raised(record->since);
        shim_end_update();
        __atomic_store_n(&record->count, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&record->applied, 0, __ATOMIC_RELEASE);
        timeline_look();
    }
    journal->pending = 0;
    journal_grant(journal);
    // The order of a single thread's events is the true one.
    if (shim.journals_used > 1 && shim.journal_budgets > shim.header->peak_error_bytes)
        shim.header->peak_error_bytes = shim.journal_budgets;
}

__attribute__((noinline)) void journal_flush(struct thread *thread) {
    enum lock_got locked = lock_take(&shim.lock);
    if (shim_likely(locked != LOCK_REFUSED)) {
        journal_apply_own(thread);
        if (shim_unlikely(shim.disk_watched))
            disk_look();
    } else { // it may be full
        __atomic_fetch_or(&thread->journal->stop, JOURNAL_ENDED, __ATOMIC_RELAXED);
    }
    lock_drop(&shim.lock, locked);
}

void journal_free_former(const struct record_event *event, bool own) {
    const struct peak_books books = journal_books();
    shim_begin_update(RECORD_UPDATING_EVENTS);
    peak_move(&books, event->node);
    former_free(&books, event->owner, (int64_t)event->size,
                (event->slack_flags & RECORD_EVENT_TEMPORARY) != 0, own);
    journal_apply_alone(&books, event);
    shim_end_update();
}

void journal_apply_own(struct thread *thread) {
    if (shim_unlikely(!journal_lock_stopped(thread->journal)))
        return;
    journal_apply(thread->journal);
    journal_unlock(thread);
}

__attribute__((noinline)) void journal_begin(struct journal *journal) {
    journal->record->since = clock_coarse();
    journal->pending = 0;
}

enum lock_got journal_lock_books(struct thread *thread) {
    journal_unlock(thread);
    enum lock_got locked = lock_take(&shim.lock);
    if (shim_unlikely(shim.disk_watched && locked != LOCK_REFUSED))
        disk_look();
    if (shim_unlikely(locked == LOCK_REFUSED || !journal_lock_stopped(thread->journal))) {
        lock_drop(&shim.lock, locked);
        journal_divert(thread);
        return LOCK_REFUSED;
    }
    // Others that share it may have been there meanwhile.
    if (thread->journal->record->count > RECORD_JOURNAL_EVENTS - JOURNAL_SECTION)
        journal_apply(thread->journal);
    return locked;
}

void journal_unlock_books(enum lock_got locked) {
    lock_drop(&shim.lock, locked);
}

bool journal_stop_all(const struct thread *self) {
    struct journal *own = self ? self->journal : NULL, *shared = shim.journal_shared;
    unsigned naps = JOURNAL_NAPS;
    if (shared != own && !lock_take_within(&shared->lock, JOURNAL_NAPS))
        return false;
    journal_stop_own(own);
    bool stopped = true;
    for (struct journal *journal = shim.journals; journal && stopped; journal = journal->next)
        stopped = journal == own || journal == shared || journal_is_out(journal, &naps);
    if (!stopped) {
        journal_release_all(self);
        return false;
    }
    for (struct journal *journal = shim.journals; journal; journal = journal->next)
        journal_apply(journal);
    return true;
}

void journal_release_all(const struct thread *self) {
    struct journal *own = self ? self->journal : NULL;
    journal_release_own(own);
    if (shim.journal_shared != own)
        lock_give(&shim.journal_shared->lock);
}

struct journal_still journal_keep_still(void) {
    struct journal_still still = {.locked = lock_take(&shim.lock)};
    still.stopped = shim.file_private && still.locked != LOCK_REFUSED && journal_stop_all(NULL);
    return still;
}

void journal_go_on(struct journal_still still) {
    if (still.stopped)
        journal_release_all(NULL);
    lock_drop(&shim.lock, still.locked);
}

void journal_apply_all(void) {
    unsigned naps = JOURNAL_NAPS;
    journal_stop_own(NULL);
    for (struct journal *journal = shim.journals; journal; journal = journal->next) {
        if (journal_is_shared(journal)) {
            if (!lock_take_within(&journal->lock, JOURNAL_NAPS))
                continue; // the reader will apply it
            journal_apply(journal);
            lock_give(&journal->lock);
        } else if (journal_is_out(journal, &naps)) {
            journal_apply(journal);
        }
    }
    journal_release_own(NULL);
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
    journal->stop = shim.journal_fences ? JOURNAL_FENCE : 0;
    journal->next = shim.journals;
    __atomic_store_n(&shim.journals, journal, __ATOMIC_RELEASE);
    return journal;
}

bool journal_init(void) {
    journal_prepare();
    shim.journal_shared = journal_make();
    if (!shim.journal_shared)
        return false;
    shim.journal_shared->used = true;
    shim.journal_shared->stop |= JOURNAL_SHARED;
    return true;
}

void journal_open(struct thread *thread) {
    thread->journal = shim.journal_shared;
    enum lock_got locked = lock_take(&shim.lock);
    if (locked == LOCK_REFUSED)
        return;
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
    if (journal)
        thread->journal = journal;
    lock_drop(&shim.lock, locked);
}

void journal_close(struct thread *thread) {
    struct journal *journal = thread->journal;
    if (journal == shim.journal_shared || journal_is_nowhere(journal))
        return;
    enum lock_got locked = lock_take(&shim.lock);
    if (locked == LOCK_REFUSED)
        return;
    journal_apply(journal);
    journal->used = false;
    journal_grant(journal);
    shim.journals_used--;
    thread->journal = shim.journal_shared;
    lock_drop(&shim.lock, locked);
}
