// SPDX-License-Identifier: MIT
//
// Threads that take turns, so that the truth is known: which function's blocks were live at which moment.
// Usage: turns SEED THREADS STEPS. Prints for each function its highest live bytes and those at the end.

#include "target.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SITES 4
#define BLOCKS 512

struct block {
    void *address;
    size_t size;
    int site;
};

static struct block blocks[BLOCKS];
static long live[SITES], peak[SITES];
static unsigned long state;
static int threads, steps, step;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn;

static unsigned next(unsigned below) {
    state = state * 6364136223846793005ul + 1442695040888963407ul;
    return (unsigned)(state >> 33) % below;
}

#define SITE(n)                                                                                              \
    static __attribute__((noinline)) void *site_##n(size_t size) {                                           \
        void *block = malloc(size);                                                                          \
        __asm__ volatile("" : "+r"(block));                                                                  \
        return block;                                                                                        \
    }
SITE(0)
SITE(1)
SITE(2)
SITE(3)

static void act(void) {
    static void *(*const sites[SITES])(size_t) = {site_0, site_1, site_2, site_3};
    struct block *block = &blocks[next(BLOCKS)];
    if (block->address) {
        free(block->address);
        block->address = NULL;
        live[block->site] -= (long)block->size;
        return;
    }
    block->site = (int)next(SITES);
    block->size = 1 + next(next(20) == 0 ? 30000 : 300);
    block->address = sites[block->site](block->size);
    live[block->site] += (long)block->size;
    if (live[block->site] > peak[block->site])
        peak[block->site] = live[block->site];
}

static void *body(void *which) {
    pthread_mutex_lock(&lock);
    while (step < steps) {
        if (turn != (int)(long)which) {
            pthread_cond_wait(&turned, &lock);
            continue;
        }
        for (unsigned left = 1 + next(40); left && step < steps; left--, step++)
            act();
        turn = (int)next((unsigned)threads);
        pthread_cond_broadcast(&turned);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t ids[64];
    if (argc < 4)
        return 2;
    state = strtoul(argv[1], NULL, 10);
    threads = atoi(argv[2]);
    steps = atoi(argv[3]);
    for (long i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, body, (void *)i);
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    for (int i = 0; i < SITES; i++)
        printf("site_%d %ld %ld\n", i, peak[i], live[i]);
    return 0;
}
