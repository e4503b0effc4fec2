// SPDX-License-Identifier: MIT
//
// Direct and mutual recursion, to the depth of the first argument; each level holds a block.

#include <stdlib.h>

#include "target.h"

static void direct(int depth) {
    void *block = malloc(101); // @direct

    if (depth > 1)
        direct(depth - 1); // @direct_call
    free(block);
}

static void odd(int depth);

static void even(int depth) {
    void *block = malloc(103); // @even

    if (depth > 1)
        odd(depth - 1); // @even_call
    free(block);
}

static void odd(int depth) {
    void *block = malloc(107); // @odd

    if (depth > 1)
        even(depth - 1); // @odd_call
    free(block);
}

int main(int argc, char **argv) {
    int depth = argc > 1 ? atoi(argv[1]) : 1000;

    direct(depth); // @main_direct
    even(depth);   // @main_even
    return 0;
}
