// SPDX-License-Identifier: MIT
// output: libunwind_resolver.so
// cflags: -shared -fPIC -Wl,-z,lazy -fplt
//
// Half of unwind_lazy: an indirect function whose resolver allocates.

#include <stdlib.h>

static int one(void) {
    free(malloc(71));
    return 1;
}

static int (*resolve(void))(void) {
    free(malloc(73));
    return one;
}

int resolved(void) __attribute__((ifunc("resolve")));
