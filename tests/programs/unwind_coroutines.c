// SPDX-License-Identifier: MIT
//
// Coroutines of several sizes on mappings with and without guard pages, switched at random, ended and
// replaced by others in the same place: smaller ones, with what was their upper part unmapped or made
// unreadable.

#include "target.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#define COROUTINES 8
#define AREA (512u << 10)
#define PAGE 4096u

static struct coroutine {
    ucontext_t context;
    char *area;
    unsigned left; // switches until it ends
    int running;
} all[COROUTINES];

static ucontext_t back;
static unsigned current, seed = 99;

static unsigned pick(unsigned below) {
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % below;
}

__attribute__((noinline)) static void work(unsigned depth) {
    free(opaque(malloc(41 + depth)));
    if (depth)
        work(depth - 1);
    else
        swapcontext(&all[current].context, &back);
    free(opaque(malloc(43)));
}

static void body(void) {
    unsigned self = current;
    while (all[self].left-- > 0)
        work(pick(30));
    all[self].running = 0;
    swapcontext(&all[self].context, &back);
}

static void start(struct coroutine *coroutine) {
    if (!coroutine->area) {
        coroutine->area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(coroutine->area != MAP_FAILED);
    } else {
        // Whatever was there: all of it back, and then some of it away.
        REQUIRE(mmap(coroutine->area, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                     -1, 0) == coroutine->area);
    }
    size_t size = (16u << (pick(4))) << 10;
    switch (pick(3)) {
    case 0:
        REQUIRE(munmap(coroutine->area + size, AREA - size) == 0);
        break;
    case 1:
        REQUIRE(mprotect(coroutine->area + size, PAGE, PROT_NONE) == 0);
        break;
    }
    REQUIRE(getcontext(&coroutine->context) == 0);
    coroutine->context.uc_stack.ss_sp = coroutine->area;
    coroutine->context.uc_stack.ss_size = size;
    coroutine->context.uc_link = NULL;
    makecontext(&coroutine->context, body, 0);
    coroutine->left = 1 + pick(10);
    coroutine->running = 1;
}

int main(void) {
    for (unsigned i = 0; i < 6000; i++) {
        current = pick(COROUTINES);
        if (!all[current].running)
            start(&all[current]);
        REQUIRE(swapcontext(&back, &all[current].context) == 0);
        free(opaque(malloc(45)));
    }
    say("done\n");
}
