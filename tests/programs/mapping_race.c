// SPDX-License-Identifier: MIT
//
// Threads that map and unmap as fast as they can: what one gives back, another one gets in the next moment.
// Calls that fail in between, and some that move or replace. In the end each thread keeps one mapping.

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "target.h"

enum {
    THREADS = 4,
    ROUNDS = 6000,
    PAGE = 4096,
    BOTH = PROT_READ | PROT_WRITE,
    ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS
};

static void *race(void *number) {
    const size_t own = *(size_t *)number;
    char *kept = MAP_FAILED;

    for (int i = 0; i < ROUNDS; i++) {
        char *pages = mmap(NULL, 4 * PAGE, BOTH, ANONYMOUS, -1, 0); // @mapped

        REQUIRE(pages != MAP_FAILED);
        pages[0] = 1;
        if (i % 16 == 0) { // what fails changes nothing
            REQUIRE(munmap(pages, (size_t)1 << 48) == -1);
            REQUIRE(mremap(pages, 4 * PAGE, (size_t)1 << 60, MREMAP_MAYMOVE) == MAP_FAILED);
            REQUIRE(mmap(pages, 4 * PAGE, BOTH, MAP_PRIVATE | MAP_FIXED, -1, 0) == MAP_FAILED);
        }
        if (i % 3 == 0) { // moved, smaller; the rest is replaced
            pages = mremap(pages, 4 * PAGE, 3 * PAGE, MREMAP_MAYMOVE);
            REQUIRE(pages != MAP_FAILED);
            REQUIRE(mmap(pages + PAGE, PAGE, BOTH, ANONYMOUS | MAP_FIXED, -1, 0) ==
                    pages + PAGE); // @replaced
            REQUIRE(munmap(pages, 3 * PAGE) == 0);
        } else {
            REQUIRE(munmap(pages, 4 * PAGE) == 0);
        }
    }
    kept = mmap(NULL, own * PAGE, BOTH, ANONYMOUS, -1, 0); // @kept
    REQUIRE(kept != MAP_FAILED);
    REQUIRE(munmap(kept, (size_t)1 << 48) == -1);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    size_t numbers[THREADS];

    for (size_t i = 0; i < THREADS; i++) {
        numbers[i] = 101 + i;
        REQUIRE(pthread_create(&threads[i], NULL, race, &numbers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    return 0;
}
