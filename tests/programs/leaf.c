// SPDX-License-Identifier: MIT
//
// A child program: allocates as many bytes as its first argument says and exits with the status in its
// second.

#include <stdlib.h>

#include "target.h"

int main(int argc, char **argv) {
    REQUIRE(argc > 1);
    opaque(malloc((size_t)atol(argv[1]))); // @leaf
    return argc > 2 ? atoi(argv[2]) : 0;
}
