// SPDX-License-Identifier: MIT
//
// Allocations below signal handlers: on the same stack, on an alternate one, nested, at any instruction (a
// timer), left by siglongjmp. That the interrupted code never holds the allocator's lock is this program's
// business: the timer only fires in code that does not allocate.

#include "target.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

static volatile sig_atomic_t fired;
static sigjmp_buf escape;
static volatile int leave;

__attribute__((noinline)) static void allocate(int depth) {
    free(opaque(malloc(33)));
    if (depth)
        allocate(depth - 1);
    free(opaque(malloc(35)));
}

static void on_signal(int number) {
    allocate(3);
    if (number == SIGUSR1)
        raise(SIGUSR2);
    allocate(1);
    if (leave)
        siglongjmp(escape, 1);
}

static void on_timer(int number) {
    (void)number;
    allocate(2);
    fired++;
}

static void handle(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    REQUIRE(sigaction(number, &action, NULL) == 0);
}

__attribute__((noinline)) static void raise_deep(int depth) {
    allocate(1);
    if (depth)
        raise_deep(depth - 1);
    else
        raise(SIGUSR1);
    allocate(1);
}

// Work whose every instruction may be interrupted: prologues, epilogues, procedure linkage.
__attribute__((noinline)) static unsigned leaf(unsigned n) {
    return n * 3 + 1;
}

__attribute__((noinline)) static unsigned work(unsigned n) {
    unsigned local[16];
    opaque(local);
    for (unsigned i = 0; i < 16; i++)
        local[i] = leaf(n + i);
    n = local[n & 15] + (unsigned)abs((int)n);
    return n + (unsigned)strlen(opaque("some text"));
}

static void interrupted(int times) {
    struct itimerval every = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    fired = 0;
    REQUIRE(setitimer(ITIMER_REAL, &every, NULL) == 0);
    unsigned sum = 0;
    while (fired < times)
        sum += work(sum);
    REQUIRE(setitimer(ITIMER_REAL, &never, NULL) == 0);
    allocate((int)(sum & 1));
}

static void all(int flags) {
    handle(SIGUSR1, on_signal, flags);
    handle(SIGUSR2, on_signal, flags);
    handle(SIGALRM, on_timer, flags | SA_RESTART);
    for (int i = 0; i < 20; i++)
        raise_deep(i % 6);
    leave = 1;
    for (int i = 0; i < 20; i++)
        if (sigsetjmp(escape, 1) == 0)
            raise_deep(i % 4);
        else
            allocate(2);
    leave = 0;
    interrupted(300);
}

int main(void) {
    all(0);
    stack_t other = {.ss_sp = malloc(256 << 10), .ss_size = 256 << 10};
    REQUIRE(other.ss_sp && sigaltstack(&other, NULL) == 0);
    all(SA_ONSTACK);
    say("done\n");
}
