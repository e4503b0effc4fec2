// SPDX-License-Identifier: MIT
//
// Four threads that free each other's blocks: each puts a block into a random slot and frees what was there.

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "target.h"

enum { THREADS = 4, SLOTS = 1024, ROUNDS = 100000 };
static _Atomic(void *) slots[SLOTS];

static void *body(void *seed) {
    uint64_t state = (uint64_t)(uintptr_t)seed;

    for (int i = 0; i < ROUNDS; i++) {
        void *block;

        state = state * 6364136223846793005u + 1442695040888963407u;
        block = malloc(211); // @malloc
        if (state >> 63)
            block = realloc(block, 307); // @realloc
        memset(block, 1, 211);
        free(atomic_exchange(&slots[(state >> 33) % SLOTS], block)); // @free
    }
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, body, (void *)(i * 7919 + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < SLOTS; i++)
        free(slots[i]); // @last_free
    return 0;
}
