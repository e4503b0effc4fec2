// SPDX-License-Identifier: MIT
//
// Sets the resource limit in its first argument to the value in its second, then allocates in many new
// places.

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "target.h"

#define LINE4(n) opaque(malloc(n)), opaque(malloc(n)), opaque(malloc(n)), opaque(malloc(n))
#define LINE16(n) LINE4(n), LINE4(n), LINE4(n), LINE4(n)
#define LINE64(n) LINE16(n), LINE16(n), LINE16(n), LINE16(n)

static void places(int depth) {
    (void)(LINE64(21), LINE64(21), LINE64(21), LINE64(21)); // @places
    if (depth > 0)
        places(depth - 1);
}

static void left(int depth);

static void right(int depth) {
    opaque(malloc(23)); // @right
    if (depth > 0)
        left(depth - 1);
    if (depth > 0)
        right(depth - 1);
}

static void left(int depth) {
    opaque(malloc(25)); // @left
    if (depth > 0)
        left(depth - 1);
    if (depth > 0)
        right(depth - 1);
}

int main(int argc, char **argv) {
    struct rlimit limit;
    int what = -1;

    REQUIRE(argc == 3);
    if (!strcmp(argv[1], "as"))
        what = RLIMIT_AS;
    if (!strcmp(argv[1], "data"))
        what = RLIMIT_DATA;
    if (!strcmp(argv[1], "fsize"))
        what = RLIMIT_FSIZE;
    if (!strcmp(argv[1], "nofile"))
        what = RLIMIT_NOFILE;
    REQUIRE(what >= 0 || !strcmp(argv[1], "none"));
    opaque(malloc(10007)); // @before
    limit.rlim_cur = limit.rlim_max = (rlim_t)atoll(argv[2]);
    if (what >= 0)
        REQUIRE(setrlimit(what, &limit) == 0);
    places(8);
    left(10);
    opaque(malloc(20011)); // @after
    if (what == RLIMIT_AS || what == RLIMIT_DATA) {
        errno = 0;
        REQUIRE(malloc((size_t)1 << 40) == NULL && errno == ENOMEM);
    }
    say("still here\n");
    return 0;
}
