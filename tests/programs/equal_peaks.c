// SPDX-License-Identifier: MIT
//
// Reaches its highest heap twice, by different lines: the process's peak is the first time.

#include <stdlib.h>

#include "target.h"

int main(void) {
    free(opaque(malloc(100003))); // @first
    free(opaque(malloc(100003))); // @second
    return 0;
}
