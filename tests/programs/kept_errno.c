// SPDX-License-Identifier: MIT
//
// errno survives every successful call, also when the recording has to grow for it.

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "target.h"

static void check(int depth) {
    void *block;

    errno = 77;
    block = malloc((size_t)depth + 1); // @malloc
    REQUIRE(errno == 77);
    block = realloc(block, (size_t)depth * 2 + 2);
    REQUIRE(errno == 77);
    free(block);
    REQUIRE(errno == 77);
    block = calloc(3, 5);
    REQUIRE(errno == 77);
    free(block);
    block = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(errno == 77);
    munmap(block, 4096);
    REQUIRE(errno == 77);
    if (depth > 0) {
        check(depth - 1);
        if (depth % 3 == 0)
            check(depth / 2);
    }
}

int main(void) {
    errno = 77;
    check(40);
    say("ok\n");
    return 0;
}
