// SPDX-License-Identifier: MIT
//
// Peaks that do not coincide: of a line, of a function, of the process.

#include <stdlib.h>

#include "target.h"

static void *early(void) {
    free(opaque(malloc(3000017))); // @early
    return malloc(40009);          // @early_kept
}

// Its peak, 350004, is neither the sum nor the maximum of its lines' peaks.
static void overlapping(void) {
    void *x = malloc(100001); // @x
    void *y = malloc(200003); // @y
    void *z;

    free(x);
    z = malloc(150001); // @z
    free(y);
    free(z);
}

static void highest(void) {
    void *a = malloc(2000003); // @highest_a
    void *b = malloc(2500009); // @highest_b

    free(a);
    free(b);
}

int main(void) {
    void *kept = early();

    overlapping(); // @call_overlapping
    highest();     // @call_highest
    overlapping(); // @call_again
    free(kept);
    return 0;
}
