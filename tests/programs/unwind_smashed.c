// SPDX-License-Identifier: MIT
//
// Allocates while its own stack is damaged: saved frame pointers and return addresses overwritten with
// anything, and put back before they are used. To be compiled with frame pointers. The profiler may lose the
// stack; it must not crash.

#include "target.h"

#include <stdlib.h>

static unsigned long seed = 5;

static unsigned long pick(void) {
    seed = seed * 6364136223846793005ul + 1442695040888963407ul;
    return seed >> 11;
}

static unsigned long garbage(unsigned long here) {
    switch (pick() % 8) {
    case 0:
        return 0;
    case 1:
        return pick();
    case 2:
        return here + pick() % 4096;
    case 3:
        return here & ~15ul;
    case 4:
        return (unsigned long)&garbage + pick() % 64;
    case 5:
        return (unsigned long)&malloc + pick() % 64;
    case 6:
        return ~pick();
    }
    return here + (pick() % (1 << 20)) * 8;
}

__attribute__((noinline, optimize("no-omit-frame-pointer"))) static void damage(void) {
    volatile unsigned long *frame = __builtin_frame_address(0);
    unsigned long saved[40];
    for (unsigned i = 0; i < 40; i++)
        saved[i] = frame[i];
    for (unsigned i = pick() % 40; i < 40; i += 1 + (unsigned)(pick() % 9))
        frame[i] = garbage((unsigned long)frame);
    void *block = malloc(99);
    for (unsigned i = 0; i < 40; i++)
        frame[i] = saved[i];
    free(opaque(block));
}

__attribute__((noinline)) static void down(unsigned depth) {
    if (depth)
        down(depth - 1);
    else
        damage();
    free(opaque(malloc(101)));
}

int main(void) {
    for (unsigned i = 0; i < 20000; i++)
        down(4 + (unsigned)(pick() % 8));
    say("done\n");
}
