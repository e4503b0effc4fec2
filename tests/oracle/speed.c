// SPDX-License-Identifier: MIT
//
// What a capture costs: nanoseconds at several depths, with frames unchanged and with frames that are new.
// Built and run by tests/oracle/run.sh speed.

#include "shim/unwind.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 400
#define REPEATS 2000 // the best counts: the machine may be busy

static struct unwind_state state;
static struct unwind_stack stack;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

// Stands for a hook.
__attribute__((noinline)) static unsigned hook(void) {
    return unwind_capture(&stack, __builtin_frame_address(0));
}

static unsigned (*volatile call)(void) = hook;

#define STEP(name, next)                                                                                     \
    __attribute__((noinline)) static unsigned name(void) {                                                   \
        unsigned result = next();                                                                            \
        __asm__ volatile("");                                                                                \
        return result + 1;                                                                                   \
    }

STEP(one, call)
STEP(two, one)
STEP(three, two)
STEP(four, three)
STEP(other_one, call)
STEP(other_two, other_one)
STEP(other_three, other_two)
STEP(other_four, other_three)

static void measure(const char *what, unsigned rounds, unsigned (*even)(void), unsigned (*odd)(void)) {
    double best = 1e18;
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        double start = now();
        for (unsigned round = 0; round < rounds; round++)
            (round & 1 ? odd : even)();
        double each = (now() - start) / rounds;
        if (each < best)
            best = each;
    }
    printf("  %-28s %8.1f ns\n", what, best);
}

__attribute__((noinline)) static unsigned measure_all(unsigned rounds) {
    hook();
    printf("depth %u\n", stack.depth);
    measure("unchanged", rounds, hook, hook);
    measure("1 new frame", rounds, one, other_one);
    measure("2 new frames", rounds, two, other_two);
    measure("3 new frames", rounds, three, other_three);
    measure("4 new frames", rounds, four, other_four);
    unwind_stack_reset(&stack);
    double start = now();
    for (unsigned round = 0; round < 1000; round++) {
        stack.depth = 0;
        hook();
    }
    printf("  %-28s %8.1f ns\n", "all new", (now() - start) / 1000);
    return 0;
}

__attribute__((noinline)) static unsigned descend(unsigned depth, unsigned rounds) {
    unsigned result = depth ? descend(depth - 1, rounds) : measure_all(rounds);
    __asm__ volatile("");
    return result + 1;
}

static void *thread(void *unused) {
    descend(10, ROUNDS);
    descend(40, ROUNDS);
    descend(1000, ROUNDS / 10);
    descend(100000, 2);
    return unused;
}

int main(void) {
    unwind_init(&state);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64u << 20);
    pthread_t id;
    pthread_create(&id, &attributes, thread, NULL);
    pthread_join(id, NULL);
}
