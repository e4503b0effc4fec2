// SPDX-License-Identifier: MIT
//
// Leaves the directory that it was started in, and with an argument of `chroot` the file system that it knew.

#include <stdlib.h>

#include "target.h"

int main(int argc, char **argv) {
    opaque(malloc(1000003)); // @before
    REQUIRE(chdir("/") == 0);
    if (argc > 1 && !strcmp(argv[1], "chroot"))
        REQUIRE(chroot("/proc/self/fdinfo") == 0);
    opaque(malloc(700001)); // @after
    return 0;
}
