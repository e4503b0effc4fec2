// SPDX-License-Identifier: MIT
//
// A collector that stops all other threads wherever they are, in the way of Boehm's: by a signal whose
// handler waits for another one. Meanwhile it maps, unmaps and allocates.
//
// cflags: -O1 -L$OUT -Wl,-rpath,$OUT -lbump

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "wander.h"

enum { WORKERS = 4, CYCLES = 200, ROUNDS = 40000, PAGE = 4096 };

static sem_t stopped;
static atomic_int running, over;

static void stop(int number) {
    sigset_t all;

    (void)number;
    sem_post(&stopped);
    sigfillset(&all);
    sigdelset(&all, SIGUSR2);
    sigsuspend(&all);
}

static void go_on(int number) {
    (void)number;
}

static void *worker(void *number) {
    unsigned seed = *(unsigned *)number;

    running++;
    for (unsigned i = 0; !over && i < ROUNDS; i++) {
        seed = seed * 1103515245 + 12345;
        wander(seed >> 18);
    }
    while (!over) {
        const struct timespec moment = {0, 1000000};
        nanosleep(&moment, NULL);
    }
    return NULL;
}

int main(void) {
    struct sigaction stopping = {.sa_handler = stop, .sa_flags = SA_RESTART};
    struct sigaction going = {.sa_handler = go_on, .sa_flags = SA_RESTART};
    const struct timespec moment = {0, 500000};
    unsigned numbers[WORKERS];
    pthread_t workers[WORKERS];

    // Not before the handler waits for it.
    sigaddset(&stopping.sa_mask, SIGUSR2);
    REQUIRE(sem_init(&stopped, 0, 0) == 0);
    REQUIRE(sigaction(SIGUSR1, &stopping, NULL) == 0 && sigaction(SIGUSR2, &going, NULL) == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        numbers[i] = i + 1;
        REQUIRE(pthread_create(&workers[i], NULL, worker, &numbers[i]) == 0);
    }
    while (running < WORKERS)
        nanosleep(&moment, NULL);
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        char *pages;

        nanosleep(&moment, NULL);
        for (int i = 0; i < WORKERS; i++)
            REQUIRE(pthread_kill(workers[i], SIGUSR1) == 0);
        for (int i = 0; i < WORKERS; i++)
            while (sem_wait(&stopped) != 0)
                continue;
        pages = mmap(NULL, 7 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); // @mapped
        REQUIRE(pages != MAP_FAILED);
        pages[PAGE] = 1;
        free(opaque(malloc(100003 + (size_t)cycle))); // @collected
        REQUIRE(munmap(pages, 7 * PAGE) == 0);
        for (int i = 0; i < WORKERS; i++)
            REQUIRE(pthread_kill(workers[i], SIGUSR2) == 0);
    }
    over = 1;
    for (int i = 0; i < WORKERS; i++)
        REQUIRE(pthread_join(workers[i], NULL) == 0);
    opaque(malloc(4001)); // @after
    say("the world goes on\n");
    return 0;
}
