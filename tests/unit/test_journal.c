// SPDX-License-Identifier: MIT
// needs: shim/journal.c shim/timeline.c shim/tree.c shim/numbers.c shim/fold.c shim/fold_ranks.c shim/folded.c shim/frame.c
// needs: shim/estimate.c shim/sampling.c shim/owner.c shim/former.c shim/peak.c shim/arena.c
// needs: shim/lock.c tests/unit/shim_double.c -lpthread
//
// Threads that note events, flush, come and go, while another one stops them all: nothing is lost, nothing is
// counted twice, and what is held back stays within the bounds. Under ThreadSanitizer: no race.

#include "shim/journal.h"
#include "shim/owner.h"
#include "shim/recording.h"
#include "shim/tree.h"
#include "tests/unit/shim_double.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define THREADS 6
#define NODES 5
#define EVENTS 20000
#define LIVES 4 // threads that follow each other in one place

static uint32_t nodes[NODES];
static int64_t expected[THREADS][NODES];
static bool done;

static int set_up(void **state) {
    (void)state;
    shim_double_reset(64);
    if (!tree_open() || !journal_init())
        return -1;
    const struct record_function function = {.language = RECORD_PYTHON};
    uint32_t number = recording_append(RECORD_FUNCTIONS, &function);
    for (int i = 0; i < NODES; i++) {
        const struct record_frame frame = {.function = number, .line = (uint32_t)i + 1};
        nodes[i] = tree_leaf(i ? nodes[i - 1] : TREE_ROOT, recording_append(RECORD_FRAMES, &frame));
    }
    return 0;
}

static void note(struct thread *thread, uint32_t node, uint64_t size, uint32_t flags) {
    if (journal_is_large(thread, size))
        journal_flush(thread);
    journal_lock(thread);
    const struct record_event event = {
        .size = size, .node = node, .owner = owner_of(node), .slack_flags = flags};
    bool due = journal_note(thread, event);
    journal_unlock(thread);
    if (due)
        journal_flush(thread);
}

static void *body(void *which) {
    size_t place = (size_t)which;
    for (int life = 0; life < LIVES; life++) {
        struct thread thread = {.generation = 1};
        unsigned random = (unsigned)place * 77 + (unsigned)life;
        journal_open(&thread);
        for (int i = 0; i < EVENTS; i++) {
            size_t at = (size_t)rand_r(&random) % NODES;
            uint64_t size = 1 + (uint64_t)rand_r(&random) % (i % 97 ? 300 : 50000);
            note(&thread, nodes[at], size, 0);
            if (i % 3) {
                note(&thread, nodes[at], size, RECORD_EVENT_FREE);
            } else {
                expected[place][at] += (int64_t)size;
            }
        }
        journal_close(&thread);
    }
    return NULL;
}

static void *stopper(void *unused) {
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        enum lock_got locked = lock_take(&shim.lock);
        if (journal_stop_all(NULL)) {
            // While they are stopped, the books are right: each node's bytes are the process's.
            int64_t sum = 0;
            for (int i = 0; i < NODES; i++)
                sum += shim_node(nodes[i])->live;
            if (sum != shim.header->heap_live)
                abort();
            journal_release_all(NULL);
        }
        lock_drop(&shim.lock, locked);
    }
    return unused;
}

static void nothing_is_lost(void **state) {
    (void)state;
    pthread_t threads[THREADS], stops;
    done = false;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, body, (void *)i), 0);
    assert_int_equal(pthread_create(&stops, NULL, stopper, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    pthread_join(stops, NULL);
    int64_t total = 0;
    for (int at = 0; at < NODES; at++) {
        int64_t live = 0;
        for (int i = 0; i < THREADS; i++)
            live += expected[i][at];
        assert_int_equal(shim_node(nodes[at])->live, live);
        total += live;
    }
    assert_int_equal(shim.header->heap_live, total);
    assert_int_equal(shim.header->allocations, (uint64_t)THREADS * LIVES * EVENTS);
    assert_true(shim.header->peak_error_bytes > 0);
    assert_true(shim.header->heap_peak >= total);
    // What threads that have ended may hold back is nothing.
    assert_int_equal(shim.journal_budgets, 0);
    assert_int_equal(shim.journals_used, 0);
}

// Without a thread beside it, a journal is applied in order, and no error is said to be possible.
static void one_thread_is_exact(void **state) {
    (void)state;
    struct thread thread = {.generation = 1};
    journal_open(&thread);
    for (uint64_t i = 1; i <= 1000; i++) {
        note(&thread, nodes[i % NODES], 100 + i, 0);
        note(&thread, nodes[i % NODES], 100 + i, RECORD_EVENT_FREE | (i % 2 ? RECORD_EVENT_TEMPORARY : 0));
    }
    journal_close(&thread);
    assert_int_equal(shim.header->heap_live, 0);
    assert_int_equal(shim.header->heap_peak, 1100);
    assert_int_equal(shim.header->peak_error_bytes, 0);
    assert_int_equal(shim.header->frees, 1000);
    uint64_t temporary = 0;
    for (int i = 0; i < NODES; i++)
        temporary += shim_node(nodes[i])->temporary;
    assert_int_equal(temporary, 500);
}

// More threads than there is room for: they share one journal.
static void threads_beyond_the_file_share(void **state) {
    (void)state;
    static struct thread threads[100];
    bool shared = false;
    for (int i = 0; i < 100; i++) {
        threads[i] = (struct thread){.generation = 1};
        journal_open(&threads[i]);
        shared |= threads[i].journal == shim.journal_shared;
        for (int k = 0; k < 200; k++)
            note(&threads[i], nodes[0], 7, 0);
    }
    assert_true(shared);
    for (int i = 0; i < 100; i++)
        journal_close(&threads[i]);
    assert_int_equal(shim.header->heap_live, 100 * 200 * 7);
    assert_int_equal(shim.header->lost[RECORD_LOST_NO_MEMORY], 0);
}

// Recording is given up while threads are anywhere; the locks are never given back.
static void what_comes_after_the_end_leads_nowhere(void **state) {
    (void)state;
    static struct thread own, shared;
    own = shared = (struct thread){.generation = 1};
    journal_open(&own);
    shared.journal = shim.journal_shared;
    for (int i = 0; i < 20; i++) {
        note(&own, nodes[0], 7, 0);
        note(&shared, nodes[0], 7, 0);
    }
    struct journal *journal = own.journal;
    journal_lock(&own);
    shim.lock.word = shim.journal_shared->lock.word = 1;
    shim.generation = SHIM_GIVEN_UP;
    journal_end_all();
    assert_int_equal(journal_lock_books(&own), LOCK_REFUSED);
    for (int i = 0; i < JOURNAL_SECTION; i++)
        journal_note(&own, (struct record_event){.size = 1, .node = TREE_ROOT, .owner = owner_of(TREE_ROOT)});
    journal_unlock(&own);
    assert_int_equal(journal->inside, 0);
    for (int i = 0; i < 1000; i++) {
        note(&own, nodes[0], 5, 0);
        note(&shared, nodes[0], 50000, 0);
        journal_apply_own(&own);
    }
    journal_close(&own);
    assert_int_equal(journal->record->count, 20);
    assert_int_equal(shim.journal_shared->record->count, 0); // which is flushed after each event
    assert_int_equal(shim.header->heap_live, 20 * 7);
    assert_int_equal(shim.header->allocations, 20);
}

static void nobody_overruns_a_journal_before_it_is_told(void **state) {
    (void)state;
    static struct thread thread;
    thread = (struct thread){.generation = 1};
    journal_open(&thread);
    struct journal *journal = thread.journal;
    shim.lock.word = 1;
    shim.generation = SHIM_GIVEN_UP;
    for (int i = 0; i < 1000; i++)
        note(&thread, nodes[0], 5, 0);
    assert_in_range(journal->record->count, 1, RECORD_JOURNAL_EVENTS);
    assert_true(journal->stop & JOURNAL_ENDED);
}

// A hook was left inside its gate.
static void a_gate_is_opened_again(void **state) {
    (void)state;
    struct thread thread = {.generation = 1};
    journal_open(&thread);
    journal_lock(&thread);
    note(&thread, nodes[0], 7, 0);
    journal_lock(&thread);
    journal_mend(&thread);
    assert_int_equal(thread.journal->inside, 0);
    assert_int_equal(thread.journal->record->count, 0);
    assert_int_equal(shim.header->heap_live, 7);
    assert_int_equal(lock_thread.held, 0);
    journal_close(&thread);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_lost, set_up),
        cmocka_unit_test_setup(one_thread_is_exact, set_up),
        cmocka_unit_test_setup(threads_beyond_the_file_share, set_up),
        cmocka_unit_test_setup(what_comes_after_the_end_leads_nowhere, set_up),
        cmocka_unit_test_setup(nobody_overruns_a_journal_before_it_is_told, set_up),
        cmocka_unit_test_setup(a_gate_is_opened_again, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
