// SPDX-License-Identifier: MIT
//
// Threads that recurse and allocate: on stacks that the C library made, on stacks of the program's own, on
// the smallest possible ones; started by threads, ended at once, many after another.

#include "target.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

__attribute__((noinline)) static void work(unsigned depth) {
    free(opaque(malloc(51)));
    if (depth)
        work(depth - 1);
    free(opaque(malloc(53)));
}

static void *run(void *depth) {
    for (unsigned i = 0; i < 20; i++)
        work((unsigned)(size_t)depth + i % 3);
    return NULL;
}

static void *run_and_start(void *depth) {
    pthread_t inner;
    work(3);
    REQUIRE(pthread_create(&inner, NULL, run, depth) == 0);
    run(depth);
    REQUIRE(pthread_join(inner, NULL) == 0);
    return NULL;
}

int main(void) {
    pthread_attr_t own, small;
    size_t size = 256u << 10;
    pthread_attr_init(&own);
    pthread_attr_init(&small);
    char *stacks = mmap(NULL, 4 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(stacks != MAP_FAILED);
    REQUIRE(pthread_attr_setstacksize(&small, (size_t)PTHREAD_STACK_MIN + (64u << 10)) == 0);
    for (unsigned round = 0; round < 50; round++) {
        pthread_t threads[6];
        for (unsigned i = 0; i < 6; i++) {
            pthread_attr_t *attributes = NULL;
            if (i < 2) {
                REQUIRE(pthread_attr_setstack(&own, stacks + ((round + i) % 4) * size, size) == 0);
                attributes = &own;
            } else if (i < 4) {
                attributes = &small;
            }
            REQUIRE(pthread_create(&threads[i], attributes, i % 2 ? run : run_and_start,
                                   (void *)(size_t)(i * 7)) == 0);
        }
        run((void *)5);
        for (unsigned i = 0; i < 6; i++)
            REQUIRE(pthread_join(threads[i], NULL) == 0);
    }
    say("done\n");
}
