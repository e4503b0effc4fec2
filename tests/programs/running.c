// SPDX-License-Identifier: MIT
//
// Allocates 1000003 bytes, then once more with each byte that it reads, and ends at the end of its input.

#include <stdlib.h>

#include "target.h"

int main(void) {
    char byte;

    opaque(malloc(1000003)); // @first
    do {
        say("ready\n");
        if (read(STDIN_FILENO, &byte, 1) != 1)
            break;
        opaque(malloc(500009)); // @more
    } while (1);
    return 0;
}
