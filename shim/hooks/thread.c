// SPDX-License-Identifier: MIT
//
// pthread_create: a thread takes along which line started it (origin.h). It begins in a function of ours
// then, which jumps to its own and is on no stack. Where nothing is known, the thread begins as it would
// without us.

#include "shim/arena.h"
#include "shim/guard.h"
#include "shim/origin.h"
#include "shim/real.h"

#include <errno.h>
#include <pthread.h>

struct thread_start {
    void *(*begin)(void *);
    void *argument;
    uint32_t origin, generation;
    struct thread_start *next; // of those that have begun
};

// A new thread holds neither the guard nor a lock, so it leaves its block to the next one that starts
// another.
static void *thread_begin(void *argument) {
    struct thread_start *start = argument, *next;
    void *(*const begin)(void *) = start->begin;
    void *const its = start->argument;
    thread_self.origin = start->origin;
    thread_self.origin_generation = start->generation;
    next = __atomic_load_n(&shim.starts_done, __ATOMIC_RELAXED);
    do {
        start->next = next;
    } while (!__atomic_compare_exchange_n(&shim.starts_done, &next, start, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
    return begin(its);
}

static struct thread_start *thread_start(void *(*begin)(void *), void *argument) {
    struct thread *thread = guard_enter();
    if (!thread)
        return NULL;
    struct thread_start *done = __atomic_exchange_n(&shim.starts_done, NULL, __ATOMIC_ACQUIRE), *start = NULL;
    while (done) {
        struct thread_start *next = done->next;
        arena_free(done, sizeof *done);
        done = next;
    }
    const uint32_t origin = origin_find(thread);
    if (origin && (start = arena_alloc(sizeof *start)) != NULL)
        *start = (struct thread_start){begin, argument, origin, shim.generation, NULL};
    guard_leave(thread);
    return start;
}

static void thread_start_forget(struct thread_start *start) {
    struct thread *thread = start ? guard_enter() : NULL;
    if (!thread)
        return;
    arena_free(start, sizeof *start);
    guard_leave(thread);
}

int pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*begin)(void *), void *argument) {
    if (!real_resolve() || !real_starts_threads())
        return EAGAIN;
    const int saved_errno = errno;
    struct thread_start *start = thread_start(begin, argument);
    errno = saved_errno;
    const int result = start ? real.pthread_create(out, attributes, thread_begin, start)
                             : real.pthread_create(out, attributes, begin, argument);
    if (result != 0)
        thread_start_forget(start);
    return result;
}
