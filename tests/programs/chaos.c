// SPDX-License-Identifier: MIT
//
// All at once: threads that free each other's blocks, ten thousand threads that come and go, forks, execs,
// and libraries that are loaded and unloaded. Usage: chaos DIRECTORY-OF-PLUGINS
//
// cflags: -ldl

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "target.h"

enum { SLOTS = 64, ROUNDS = 100000, WORKERS = 3, BRIEF = 10000, BATCH = 20, FORKS = 24, LOADS = 100 };

static _Atomic(void *) slots[SLOTS];
static const char *directory;

static void *work(void *seed) {
    uint64_t state = (uintptr_t)seed;
    for (int i = 0; i < ROUNDS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        void *block = malloc(211); // @worked
        free(atomic_exchange(&slots[(state >> 33) % SLOTS], block));
    }
    return NULL;
}

static void *brief_body(void *unused) {
    free(opaque(malloc(1021))); // @brief
    return unused;
}

static void *start_threads(void *unused) {
    pthread_t threads[BATCH];
    for (int started = 0; started < BRIEF; started += BATCH) {
        for (int i = 0; i < BATCH; i++)
            REQUIRE(pthread_create(&threads[i], NULL, brief_body, NULL) == 0);
        for (int i = 0; i < BATCH; i++)
            REQUIRE(pthread_join(threads[i], NULL) == 0);
    }
    return unused;
}

static void *fork_and_exec(void *unused) {
    for (int i = 0; i < FORKS; i++) {
        int status;
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            free(opaque(malloc(307))); // @child
            if (i % 2)
                execl("/bin/true", "true", (char *)NULL);
            _exit(0);
        }
        REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    }
    return unused;
}

static void *load_and_unload(void *unused) {
    for (int i = 0; i < LOADS; i++) {
        char path[4200];
        void *(*allocate)(void);
        snprintf(path, sizeof path, "%s/libplugin_%c.so", directory, "ab"[i % 2]);
        void *library = dlopen(path, RTLD_NOW);
        REQUIRE(library != NULL);
        *(void **)&allocate = dlsym(library, "plugin_allocate");
        REQUIRE(allocate != NULL);
        free(allocate());
        REQUIRE(dlclose(library) == 0);
    }
    return unused;
}

int main(int argc, char **argv) {
    pthread_t threads[WORKERS + 3];
    REQUIRE(argc == 2);
    directory = argv[1];
    for (int i = 0; i < WORKERS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i * 7919 + 1)) == 0);
    REQUIRE(pthread_create(&threads[WORKERS], NULL, start_threads, NULL) == 0);
    REQUIRE(pthread_create(&threads[WORKERS + 1], NULL, fork_and_exec, NULL) == 0);
    REQUIRE(pthread_create(&threads[WORKERS + 2], NULL, load_and_unload, NULL) == 0);
    for (int i = 0; i < WORKERS + 3; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < SLOTS; i++)
        free(slots[i]);
    return 0;
}
