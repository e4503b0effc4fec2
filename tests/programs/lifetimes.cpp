// SPDX-License-Identifier: MIT
//
// Allocations before main and after it: constructors, static objects, atexit handlers, destructors.
//
// cflags: -Wno-unused-result

#include <cstdlib>

#include "target.h"

static void *slots[16];

__attribute__((constructor(101))) static void first_constructor() {
    slots[0] = malloc(2003); // @constructor
}

struct Object {
    void *block;
    Object() : block(malloc(2011)) { // @object
    }
    ~Object() {
        free(block);
        slots[1] = malloc(2017); // @object_gone
    }
};

static Object object;

static void at_exit() {
    slots[2] = malloc(2027); // @atexit
}

static void at_exit_nested() {
    slots[3] = malloc(2029); // @atexit_outer
    atexit(at_exit);
}

__attribute__((destructor(101))) static void last_destructor() {
    slots[4] = malloc(2039); // @destructor
    say("last words\n");
}

int main() {
    Object local;

    atexit(at_exit_nested);
    slots[5] = malloc(2053); // @main
    return 0;
}
