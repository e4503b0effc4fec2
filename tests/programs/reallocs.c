// SPDX-License-Identifier: MIT
//
// realloc up, down, in place and moving: the old block is gone before the new one counts.

#include <malloc.h>
#include <stdlib.h>

#include "target.h"

int main(void) {
    char *block = malloc(1000003); // @first
    char *wall;

    memset(block, 5, 1000003);
    block = realloc(block, 3000017); // @up
    REQUIRE(block != NULL && block[1000002] == 5);
    block = realloc(block, 500009); // @down
    REQUIRE(block != NULL && block[500008] == 5);
    block = realloc(block, 500011); // @same_place
    REQUIRE(block != NULL && block[500008] == 5);
    free(block);

    // A neighbour in the way makes each step move.
    block = malloc(101); // @step_first
    for (size_t size = 201; size <= 2001; size += 100) {
        wall = malloc(11);            // @wall
        block = realloc(block, size); // @step
        free(wall);
    }
    free(block);

    // A long row of growth that the C library often makes in place.
    block = NULL;
    for (size_t size = 1; size <= 10000; size++)
        block = realloc(block, size); // @growth
    REQUIRE(malloc_usable_size(block) >= 10000);
    return 0;
}
