// SPDX-License-Identifier: MIT
//
// Threads that are cancelled at any instruction of an allocation. Legal, because the allocator that this is
// linked with can be left at any instruction.
//
// cflags: -O1 -L$OUT -Wl,-rpath,$OUT -lbump

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "wander.h"

enum { VICTIMS = 300, WORKERS = 2 };

static atomic_int over, started;

static void *victim(void *unused) {
    unsigned i = 0;

    (void)unused;
    started = 1;
    REQUIRE(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL) == 0);
    for (;;) {
        free(opaque(malloc(101))); // @cancelled
        wander(++i % 2048 + 1);
    }
    return NULL;
}

static void *worker(void *unused) {
    (void)unused;
    for (unsigned i = 0; !over && i < 200000; i++)
        free(opaque(malloc(307))); // @worker
    return NULL;
}

int main(void) {
    const struct timespec moment = {0, 150000};
    pthread_t workers[WORKERS];

    for (int i = 0; i < WORKERS; i++)
        REQUIRE(pthread_create(&workers[i], NULL, worker, NULL) == 0);
    for (int i = 0; i < VICTIMS; i++) {
        pthread_t thread;
        void *result;

        started = 0;
        REQUIRE(pthread_create(&thread, NULL, victim, NULL) == 0);
        while (!started)
            nanosleep(&moment, NULL);
        nanosleep(&moment, NULL);
        REQUIRE(pthread_cancel(thread) == 0);
        REQUIRE(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    }
    over = 1;
    for (int i = 0; i < WORKERS; i++)
        REQUIRE(pthread_join(workers[i], NULL) == 0);
    opaque(malloc(4001)); // @after
    say("all gone\n");
    return 0;
}
