// SPDX-License-Identifier: MIT
//
// Fills the file system that argv[1] is in while a second thread allocates, goes on allocating in places that
// are new, and gives the room back at the end. argv[2]: "kill", an exec fails, and it is killed before;
// "leave", it ends while the second thread still runs.

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "levels.h"
#include "target.h"

#define ROUNDS 100000

static void *kept[8192];

static void leaf(uint64_t path) {
    kept[path] = malloc(41 + path % 7); // @leaf
}

LEVELS_0_TO_12

static void *meanwhile(void *for_ever) {
    for (int round = 0; for_ever || round < ROUNDS; round += !for_ever)
        free(opaque(malloc(37))); // @meanwhile
    return NULL;
}

static int fill(const char *path) {
    static char block[1 << 16];
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    REQUIRE(file >= 0);
    for (size_t size = sizeof block; size >= 512; size /= 2)
        while (write(file, block, size) > 0)
            ;
    sync(); // pages of the recording are clean from now on
    return file;
}

int main(int argc, char **argv) {
    pthread_t thread;
    opaque(malloc(10007)); // @before
    const char *how = argc > 2 ? argv[2] : "";
    char *for_ever = strcmp(how, "leave") == 0 ? argv[2] : NULL;
    REQUIRE(argc > 1 && pthread_create(&thread, NULL, meanwhile, for_ever) == 0);
    const int file = fill(argv[1]);
    for (uint64_t path = 0; path < sizeof kept / sizeof *kept; path++) {
        level_12(path);
        if (path % 2048 == 0)
            sync();
    }
    REQUIRE(for_ever || pthread_join(thread, NULL) == 0);
    opaque(malloc(50021)); // @after
    if (strcmp(how, "kill") == 0) {
        execl("/nonexistent/program", "program", (char *)NULL); // it goes on
        kill(getpid(), SIGKILL);
    }
    close(file);
    unlink(argv[1]);
    return 0;
}
