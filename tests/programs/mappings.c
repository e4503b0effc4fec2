// SPDX-License-Identifier: MIT
//
// Anonymous mappings: whole and partial unmapping, remapping, replacing; and file mappings, which are not
// counted. Pages of 4 KiB. The comments count the pages that are mapped.

#include <fcntl.h>
#include <sys/mman.h>

#include "target.h"

enum { PAGE = 4096, ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS, BOTH = PROT_READ | PROT_WRITE };

int main(int argc, char **argv) {
    char *a;
    char *b;
    char *c;
    char *file;
    int fd;

    a = mmap(NULL, 1000 * PAGE, BOTH, ANONYMOUS, -1, 0); // @a: 1000
    REQUIRE(a != MAP_FAILED);
    REQUIRE(munmap(a + 100 * PAGE, 50 * PAGE) == 0);           // 950
    REQUIRE(munmap(a, 10 * PAGE) == 0);                        // 940
    REQUIRE(munmap(a, 20 * PAGE) == 0);                        // 930: half of it was gone
    REQUIRE(munmap(a + 990 * PAGE, 10 * PAGE) == 0);           // 920
    b = mmap64(NULL, 301 * PAGE - 17, BOTH, ANONYMOUS, -1, 0); // @b: 1221
    REQUIRE(b != MAP_FAILED);
    b = mremap(b, 301 * PAGE, 2003 * PAGE, MREMAP_MAYMOVE); // @grown: 2923
    REQUIRE(b != MAP_FAILED);
    b = mremap(b, 2003 * PAGE, 103 * PAGE, 0); // 1023
    REQUIRE(b != MAP_FAILED);

    // A fixed mapping over part of another one replaces what was there.
    c = mmap(b + 3 * PAGE, 50 * PAGE, BOTH, ANONYMOUS | MAP_FIXED, -1, 0); // @c: 1023
    REQUIRE(c == b + 3 * PAGE);

    // A file, privately and shared, and over the anonymous pages: 1023 - 10 in the end.
    fd = open("/proc/self/exe", O_RDONLY);
    REQUIRE(fd >= 0);
    file = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0); // @file
    REQUIRE(file != MAP_FAILED && munmap(file, 3 * PAGE) == 0);
    file = mmap(b + 60 * PAGE, 10 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    REQUIRE(file == b + 60 * PAGE);
    close(fd);

    // What fails changes nothing.
    REQUIRE(mmap(NULL, 0, BOTH, ANONYMOUS, -1, 0) == MAP_FAILED);
    REQUIRE(mmap(NULL, (size_t)1 << 60, BOTH, ANONYMOUS, -1, 0) == MAP_FAILED);
    REQUIRE(munmap(a + 1, PAGE) == -1);
    REQUIRE(mremap(b, 103 * PAGE, (size_t)1 << 60, MREMAP_MAYMOVE) == MAP_FAILED);

    if (argc > 1 && !strcmp(argv[1], "all-gone")) {
        REQUIRE(munmap(a, 1000 * PAGE) == 0);
        REQUIRE(munmap(b, 103 * PAGE) == 0);
    }
    return 0;
}
