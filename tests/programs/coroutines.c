// SPDX-License-Identifier: MIT
//
// Stacks that are not the thread's own: coroutines, an alternate signal stack, and jumps out of deep calls.
//
// cflags: -Wno-infinite-recursion

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "target.h"

static ucontext_t caller;
static ucontext_t routines[3];
static jmp_buf back;
static sigjmp_buf back_from_fault;

static void routine(void) {
    for (int i = 0; i < 100; i++) {
        opaque(malloc(1009)); // @routine
        swapcontext(&routines[0], &caller);
    }
}

static void deep(volatile int depth) {
    void *block = malloc(107); // @deep

    if (depth <= 0)
        longjmp(back, 1);
    else
        deep(depth - 1);
    free(block);
}

static void on_fault(int number) {
    (void)number;
    opaque(malloc(1013)); // @fault
    siglongjmp(back_from_fault, 1);
}

static int big_frame(int n) {
    char room[200000];

    memset(room, n, sizeof room);
    free(opaque(malloc(1019))); // @big_frame
    return room[n % 1000];
}

static int variable_frame(size_t n) {
    char *room = __builtin_alloca(n);
    void *block = malloc(1021); // @alloca

    memset(room, 1, n);
    free(block);
    return room[n / 2];
}

int main(void) {
    static char stack[65536];
    static char signal_stack[65536];
    stack_t alternate = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
    volatile char *forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    REQUIRE(getcontext(&routines[0]) == 0);
    routines[0].uc_stack.ss_sp = stack;
    routines[0].uc_stack.ss_size = sizeof stack;
    routines[0].uc_link = &caller;
    makecontext(&routines[0], routine, 0);
    for (int i = 0; i < 100; i++)
        swapcontext(&caller, &routines[0]);

    for (volatile int i = 0; i < 100; i++)
        if (setjmp(back) == 0)
            deep(20);     // @call_deep
    opaque(malloc(1031)); // @after_jumps

    REQUIRE(sigaltstack(&alternate, NULL) == 0 && sigaction(SIGSEGV, &action, NULL) == 0);
    for (volatile int i = 0; i < 100; i++)
        if (sigsetjmp(back_from_fault, 1) == 0)
            *forbidden = 1;
    for (int i = 0; i < 10; i++)
        REQUIRE(big_frame(i) == i);
    for (size_t i = 1; i < 3000; i += 100)
        REQUIRE(variable_frame(i) == 1);
    opaque(malloc(1033)); // @last
    return 0;
}
