// SPDX-License-Identifier: MIT
//
// A program with a malloc and a free of its own that pass on to the next ones, as hand-made counters do.

#include <dlfcn.h>
#include <stdlib.h>

#include "target.h"

static long calls;

void *malloc(size_t size) {
    static void *(*next)(size_t);

    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "malloc");
    calls++;
    return next(size); // @next
}

void free(void *block) {
    static void (*next)(void *);

    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "free");
    next(block);
}

int main(void) {
    void *block = malloc(1000003); // @held
    void *other = malloc(500009);  // @freed

    REQUIRE(block != NULL && calls >= 2);
    free(other);
    return 0;
}
