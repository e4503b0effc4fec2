// SPDX-License-Identifier: MIT
// needs: shim/lock.c shim/arena.c tests/unit/shim_double.c -lpthread
//
// How long a thread waits for a lock, by what its holder does meanwhile.

#include "shim/clock.h"
#include "shim/guard.h"
#include "tests/unit/shim_double.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <pthread.h>
#include <unistd.h>

static struct lock lock;
static uint32_t ready;

static void *hold(void *what) {
    void (*holder)(void) = *(void (**)(void))what;
    lock_thread = (struct lock_thread){.tid = (uint32_t)sys_gettid()};
    enum lock_got got = lock_take(&lock);
    __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
    holder();
    if (lock_thread.held)
        lock_drop(&lock, got);
    return NULL;
}

static void sleep_long(void) {
    sleep(3);
}

static void compute(void) {
    uint64_t start = clock_monotonic();
    while (clock_monotonic() - start < 1700000000)
        continue;
}

static void leave(void) {
    lock_thread.held = 0; // so it is never given back
}

// Nobody else gets a turn, but turns are made.
static void go_on(void) {
    for (int i = 0; i < 34; i++) {
        usleep(50000);
        __atomic_fetch_add(&lock.turns, 1, __ATOMIC_RELAXED);
    }
}

// How long the lock was waited for, in ms; *got: what came of it.
static unsigned wait_for(void (*holder)(void), enum lock_got *got) {
    pthread_t thread;
    shim_double_reset(8);
    lock = (struct lock){0};
    ready = 0;
    shim.generation = 1;
    pthread_create(&thread, NULL, hold, &holder);
    while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
        usleep(1000);
    uint64_t start = clock_monotonic();
    *got = lock_take(&lock);
    unsigned waited = (unsigned)((clock_monotonic() - start) / 1000000);
    assert_int_equal(lock_thread.held, *got != LOCK_REFUSED);
    assert_int_equal(shim.generation == SHIM_GIVEN_UP, *got == LOCK_REFUSED);
    lock_drop(&lock, *got);
    if (*got == LOCK_REFUSED) { // and from now on at once
        assert_int_equal(shim.header->given_up, RECORD_GAVE_UP_STUCK);
        start = clock_monotonic();
        if (__atomic_load_n(&lock.word, __ATOMIC_RELAXED)) // its holder goes on at any time
            assert_int_equal(lock_take(&lock), LOCK_REFUSED);
        assert_true(clock_monotonic() - start < 50000000);
    }
    pthread_join(thread, NULL);
    return waited;
}

static void one_that_sleeps_is_not_waited_for(void **state) {
    (void)state;
    enum lock_got got;
    unsigned waited = wait_for(sleep_long, &got);
    assert_int_equal(got, LOCK_REFUSED);
    assert_in_range(waited, 900, 2500);
}

static void one_that_is_no_more_is_not_waited_for(void **state) {
    (void)state;
    enum lock_got got;
    unsigned waited = wait_for(leave, &got);
    assert_int_equal(got, LOCK_REFUSED);
    assert_in_range(waited, 900, 2500);
}

static void one_that_works_is_waited_for(void **state) {
    (void)state;
    enum lock_got got;
    unsigned waited = wait_for(compute, &got);
    assert_int_equal(got, LOCK_TAKEN);
    assert_in_range(waited, 1500, 10000);
}

static void turns_of_others_are_waited_for(void **state) {
    (void)state;
    enum lock_got got;
    unsigned waited = wait_for(go_on, &got);
    assert_int_equal(got, LOCK_TAKEN);
    assert_in_range(waited, 1500, 10000);
}

static void *ask(void *got) {
    lock_thread.tid = (uint32_t)sys_gettid();
    *(enum lock_got *)got = lock_take(&lock);
    return NULL;
}

// The only thread leaves the books as they are, as a handler that jumps does; then there is another one.
static void what_a_lone_thread_left_is_not_touched(void **state) {
    (void)state;
    enum lock_got got;
    pthread_t thread;
    shim_double_reset(8);
    lock = (struct lock){0};
    shim.generation = 1;
    assert_false(lock_needed());
    assert_int_equal(lock_take(&lock), LOCK_ALONE);
    lock_drop(&lock, LOCK_ALONE);
    assert_int_equal(lock_thread.held, 0);
    assert_int_equal(lock_take(&lock), LOCK_ALONE);
    assert_int_equal(lock_thread.held, 1);
    pthread_create(&thread, NULL, ask, &got);
    pthread_join(thread, NULL);
    assert_int_equal(got, LOCK_REFUSED);
    assert_int_equal(shim.generation, SHIM_GIVEN_UP);
    lock_thread.held = 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_lone_thread_left_is_not_touched), // first: threads come later
        cmocka_unit_test(one_that_sleeps_is_not_waited_for),
        cmocka_unit_test(one_that_is_no_more_is_not_waited_for),
        cmocka_unit_test(one_that_works_is_waited_for),
        cmocka_unit_test(turns_of_others_are_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
