// SPDX-License-Identifier: MIT
//
// Ends in the way that its argument names, with a block of 1000003 bytes alive and another one freed.

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "target.h"

static void *end_late(void *unused) {
    (void)unused;
    usleep(100000);
    exit(29);
}

static void *exit_group(void *unused) {
    (void)unused;
    _exit(31);
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    char *held = malloc(1000003); // @held
    pthread_t thread;

    memset(held, 1, 1000003);
    free(opaque(malloc(2000003))); // @freed
    if (!strcmp(how, "return"))
        return 17;
    if (!strcmp(how, "exit"))
        exit(19);
    if (!strcmp(how, "_exit"))
        _exit(21);
    if (!strcmp(how, "_Exit"))
        _Exit(22);
    if (!strcmp(how, "quick_exit"))
        quick_exit(23);
    if (!strcmp(how, "exit_group"))
        syscall(SYS_exit_group, 27);
    if (!strcmp(how, "abort"))
        abort();
    if (!strcmp(how, "kill"))
        kill(getpid(), SIGKILL);
    if (!strcmp(how, "term"))
        raise(SIGTERM);
    if (!strcmp(how, "segv"))
        *(volatile int *)opaque(NULL) = 1;
    if (!strcmp(how, "trap"))
        __builtin_trap();
    if (!strcmp(how, "pthread_exit")) {
        REQUIRE(pthread_create(&thread, NULL, end_late, NULL) == 0);
        pthread_exit(NULL);
    }
    if (!strcmp(how, "thread_exit")) {
        REQUIRE(pthread_create(&thread, NULL, exit_group, NULL) == 0);
        pause();
    }
    return 97;
}
