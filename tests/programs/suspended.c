// SPDX-License-Identifier: MIT
//
// A process that is stopped as a whole (SIGSTOP), for three seconds, while its threads stand in each other's
// way: what is stopped is not stuck.

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "wander.h"

enum { THREADS = 4, PAGE = 4096 };

static atomic_int over;

static void *crowd(void *number) {
    unsigned seed = *(unsigned *)number;

    while (!over) {
        void *pages = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        REQUIRE(pages != MAP_FAILED);
        seed = seed * 1103515245 + 12345;
        wander(seed >> 20);
        REQUIRE(munmap(pages, PAGE) == 0);
    }
    opaque(malloc(1009)); // @kept
    return NULL;
}

static void pause_for(long ms) {
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&time, NULL);
}

int main(void) {
    pid_t process = getpid(), other;
    unsigned numbers[THREADS];
    pthread_t threads[THREADS];

    other = fork();
    REQUIRE(other >= 0);
    if (other == 0) {
        for (int i = 0; i < 3; i++) {
            pause_for(150);
            REQUIRE(kill(process, SIGSTOP) == 0);
            pause_for(i ? 300 : 3000);
            REQUIRE(kill(process, SIGCONT) == 0);
        }
        _exit(0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i + 1;
        REQUIRE(pthread_create(&threads[i], NULL, crowd, &numbers[i]) == 0);
    }
    REQUIRE(waitpid(other, NULL, 0) == other);
    over = 1;
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    say("awake\n");
    return 0;
}
