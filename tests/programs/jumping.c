// SPDX-License-Identifier: MIT
//
// Signal handlers that interrupt allocations and do not come back: they leave by siglongjmp, hundreds of
// times. Legal, because the allocator that this is linked with can be left at any instruction.
//
// Usage: jumping alone|few|thread|threads|deep|aside [JUMPS]
//   few       all in the same few contexts, where little is ever learnt
//   thread    the same in another thread than the first
//   threads   three others allocate meanwhile
//   deep      jumps come back to where the stack is deeper than it was in the call that was left
//   aside     no jumps: the handler runs on a stack of its own, which lies in main's frame, and allocates
//
// cflags: -O1 -L$OUT -Wl,-rpath,$OUT -lbump

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include "target.h"

enum { ROUNDS = 120000, OTHERS = 3, SIDE_STACK = 65536 };

static sigjmp_buf back;
static volatile sig_atomic_t armed, jumps, most = 600, aside;
static unsigned contexts = 4096;
static volatile long rounds;
static atomic_int over;

static void handler(int number) {
    (void)number;
    if (aside)
        free(opaque(malloc(311))); // @handler
    else if (armed && jumps < most) {
        armed = 0;
        jumps++;
        siglongjmp(back, 1);
    }
}

// A block that is checked, so that a jump that harms the program does not go unnoticed.
static void work(unsigned seed) {
    unsigned char *block = malloc(101 + seed % 7); // @worked

    REQUIRE(block != NULL);
    memset(block, (int)(seed & 255), 101);
    block = realloc(block, 211); // @resized
    REQUIRE(block != NULL && block[0] == (seed & 255) && block[100] == (seed & 255));
    free(block);
}

// New contexts all the time: each number leads through other callers.
static __attribute__((noinline)) void wander(unsigned path, unsigned seed) {
    if (path == 0)
        work(seed);
    else if (path & 1)
        wander(path >> 1, seed); // @left
    else
        wander(path >> 1, seed); // @right
    __asm__ volatile("");
}

static void *other(void *unused) {
    (void)unused;
    for (unsigned i = 0; !over && i < 100000; i++) {
        free(opaque(malloc(307))); // @other
        if (i % 64 == 0)
            wander(i / 64 % 4096 + 1, i);
    }
    return NULL;
}

static __attribute__((noinline)) void loop(void) {
    while (rounds < ROUNDS) {
        armed = !aside;
        wander((unsigned)rounds % contexts + 1, (unsigned)rounds);
        armed = 0;
        rounds++;
    }
}

static __attribute__((noinline)) void deeper(int levels) {
    if (levels)
        deeper(levels - 1);
    else
        loop();
    __asm__ volatile("");
}

static void *fly(void *deep) {
    sigset_t alarms;

    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    REQUIRE(pthread_sigmask(SIG_UNBLOCK, &alarms, NULL) == 0);
    sigsetjmp(back, 1); // the round that was left is done again
    if (deep)
        deeper(jumps % 2 ? 40 : 4);
    else
        loop();
    return NULL;
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    struct itimerval often = {{0, 300}, {0, 300}};
    struct itimerval never = {{0, 0}, {0, 0}};
    pthread_t others[OTHERS];
    char side[SIDE_STACK];
    stack_t stack = {.ss_sp = side, .ss_size = sizeof side};
    const char *how = argc > 1 ? argv[1] : "alone";
    int threads = !strcmp(how, "threads");
    sigset_t alarms;

    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    aside = !strcmp(how, "aside");
    if (!strcmp(how, "few") || !strcmp(how, "thread"))
        contexts = 2;
    if (argc > 2)
        most = atoi(argv[2]);
    if (aside)
        REQUIRE(sigaltstack(&stack, NULL) == 0);
    REQUIRE(sigprocmask(SIG_BLOCK, &alarms, NULL) == 0);
    for (int i = 0; threads && i < OTHERS; i++)
        REQUIRE(pthread_create(&others[i], NULL, other, NULL) == 0);
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
    if (!strcmp(how, "thread")) {
        REQUIRE(pthread_create(&others[0], NULL, fly, NULL) == 0);
        REQUIRE(pthread_join(others[0], NULL) == 0);
    } else {
        fly(strcmp(how, "deep") ? NULL : others);
    }
    REQUIRE(setitimer(ITIMER_REAL, &never, NULL) == 0);
    over = 1;
    for (int i = 0; threads && i < OTHERS; i++)
        REQUIRE(pthread_join(others[i], NULL) == 0);
    opaque(malloc(4001)); // @after
    say("landed\n");
    return 0;
}
