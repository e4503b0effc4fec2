// SPDX-License-Identifier: MIT
//
// A program that brings its own allocator, under the standard names: the shim's never get called, or only
// those that the program has not.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "target.h"

static _Alignas(16) char pool[64 << 20];
static size_t used;

void *malloc(size_t size) {
    size_t whole = (size + 31) & ~(size_t)15;
    char *block = pool + used + 16;

    if (whole > sizeof pool - used) {
        errno = ENOMEM;
        return NULL;
    }
    *(size_t *)(void *)(block - 16) = size;
    used += whole;
    return block;
}

void free(void *block) {
    REQUIRE(block == NULL || ((char *)block >= pool && (char *)block < pool + sizeof pool));
}

void *calloc(size_t count, size_t size) {
    return malloc(count * size);
}

void *realloc(void *block, size_t size) {
    void *copy = malloc(size);

    free(block);
    if (copy != NULL && block != NULL)
        memcpy(copy, block,
               size < *(size_t *)(void *)((char *)block - 16) ? size
                                                              : *(size_t *)(void *)((char *)block - 16));
    return copy;
}

int main(void) {
    char *text = NULL;

    for (int i = 0; i < 1000; i++)
        free(strdup("some text that is copied"));
    REQUIRE(asprintf(&text, "%d", 12345) == 5);
    printf("text %s\n", text);
    free(text);
    return 0;
}
