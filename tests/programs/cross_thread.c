// SPDX-License-Identifier: MIT
//
// One thread allocates, another one frees.

#include <pthread.h>
#include <stdlib.h>

#include "target.h"

enum { BLOCKS = 1000 };
static void *blocks[BLOCKS];

static void *produce(void *unused) {
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(1013); // @produce
    return unused;
}

static void *consume(void *unused) {
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]); // @consume
    return unused;
}

static void run(void *(*body)(void *)) {
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, body, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

int main(void) {
    run(produce);
    run(consume);
    return 0;
}
