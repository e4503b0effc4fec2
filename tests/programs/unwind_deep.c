// SPDX-License-Identifier: MIT
//
// Recursion 30,000 calls deep that allocates on the way down, at the bottom with its innermost frames
// changing, and on the way up. Twice, from two places, so that all inner frames are the same and only the
// outermost differ.

#include "target.h"

#include <stdlib.h>

#define DEPTH 30000

__attribute__((noinline)) static void leaf(void) {
    free(opaque(malloc(91)));
}

__attribute__((noinline)) static void other_leaf(void) {
    free(opaque(malloc(93)));
}

__attribute__((noinline)) static unsigned down(unsigned depth) {
    if (depth % 64 == 0)
        free(opaque(malloc(95)));
    if (depth == 0)
        for (unsigned i = 0; i < 100; i++) {
            leaf();
            other_leaf();
        }
    else
        depth += down(depth - 1);
    if (depth % 64 == 0)
        free(opaque(malloc(97)));
    return depth + 1;
}

__attribute__((noinline)) static unsigned from_here(unsigned depth) {
    return down(depth) + 1;
}

__attribute__((noinline)) static unsigned from_there(unsigned depth) {
    return down(depth) + 2;
}

int main(void) {
    unsigned sum = 0;
    for (unsigned i = 0; i < 2; i++)
        sum += from_here(DEPTH) + from_there(DEPTH) + from_here(300) + from_there(300);
    opaque(&sum);
    say("done\n");
}
