// SPDX-License-Identifier: MIT
//
// longjmp out of recursion to random depths, and down again by other ways.

#include "target.h"

#include <setjmp.h>
#include <stdlib.h>

#define DEPTH 24

static jmp_buf places[DEPTH];
static unsigned seed = 7, budget = 4000;

static unsigned pick(unsigned below) {
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % below;
}

static void down(unsigned depth);

__attribute__((noinline)) static void left(unsigned depth) {
    free(opaque(malloc(21)));
    down(depth);
    free(opaque(malloc(22)));
}

__attribute__((noinline)) static void right(unsigned depth) {
    free(opaque(malloc(23)));
    down(depth);
    free(opaque(malloc(24)));
}

static void down(unsigned depth) {
    if (budget == 0)
        return;
    budget--;
    if (setjmp(places[depth]) != 0)
        free(opaque(malloc(25)));
    if (budget == 0)
        return;
    if (depth > 2 && pick(5) == 0) {
        budget--;
        longjmp(places[pick(depth)], 1);
    }
    if (depth + 1 == DEPTH)
        return;
    if (pick(2))
        left(depth + 1);
    else
        right(depth + 1);
}

int main(void) {
    while (budget)
        down(0);
    say("done\n");
}
