// SPDX-License-Identifier: MIT
// cflags: -rdynamic
//
// An interpreter of Python that is not CPython: it exports what PyPy is known by.

#include <stdlib.h>

#include "target.h"

int rpython_startup_code(void) {
    return 0;
}

int main(void) {
    opaque(malloc(1000003)); // @held
    return rpython_startup_code();
}
