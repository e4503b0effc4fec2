// SPDX-License-Identifier: MIT
//
// Threads that are busy by themselves: each builds lists of short texts and drops them.
//
//   scaling THREADS ROUNDS         Each thread makes 100,000 allocations a round.

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTS = 100, ITEMS = 500 }; // two allocations an item

struct item {
    char *text;
    struct item *next;
};

static int rounds = 1;

static void *checked(void *block) {
    if (block == NULL)
        abort();
    return block;
}

static struct item *item_new(unsigned number, struct item *next) {
    char text[32];
    struct item *item = checked(malloc(sizeof *item));
    size_t length = 0;
    do
        text[length++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    item->text = checked(malloc(length + 1));
    memcpy(item->text, text, length);
    item->text[length] = '\0';
    item->next = next;
    return item;
}

static size_t release(struct item *list) {
    size_t bytes = 0;
    while (list != NULL) {
        struct item *next = list->next;
        bytes += strlen(list->text);
        free(list->text);
        free(list);
        list = next;
    }
    return bytes;
}

static void *body(void *seed) {
    unsigned number = (unsigned)(uintptr_t)seed;
    size_t bytes = 0;
    for (int i = 0; i < rounds * LISTS; i++) {
        struct item *list = NULL;
        for (int k = 0; k < ITEMS; k++) {
            number = number * 1664525 + 1013904223;
            list = item_new(number, list);
        }
        bytes += release(list);
    }
    return (void *)bytes;
}

int main(int argc, char **argv) {
    pthread_t threads[64];
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1, bytes = 0;
    if (count > sizeof threads / sizeof threads[0])
        return 2;
    if (argc > 2)
        rounds = atoi(argv[2]);
    if (count == 1) // the process stays single-threaded
        return printf("%zu\n", (size_t)body(NULL)) < 0;
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, body, (void *)(i * 7919 + 1)) != 0)
            abort();
    for (size_t i = 0; i < count; i++) {
        void *result;
        pthread_join(threads[i], &result);
        bytes += (size_t)result;
    }
    printf("%zu\n", bytes);
    return 0;
}
