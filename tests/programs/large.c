// SPDX-License-Identifier: MIT
//
// Blocks beyond 4 GiB, and large ones with a large alignment; their pages are never touched.

#include <stdlib.h>

#include "target.h"

int main(void) {
    void *aligned = NULL;
    void *block = malloc(5368709137); // @five_gib

    REQUIRE(block != NULL);
    block = realloc(block, 6442450961); // @six_gib
    REQUIRE(block != NULL);
    REQUIRE(posix_memalign(&aligned, 1 << 21, 3145757) == 0); // @aligned
    free(block);
    REQUIRE(posix_memalign(&aligned, 1 << 21, 3145759) == 0); // @aligned_again
    free(aligned);
    return 0;
}
