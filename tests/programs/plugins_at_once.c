// SPDX-License-Identifier: MIT
//
// A forked child in which four threads load, call and unload a library each, as fast as they can: their paths
// are the arguments.
//
// cflags: -ldl -pthread

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target.h"

#define TURNS 4000

static void *turn(void *path) {
    for (int i = 0; i < TURNS; i++) {
        void *(*allocate)(void);
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        REQUIRE(library != NULL);
        *(void **)&allocate = dlsym(library, "plugin_allocate");
        REQUIRE(allocate != NULL);
        free(allocate());
        REQUIRE(dlclose(library) == 0);
    }
    return NULL;
}

int main(int argc, char **argv) {
    REQUIRE(argc == 5);
    free(malloc(1));
    pid_t child = fork();
    if (child == 0) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            REQUIRE(pthread_create(&threads[i], NULL, turn, argv[1 + i]) == 0);
        for (int i = 0; i < 4; i++)
            REQUIRE(pthread_join(threads[i], NULL) == 0);
        return 0;
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}
