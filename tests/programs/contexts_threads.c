// SPDX-License-Identifier: MIT
//
// Threads in more calling contexts than a recording can hold. They put blocks into common places and free or
// resize what they find there, so that most blocks are freed by another thread, long after their context was
// folded. At last it says what each function has allocated and what is left of that, which no order of the
// threads changes for the former.

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "levels.h"
#include "target.h"

enum { THREADS = 4, ROUNDS = 40000, PLACES = 3000, KINDS = 3 };

struct block {
    uint32_t kind, size;
};

static struct block *places[PLACES];

struct truth {
    long long allocations, bytes, left;
};

static struct truth truths[KINDS];

static void count(int kind, long long allocated, long long left) {
    if (allocated) {
        __atomic_fetch_add(&truths[kind].allocations, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&truths[kind].bytes, allocated, __ATOMIC_RELAXED);
    }
    __atomic_fetch_add(&truths[kind].left, left, __ATOMIC_RELAXED);
}

static void fill(struct block *block, uint32_t kind, uint32_t size) {
    REQUIRE(block);
    *block = (struct block){kind, size};
    count((int)kind, size, size);
}

static void drop(struct block *block) {
    if (block)
        count((int)block->kind, 0, -(long long)block->size);
    free(block);
}

static struct block **place(uint64_t random) {
    return &places[(random >> 32) % PLACES];
}

static void odd(uint64_t random) {
    struct block *block = malloc(33); // @odd

    fill(block, 0, 33);
    drop(__atomic_exchange_n(place(random), block, __ATOMIC_ACQ_REL));
}

static void even(uint64_t random) {
    struct block *block = malloc(58); // @even

    fill(block, 1, 58);
    drop(__atomic_exchange_n(place(random), block, __ATOMIC_ACQ_REL));
}

static void resized(uint64_t random) {
    struct block *block = __atomic_exchange_n(place(random), NULL, __ATOMIC_ACQ_REL);

    if (!block)
        return;
    count((int)block->kind, 0, -(long long)block->size);
    block = realloc(block, 87); // @resized
    fill(block, 2, 87);
    drop(__atomic_exchange_n(place(random << 7), block, __ATOMIC_ACQ_REL));
}

static void leaf(uint64_t random) {
    if (random >> 62 == 0)
        resized(random);
    else if (random >> 61 & 1)
        odd(random);
    else
        even(random);
}

LEVELS_0_TO_12

static void *work(void *seed) {
    uint64_t random = (uintptr_t)seed * 7919 + 1;

    for (int i = 0; i < ROUNDS; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        level_12(random >> 3 ^ random << 61); // @call
    }
    return NULL;
}

int main(void) {
    static const char *const names[KINDS] = {"odd", "even", "resized"};
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < PLACES; i += 2)
        drop(places[i]);
    for (int i = 0; i < KINDS; i++) {
        say(names[i]);
        say_number(" ", truths[i].allocations);
        say_number("", truths[i].bytes);
        say_number("", truths[i].left);
    }
    return 0;
}
