// SPDX-License-Identifier: MIT
//
// A block that is freed behind the profiler's back, and its address given to another one.

#include <stdlib.h>

#include "target.h"

extern void __libc_free(void *block);

int main(void) {
    void *first = malloc(1009); // @first
    void *second;

    __libc_free(first);
    second = malloc(1001); // @second
    REQUIRE(second == first);
    second = malloc(1013); // @third
    return second == NULL;
}
