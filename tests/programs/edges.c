// SPDX-License-Identifier: MIT
//
// Zero sizes, overflows and allocations that fail: the results and errno must be the C library's own, and
// what failed must not be counted.

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

#include "target.h"

int main(void) {
    volatile size_t huge = (size_t)PTRDIFF_MAX + 1;
    volatile size_t half = SIZE_MAX / 2;
    void *untouched = (void *)(size_t)&half;
    void *before = untouched;
    char *zero = malloc(0);         // @malloc_zero
    char *czero = calloc(0, 5);     // @calloc_zero
    char *rzero = realloc(NULL, 0); // @realloc_null_zero
    char *kept = malloc(1511);      // @kept
    char *gone = malloc(1523);      // @gone

    REQUIRE(zero != NULL && czero != NULL && rzero != NULL && kept != NULL && gone != NULL);
    memset(kept, 7, 1511);

    errno = 0;
    REQUIRE(malloc(huge) == NULL && errno == ENOMEM); // @malloc_fails
    errno = 0;
    REQUIRE(calloc(half, 3) == NULL && errno == ENOMEM); // @calloc_fails
    errno = 0;
    REQUIRE(realloc(kept, huge) == NULL && errno == ENOMEM); // @realloc_fails
    errno = 0;
    REQUIRE(reallocarray(kept, half, 3) == NULL && errno == ENOMEM); // @reallocarray_fails
    errno = 0;
    REQUIRE(posix_memalign(&untouched, 3, 100) == EINVAL); // @posix_memalign_fails
    REQUIRE(posix_memalign(&untouched, 64, huge) == ENOMEM);
    say_number("errno after posix_memalign ", errno);
    REQUIRE(untouched == before);
    REQUIRE(aligned_alloc(64, huge) == NULL); // @aligned_alloc_fails
    REQUIRE(memalign(64, huge) == NULL);
    for (int i = 0; i < 1511; i++)
        REQUIRE(kept[i] == 7);

    REQUIRE(realloc(gone, 0) == NULL); // @realloc_to_zero
    free(kept);                        // after a realloc that failed, it is still the same block
    free(zero);
    free(czero);
    free(rzero);
    errno = 123;
    free(NULL);
    REQUIRE(errno == 123);
    say("ok\n");
    return 0;
}
