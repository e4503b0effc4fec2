// SPDX-License-Identifier: MIT
//
// Optimised code: an inlined function and one line with several call sites, whose peaks are bounds.
//
// cflags: -O2

#include <stdlib.h>

#include "target.h"

static inline __attribute__((always_inline)) void *inlined(size_t size) {
    return malloc(size); // @inlined
}

static __attribute__((noinline)) void user_one(void) {
    void *block = opaque(inlined(20011)); // @user_one

    free(block);
}

static __attribute__((noinline)) void *user_two(void) {
    return opaque(inlined(30011)); // @user_two
}

int main(void) {
    void *pair[2];

    user_one();
    free(opaque(malloc(7))); // @elsewhere
    free(user_two());
    pair[0] = opaque(malloc(1009)), pair[1] = opaque(malloc(1013)); // @two_sites
    free(pair[0]);
    free(pair[1]);
    return 0;
}
