// SPDX-License-Identifier: MIT
//
// Two threads that free each other's blocks.

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 4096 };
static _Atomic(void *) slots[SLOTS];
static int rounds = 1;

static void *body(void *seed) {
    uint64_t random = (uint64_t)(uintptr_t)seed;

    for (int i = 0; i < rounds; i++) {
        void *block;
        size_t size;

        random = random * 6364136223846793005u + 1442695040888963407u;
        size = 16 + (random >> 56);
        block = malloc(size);
        if (block == NULL)
            abort();
        memset(block, 1, size);
        free(atomic_exchange(&slots[(random >> 33) % SLOTS], block));
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[2];

    if (argc > 1)
        rounds = atoi(argv[1]) * 1000;
    for (uintptr_t i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, body, (void *)(i * 7919 + 1)) != 0)
            abort();
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    puts("done");
    return 0;
}
