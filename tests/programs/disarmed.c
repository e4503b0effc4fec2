// SPDX-License-Identifier: MIT
//
// Signal handlers on an alternate stack that is an array in main, and that the kernel forgets while a handler
// runs (SS_AUTODISARM): frames of handlers lie between those of main and what main calls. They map and unmap.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif
#define BLOCKS 64
#define ROUNDS 400000

static volatile sig_atomic_t handled;

static void handler(int number) {
    (void)number;
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED)
        munmap(memory, 4096);
    handled++;
}

__attribute__((noinline)) static void *make(size_t size) {
    return malloc(size); // @make
}

int main(int argc, char **argv) {
    static char stack_elsewhere[65536];
    char stack_here[65536];
    void *blocks[BLOCKS] = {NULL};
    size_t sizes[BLOCKS] = {0}, live = 0, peak = 0, allocated = 0;
    unsigned random = 1;
    stack_t stack = {.ss_sp = argc > 1 && strcmp(argv[1], "here") == 0 ? stack_here : stack_elsewhere,
                     .ss_size = sizeof stack_here,
                     .ss_flags = (int)SS_AUTODISARM};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART};
    const struct itimerval timer = {{0, 120}, {0, 120}}, never = {{0, 0}, {0, 0}};
    if (sigaltstack(&stack, NULL) != 0) {
        stack.ss_flags = 0; // Linux before 4.7
        sigaltstack(&stack, NULL);
    }
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        random = random * 1664525 + 1013904223;
        const unsigned at = random >> 16 & (BLOCKS - 1);
        live -= sizes[at];
        free(blocks[at]);
        sizes[at] = 11 + (random >> 8) % 5000;
        blocks[at] = make(sizes[at]);
        live += sizes[at];
        allocated += sizes[at];
        if (live > peak)
            peak = live;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    printf("%zu %zu %zu\n", allocated, peak, live);
    return handled == 0; // then this tests nothing
}
