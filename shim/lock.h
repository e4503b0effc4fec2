// SPDX-License-Identifier: MIT
//
// The shim's only lock: three states on a futex word (Drepper, "Futexes Are Tricky", mutex 2). No owner, not
// recursive: the guard (guard.h) keeps a thread from meeting its own lock. While the process has a single
// thread, nothing is taken at all.
//
// Order: shim.lock, then a journal's, then shim.side.lock or shim.arena.lock; never the other way round, and
// no call into the C library's loader under any of them, since another thread may hold the loader's lock and
// allocate.

#ifndef PEAKLINE_LOCK_H
#define PEAKLINE_LOCK_H

#include "shim/clock.h"
#include "shim/sys.h"

#include <linux/futex.h>

struct lock {
    uint32_t word; // 0 free, 1 taken, 2 taken and waited for
};

// glibc 2.32 and later; older ones take the lock always.
extern char __libc_single_threaded __attribute__((weak));

static inline bool lock_needed(void) {
    return !&__libc_single_threaded || !__libc_single_threaded;
}

__attribute__((noinline, cold)) static void lock_wait(struct lock *lock) {
    for (int spin = 0; spin < 100; spin++) {
        uint32_t expected = 0;
        if (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
        __builtin_ia32_pause();
    }
    while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
        sys_futex(&lock->word, FUTEX_WAIT_PRIVATE, 2);
}

// Returns what lock_drop must be told: whether the lock was really taken.
static inline bool lock_take(struct lock *lock) {
    if (!lock_needed())
        return false;
    uint32_t expected = 0;
    if (!__atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        lock_wait(lock);
    return true;
}

static inline void lock_drop(struct lock *lock, bool taken) {
    if (taken && __atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2)
        sys_futex(&lock->word, FUTEX_WAKE_PRIVATE, 1);
}

// For locks that are taken although there may be a single thread, and given back by lock_give. False: not
// within `ns`.
__attribute__((noinline, unused)) static bool lock_take_within(struct lock *lock, uint64_t ns) {
    uint32_t expected = 0;
    if (__atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return true;
    uint64_t start = clock_monotonic();
    do {
        const struct timespec pause = {.tv_nsec = 20000};
        sys_call(SYS_nanosleep, (long)&pause, 0, 0, 0, 0, 0);
        expected = 0;
        if (__atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return true;
    } while (clock_monotonic() - start < ns);
    return false;
}

static inline void lock_give(struct lock *lock) {
    lock_drop(lock, true);
}

#endif
