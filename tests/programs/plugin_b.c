// SPDX-License-Identifier: MIT
//
// A library to load and unload: plugin_a and plugin_b take the same address after each other.
//
// cflags: -shared -fPIC
//
// output: libplugin_b.so

#include <stdlib.h>

void *plugin_allocate(void);

// Not at the same offset as its sibling in plugin_a.
int plugin_ballast(int x);
int plugin_ballast(int x) {
    return x * 3 + 1;
}
void *plugin_allocate(void) {
    return malloc(4003); // @plugin_b
}
