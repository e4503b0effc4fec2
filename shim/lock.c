// SPDX-License-Identifier: MIT
//
// How long a thread of the host waits for the books.
//
// Sections under a lock are short: micro- or milliseconds. When a second has passed without the lock having
// been given back once, its holder is looked at. If it sleeps, a signal handler has stopped it (a garbage
// collector's that stops the world, perhaps in favour of this very thread), or it left the section without
// coming back: then recording is given up. If it wants to run and gets no processor, waits for the disk, or
// is stopped by a debugger, it gets more time, though not for ever.
//
// Time is counted in slices, each counted once however long it took: when the whole process was stopped
// (SIGSTOP, a frozen container, a suspended machine), nobody has been impatient.

#include "shim/lock.h"
#include "shim/clock.h"
#include "shim/guard.h"

#define LOCK_SPINS 100
#define LOCK_SLICE_NS 50000000
#define LOCK_SLICES 20              // then the holder is looked at
#define LOCK_LOOKS 60               // so often it is found to be merely slow
#define LOCK_COMPUTED_NS 4000000000 // processor time that no section takes

__thread struct lock_thread lock_thread;

struct lock_patience {
    uint32_t turns, holder;
    uint32_t slices, looks;
    uint64_t slice; // when it began
    uint64_t computed;
};

// The processor time of a thread of this process, as pthread_getcpuclockid names that clock. False: there is
// no such thread.
static bool lock_computed(uint32_t tid, uint64_t *ns) {
    struct timespec time;
    const int clock = (int)(~tid << 3 | 6); // CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED
    if (sys_failed(sys_call(SYS_clock_gettime, clock, (long)&time, 0, 0, 0, 0)))
        return false;
    *ns = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
    return true;
}

// Field 3 of /proc/self/task/TID/stat; 0: cannot be read.
static char lock_state(uint32_t tid) {
    static const char before[] = "/proc/self/task/", after[] = "/stat";
    char path[sizeof before + SYS_DECIMAL + sizeof after], text[256];
    __builtin_memcpy(path, before, sizeof before);
    char *at = path + sizeof before - 1;
    at += sys_decimal(at, tid);
    __builtin_memcpy(at, after, sizeof after);
    sys_read_text(path, text, sizeof text);
    at = __builtin_strrchr(text, ')'); // the name before it may hold anything
    return at && at[1] == ' ' ? at[2] : '\0';
}

static void lock_begin_patience(const struct lock *lock, struct lock_patience *patience) {
    *patience = (struct lock_patience){
        .turns = __atomic_load_n(&lock->turns, __ATOMIC_RELAXED),
        .holder = __atomic_load_n(&lock->holder, __ATOMIC_RELAXED),
        .slice = clock_monotonic(),
    };
    if (patience->holder)
        lock_computed(patience->holder, &patience->computed);
}

// Whether the holder is only slow.
static bool lock_is_slow(const struct lock_patience *patience) {
    uint64_t computed = 0;
    if (!patience->holder || patience->holder == lock_thread.tid)
        return false; // we ourselves have left without giving it back
    if (!lock_computed(patience->holder, &computed))
        return false; // it is no more
    computed -= patience->computed;
    switch (lock_state(patience->holder)) {
    case 'R': // runs, or wants to
    case 'D': // in the kernel: the disk, as a rule
    case 'T':
    case 't':
        return computed < LOCK_COMPUTED_NS;
    case '\0':
        return computed && computed < LOCK_COMPUTED_NS;
    default:
        return false;
    }
}

// After each piece of waiting.
static bool lock_is_patient(const struct lock *lock, struct lock_patience *patience) {
    if (__atomic_load_n(&lock->turns, __ATOMIC_RELAXED) != patience->turns) {
        lock_begin_patience(lock, patience);
        return true;
    }
    const uint64_t now = clock_monotonic();
    if (now - patience->slice < LOCK_SLICE_NS)
        return true; // woken, or interrupted by a signal
    patience->slice = now;
    if (++patience->slices < LOCK_SLICES)
        return true;
    patience->slices = 0;
    return ++patience->looks <= LOCK_LOOKS && lock_is_slow(patience);
}

__attribute__((noinline, cold)) bool lock_wait(struct lock *lock) {
    for (int spin = 0; spin < LOCK_SPINS; spin++) {
        if (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) == 0 && lock_try(lock))
            return true;
        __builtin_ia32_pause();
    }
    const struct timespec slice = {.tv_nsec = LOCK_SLICE_NS};
    struct lock_patience patience;
    lock_begin_patience(lock, &patience);
    while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0) {
        if (guard_gave_up())
            return false;
        sys_call_always(SYS_futex, (long)&lock->word, FUTEX_WAIT_PRIVATE, 2, (long)&slice, 0, 0);
        if (!lock_is_patient(lock, &patience)) {
            guard_give_up(RECORD_GAVE_UP_STUCK);
            return false;
        }
    }
    return true;
}
