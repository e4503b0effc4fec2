// SPDX-License-Identifier: MIT
//
// Frames of every shape, in random order: alloca, variable-length arrays, arguments on the stack, locals that
// need the stack realigned, huge locals, recursion of all these through each other. Each allocates on the way
// down and up.

#include "target.h"

#include <alloca.h>
#include <stdlib.h>

static unsigned seed = 12345;

static unsigned pick(unsigned below) {
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % below;
}

static void allocate(void) {
    free(opaque(malloc(17 + pick(100))));
}

static void down(unsigned depth);

__attribute__((noinline)) static void plain(unsigned depth) {
    allocate();
    down(depth);
    allocate();
}

__attribute__((noinline)) static void with_alloca(unsigned depth) {
    allocate();
    char *some = opaque(alloca(8 + pick(300)));
    some[0] = (char)depth;
    down(depth);
    if (pick(2)) {
        char *more = opaque(alloca(pick(2000) + 1));
        more[0] = some[0];
        allocate();
        down(depth);
    }
    allocate();
}

__attribute__((noinline)) static void with_array(unsigned depth) {
    char array[1 + pick(500)];
    opaque(array);
    allocate();
    for (unsigned i = pick(3); i; i--) {
        int inner[1 + pick(20)];
        opaque(inner);
        allocate();
        down(depth);
    }
    allocate();
}

__attribute__((noinline)) static void aligned(unsigned depth) {
    _Alignas(64) char local[128];
    opaque(local);
    allocate();
    down(depth);
    allocate();
}

__attribute__((noinline)) static void aligned_array(unsigned depth) {
    _Alignas(32) char local[32];
    char array[1 + pick(100)];
    opaque(local);
    opaque(array);
    allocate();
    down(depth);
    allocate();
}

__attribute__((noinline)) static void huge(unsigned depth) {
    char local[20000];
    opaque(local);
    allocate();
    down(depth);
    allocate();
}

__attribute__((noinline)) static unsigned many(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e,
                                               unsigned f, unsigned g, unsigned h, unsigned depth) {
    allocate();
    down(depth);
    allocate();
    return a + b + c + d + e + f + g + h;
}

__attribute__((noinline)) static void busy(unsigned depth) {
    // Every register that is preserved across calls is in use.
    unsigned a = pick(9), b = pick(9), c = pick(9), d = pick(9), e = pick(9), f = pick(9), g = pick(9);
    allocate();
    down(depth);
    unsigned sum = many(a, b, c, d, e, f, g, a + b, depth / 2);
    seed += sum + a * b + c * d + e * f * g;
    allocate();
}

static int compare(const void *a, const void *b) {
    allocate();
    return *(const int *)a - *(const int *)b;
}

__attribute__((noinline)) static void through_library(unsigned depth) {
    int values[8];
    for (int i = 0; i < 8; i++)
        values[i] = (int)pick(100);
    qsort(values, 8, sizeof values[0], compare);
    down(depth);
}

static void down(unsigned depth) {
    static void (*const shapes[])(unsigned) = {plain, with_alloca,     with_array, aligned,     aligned_array,
                                               huge,  through_library, busy,       with_alloca, plain};
    if (depth == 0)
        return;
    shapes[pick(sizeof shapes / sizeof shapes[0])](depth - 1);
}

int main(int argc, char **argv) {
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 300;
    for (unsigned i = 0; i < rounds; i++)
        down(1 + pick(12));
    say("done\n");
}
