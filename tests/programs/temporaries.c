// SPDX-License-Identifier: MIT
//
// Blocks that are freed before their thread allocates again, beside blocks that are not.

#include <stdlib.h>

#include "target.h"

int main(void) {
    void *previous = NULL;

    for (int i = 0; i < 1000; i++)
        free(opaque(malloc(137))); // @temporary
    for (int i = 0; i < 500; i++) {
        void *next = malloc(139); // @overlapping

        free(previous);
        previous = next;
    }
    free(previous);
    for (int i = 0; i < 250; i++) {
        void *outer = malloc(149); // @outer
        void *inner = malloc(151); // @inner

        free(inner);
        free(outer);
    }
    return 0;
}
