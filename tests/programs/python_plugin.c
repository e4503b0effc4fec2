// SPDX-License-Identifier: MIT
//
// A library of python_host's: allocates, or uses thread-local memory of its own.
//
// cflags: -shared -fPIC
//
// output: libpython_plugin.so

#include <stdlib.h>

void plugin_allocate(void);
void plugin_touch(void);

void plugin_allocate(void) {
    void *volatile block = malloc(77);
    free(block);
}

void plugin_touch(void) {
    static __thread volatile char local[500];
    local[3]++;
}
