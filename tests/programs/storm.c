// SPDX-License-Identifier: MIT
//
// A storm of signals whose handler allocates and frees, interrupting allocations at any instruction. Legal,
// because the allocator that it is linked with allows it.
//
// cflags: -O2 -L$OUT -Wl,-rpath,$OUT -lbump

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>

#include "target.h"

static volatile sig_atomic_t signals;
static _Atomic(void *) parcel; // of the main program, freed by whoever takes it

static void handler(int number) {
    (void)number;
    free(opaque(malloc(311))); // @handler
    free(atomic_exchange(&parcel, NULL));
    signals++;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 50}, {0, 50}};
    struct itimerval never = {{0, 0}, {0, 0}};
    long rounds = 0;

    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
    while (signals < 2000 && rounds < 300000) {
        void *block = malloc(101); // @malloc

        block = realloc(block, 103); // @realloc
        free(block);
        if (rounds % 4 == 0) {
            block = malloc(211); // @parcel
            free(atomic_exchange(&parcel, block));
        }
        rounds++;
    }
    REQUIRE(setitimer(ITIMER_REAL, &never, NULL) == 0);
    free(parcel);
    opaque(malloc(4001)); // @after
    say("calm\n");
    return 0;
}
