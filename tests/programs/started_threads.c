// SPDX-License-Identifier: MIT
//
// A library with threads of its own, which allocate and start others.
//
// cflags: -shared -fPIC -pthread
//
// output: libstarted_threads.so

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

void started_threads(int count, size_t size);
void started_before(size_t size);
void started_child(size_t size);

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

static void *started_nothing(void *argument) {
    return argument;
}

// Starts a thread, and allocates itself.
void started_before(size_t size) {
    pthread_t thread;
    pthread_create(&thread, NULL, started_nothing, NULL);
    pthread_join(thread, NULL);
    started_kept = malloc(size);
}

static void *started_fork(void *argument) {
    const pid_t pid = fork();
    if (pid == 0) {
        started_kept = malloc(*(size_t *)argument);
        _exit(started_kept ? 0 : 1);
    }
    waitpid(pid, NULL, 0);
    return NULL;
}

// A thread that has done nothing else forks.
void started_child(size_t size) {
    pthread_t thread;
    pthread_create(&thread, NULL, started_fork, &size);
    pthread_join(thread, NULL);
}
