// SPDX-License-Identifier: MIT
//
// A program that uses all that malloc_usable_size promises, and reallocs within it.

#include <malloc.h>
#include <stdlib.h>

#include "target.h"

int main(void) {
    for (size_t size = 1; size < 5000; size += 7) {
        unsigned char *block = malloc(size); // @malloc
        size_t usable = malloc_usable_size(block);

        REQUIRE(block != NULL && usable >= size);
        memset(block, 0xa5, usable);
        block = realloc(block, usable); // @realloc
        for (size_t i = 0; i < usable; i++)
            REQUIRE(block[i] == 0xa5);
        free(block);
    }
    REQUIRE(malloc_usable_size(NULL) == 0);
    return 0;
}
