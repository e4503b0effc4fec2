// SPDX-License-Identifier: MIT
//
// A function of several names, as libraries have them.

#include <stdlib.h>

#include "target.h"

__attribute__((noinline)) void *__fill(size_t size) {
    void *block = malloc(size); // @fill
    REQUIRE(block != NULL);
    return block;
}

extern __typeof(__fill) fill __attribute__((weak, alias("__fill")));
extern __typeof(__fill) load __attribute__((weak, alias("__fill")));

static int compare(const void *a, const void *b) {
    free(malloc(3001)); // @compare
    return *(const int *)a - *(const int *)b;
}

int main(void) {
    int numbers[] = {5, 3, 1};
    free(fill(7001));
    free(load(11003));
    qsort(numbers, 3, sizeof *numbers, compare);
    say_number("", numbers[0]);
    return 0;
}
