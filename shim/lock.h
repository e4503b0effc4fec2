// SPDX-License-Identifier: MIT
//
// The shim's only lock: three states on a futex word (Drepper, "Futexes Are Tricky", mutex 2). Not
// recursive: the guard (guard.h) keeps a thread from meeting its own lock. While the process has a single
// thread, a plain store takes it.
//
// Nobody waits for ever: whoever holds a lock may have been stopped by a signal handler, or may be gone. When
// patience is over (lock.c), recording is given up for good, and this and all later attempts are refused. So
// every caller must cope with LOCK_REFUSED: leave the books alone, without another word to the host.
//
// Order: shim.lock, then a journal's, then shim.side.lock or shim.arena.lock; never the other way round, and
// no call into the C library's loader under any of them, since another thread may hold the loader's lock and
// allocate.

#ifndef PEAKLINE_LOCK_H
#define PEAKLINE_LOCK_H

#include "shim/own.h"
#include "shim/sys.h"

#include <linux/futex.h>

struct lock {
    uint32_t word;   // 0 free, 1 taken, 2 taken and waited for
    uint32_t turns;  // how often it was given back; changed by holders only
    uint32_t holder; // the last one's thread id: whom those wait for who wait
};

enum lock_got {
    LOCK_REFUSED = 0, // recording has been given up; there is nothing to give back
    LOCK_ALONE,       // taken by the only thread
    LOCK_TAKEN,
};

// Of the calling thread. `held`: how many locks it holds, or the like (lock_begin); while it is not 0, the
// books may be half changed.
struct lock_thread {
    uint32_t held;
    uint32_t tid; // 0 = not known yet
};

extern SHIM_OWN __thread struct lock_thread lock_thread;

// glibc 2.32 and later; older ones take the lock always.
extern char __libc_single_threaded __attribute__((weak));

static inline bool lock_needed(void) {
    return !&__libc_single_threaded || !__libc_single_threaded;
}

// Waits with patience. False: recording has been given up, by this thread or another.
bool lock_wait(struct lock *lock);

// What is done between these two may be half done when a signal handler interrupts it.
static inline void lock_begin(void) {
    lock_thread.held++;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void lock_end(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    lock_thread.held--;
}

static inline bool lock_try(struct lock *lock) {
    uint32_t expected = 0;
    return __atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

// Returns what lock_drop must be told.
static inline __attribute__((warn_unused_result)) enum lock_got lock_take(struct lock *lock) {
    if (!lock_needed() && __atomic_load_n(&lock->word, __ATOMIC_RELAXED) == 0) {
        lock_begin();
        __atomic_store_n(&lock->holder, lock_thread.tid, __ATOMIC_RELAXED);
        __atomic_store_n(&lock->word, 1, __ATOMIC_RELAXED);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        return LOCK_ALONE;
    }
    if (!lock_try(lock) && !lock_wait(lock))
        return LOCK_REFUSED;
    __atomic_store_n(&lock->holder, lock_thread.tid, __ATOMIC_RELAXED);
    lock_begin();
    return LOCK_TAKEN;
}

static inline void lock_drop(struct lock *lock, enum lock_got got) {
    if (got == LOCK_REFUSED)
        return;
    __atomic_store_n(&lock->turns, lock->turns + 1, __ATOMIC_RELAXED);
    if (got == LOCK_ALONE)
        __atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
    else if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2)
        sys_futex(&lock->word, FUTEX_WAKE_PRIVATE, 1);
    // Last: a thread that is lost before this has had the lock in its hands.
    lock_end();
}

#define LOCK_NAP_NS 20000 // and what the kernel adds, 50 us as a rule

#define LOCK_NAP_TURNS 1000 // awake, where no system call may be made

static inline void lock_nap(void) {
    const struct timespec pause = {.tv_nsec = LOCK_NAP_NS};
    for (int turn = 0; sys_is_confined() && turn < LOCK_NAP_TURNS; turn++)
        __builtin_ia32_pause();
    sys_call(SYS_nanosleep, (long)&pause, 0, 0, 0, 0, 0);
}

// For locks that are taken although there may be a single thread, and given back by lock_give. False: not
// within so many naps, which pass by when the process is stopped, unlike time.
__attribute__((noinline, unused)) static bool lock_take_within(struct lock *lock, unsigned naps) {
    while (!lock_try(lock)) {
        if (naps-- == 0)
            return false;
        lock_nap();
    }
    __atomic_store_n(&lock->holder, lock_thread.tid, __ATOMIC_RELAXED);
    lock_begin();
    return true;
}

static inline void lock_give(struct lock *lock) {
    lock_drop(lock, LOCK_TAKEN);
}

#endif
