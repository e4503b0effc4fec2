// SPDX-License-Identifier: MIT
//
// A program that takes all descriptors for itself: prints the numbers that it gets, closes everything above
// 2, puts a file of its own onto every number below 100, and allocates in new places all the while.

#include <fcntl.h>
#include <stdlib.h>

#include "target.h"

// One more call depth for each size, so that tables grow while nothing of the shim's may still be open.
static void allocate(int depth) {
    opaque(malloc((size_t)(depth + 1001))); // @allocate
    if (depth > 0)
        allocate(depth - 1);
}

static void look(const char *label) {
    int fd = open("/dev/null", O_RDONLY);

    say_number(label, fd);
    close(fd);
}

int main(int argc, char **argv) {
    char path[] = "/tmp/peakline-descriptors-XXXXXX";
    int fd;
    off_t size;

    (void)argc;
    (void)argv;
    look("at first ");
    allocate(10);
    look("after allocating ");
    closefrom(3);
    look("after closefrom ");
    allocate(20);
    look("after allocating ");
    fd = mkstemp(path);
    REQUIRE(fd >= 0 && unlink(path) == 0);
    for (int other = 3; other < 100; other++)
        REQUIRE(other == fd || dup2(fd, other) == other);
    allocate(40);
    size = lseek(fd, 0, SEEK_END);
    say_number("bytes in my file ", size);
    closefrom(3);
    allocate(60);
    look("at last ");
    return 0;
}
