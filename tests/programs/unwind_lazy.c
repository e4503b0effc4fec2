// SPDX-License-Identifier: MIT
// cflags: -no-pie -fplt -Wl,-z,lazy -L$OUT -lunwind_resolver -Wl,-rpath,$OUT
//
// An allocation below the loader's lazy binding, whose frame is found through rbx.

#include "target.h"

#include <stdlib.h>

int resolved(void);

__attribute__((noinline)) static int call(unsigned depth) {
    free(opaque(malloc(75)));
    int result = depth ? call(depth - 1) : resolved();
    free(opaque(malloc(77)));
    return result;
}

int main(void) {
    REQUIRE(call(5) == 1);
    REQUIRE(call(3) == 1);
    say("done\n");
}
