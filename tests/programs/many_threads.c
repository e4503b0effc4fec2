// SPDX-License-Identifier: MIT
//
// A thousand threads, fifty at a time; each allocates, keeps one block and frees another.

#include <pthread.h>
#include <stdlib.h>

#include "target.h"

enum { THREADS = 1000, BATCH = 50 };
static void *kept[THREADS];

static void *body(void *slot) {
    *(void **)slot = malloc(1021); // @kept
    for (int i = 0; i < 10; i++)
        free(opaque(malloc(1031))); // @freed
    return NULL;
}

int main(void) {
    pthread_t threads[BATCH];

    for (int start = 0; start < THREADS; start += BATCH) {
        for (int i = 0; i < BATCH; i++)
            REQUIRE(pthread_create(&threads[i], NULL, body, &kept[start + i]) == 0);
        for (int i = 0; i < BATCH; i++)
            REQUIRE(pthread_join(threads[i], NULL) == 0);
    }
    return 0;
}
