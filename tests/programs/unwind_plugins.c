// SPDX-License-Identifier: MIT
// cflags: -ldl -Wl,-rpath,$OUT
//
// Two libraries loaded in turn, at the same address if the loader does as usual, whose frames differ in size.

#include "target.h"

#include <dlfcn.h>
#include <stdlib.h>

static void allocate(void) {
    free(opaque(malloc(61)));
    free(opaque(malloc(63)));
}

__attribute__((noinline)) static void call(void (*plugin)(void (*)(void)), unsigned depth) {
    if (depth)
        call(plugin, depth - 1);
    else
        plugin(allocate);
    free(opaque(malloc(65)));
}

int main(void) {
    static const char *const names[] = {"libunwind_plugin_a.so", "libunwind_plugin_b.so"};
    void *before = NULL;
    unsigned same = 0;
    for (unsigned i = 0; i < 200; i++) {
        void *library = dlopen(names[i % 2], RTLD_NOW);
        REQUIRE(library);
        void *plugin = dlsym(library, "plugin_call");
        same += plugin == before;
        before = plugin;
        for (unsigned j = 0; j < 10; j++)
            call((void (*)(void (*)(void)))(size_t)plugin, j % 4);
        REQUIRE(dlclose(library) == 0);
    }
    say(same > 100 ? "same address\n" : "other addresses\n");
}
