// SPDX-License-Identifier: MIT
//
// Loads two libraries in turn, from the directory in its argument, so that one takes the other's address.
//
// cflags: -ldl

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "target.h"

int main(int argc, char **argv) {
    static const char *const names[] = {"libplugin_a.so", "libplugin_b.so"};
    void *blocks[40];
    void *addresses[2] = {NULL, NULL};

    REQUIRE(argc == 2);
    for (int i = 0; i < 40; i++) {
        char path[4200];
        void *library;
        void *(*allocate)(void);

        snprintf(path, sizeof path, "%s/%s", argv[1], names[i % 2]);
        library = dlopen(path, RTLD_NOW);
        REQUIRE(library != NULL);
        *(void **)&allocate = dlsym(library, "plugin_allocate");
        REQUIRE(allocate != NULL);
        addresses[i % 2] = *(void **)&allocate;
        blocks[i] = allocate(); // @call
        REQUIRE(dlclose(library) == 0);
    }
    // The same stacks, down to the last return address, and yet other code.
    REQUIRE(addresses[0] == addresses[1]);
    for (int i = 0; i < 40; i += 4)
        free(blocks[i]);
    return 0;
}
