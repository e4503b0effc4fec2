// SPDX-License-Identifier: MIT
//
// Each allocation function once, each with a size of its own; with an argument, everything is freed again.

#include <malloc.h>
#include <stdlib.h>

#include "target.h"

static void *blocks[16];
static int used;

static void hold(void *block) {
    REQUIRE(block != NULL);
    memset(block, 1, 1000);
    blocks[used++] = block;
}

int main(int argc, char **argv) {
    void *block = NULL;

    (void)argv;
    hold(malloc(1009));                              // @malloc
    hold(calloc(7, 1013));                           // @calloc
    hold(realloc(NULL, 1019));                       // @realloc
    hold(reallocarray(NULL, 3, 1021));               // @reallocarray
    REQUIRE(posix_memalign(&block, 256, 1031) == 0); // @posix_memalign
    REQUIRE(((size_t)block & 255) == 0);
    hold(block);
    hold(aligned_alloc(512, 1033)); // @aligned_alloc
    REQUIRE(((size_t)blocks[used - 1] & 511) == 0);
    hold(memalign(1024, 1039)); // @memalign
    REQUIRE(((size_t)blocks[used - 1] & 1023) == 0);
    hold(valloc(1049)); // @valloc
    REQUIRE(((size_t)blocks[used - 1] & 4095) == 0);
    hold(pvalloc(1051)); // @pvalloc
    REQUIRE(((size_t)blocks[used - 1] & 4095) == 0);
    free(NULL);
    if (argc > 1)
        while (used > 0)
            free(blocks[--used]); // @free
    return 0;
}
