// SPDX-License-Identifier: MIT
//
// A library to load and unload: plugin_a and plugin_b take the same addresses after each other.
//
// cflags: -shared -fPIC
//
// output: libplugin_a.so

#include <stdlib.h>

void *plugin_allocate(void);

void *plugin_allocate(void) {
    return malloc(4001); // @plugin_a
}
