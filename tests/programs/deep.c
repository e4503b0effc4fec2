// SPDX-License-Identifier: MIT
//
// One very deep stack must not push out what came before it: deep DEPTH

#include <stdlib.h>

#include "target.h"

__attribute__((noinline)) static void first(void) {
    opaque(malloc(1000003)); // @first
}

__attribute__((noinline)) static void second(void) {
    opaque(malloc(500009)); // @second
}

__attribute__((noinline)) static void recurse(int depth) {
    volatile char frame[16];
    frame[3] = (char)depth;
    if (depth)
        recurse(depth - 1); // @recursion
    else
        opaque(malloc(777)); // @deepest
    frame[2] = (char)(frame[3] + 1);
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2);
    first();
    second();
    recurse(atoi(argv[1]));
    return 0;
}
