// SPDX-License-Identifier: MIT
//
// A library with threads of its own, which allocate and start others.
//
// cflags: -shared -fPIC -pthread
//
// output: libstarted_threads.so

#include <pthread.h>
#include <stdlib.h>

void started_threads(int count, size_t size);

struct work {
    size_t size;
    int more;
};

static void *volatile started_kept;

static void *started_work(void *argument) {
    const struct work *work = argument;
    started_kept = malloc(work->size);
    if (work->more) {
        struct work next = {work->size, work->more - 1};
        pthread_t thread;
        pthread_create(&thread, NULL, started_work, &next);
        pthread_join(thread, NULL);
    }
    return NULL;
}

// Each of `count` threads is started by the one before.
void started_threads(int count, size_t size) {
    struct work work = {size, count - 1};
    pthread_t thread;
    pthread_create(&thread, NULL, started_work, &work);
    pthread_join(thread, NULL);
}
