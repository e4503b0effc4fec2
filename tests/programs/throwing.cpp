// SPDX-License-Identifier: MIT
//
// A library, to be loaded by Python, that throws and catches C++ exceptions in itself.
//
// cflags: -shared -fPIC -O1
//
// output: libthrowing.so

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "target.h"

static void descend(int depth, void *block) {
    std::string text(211, 'x');

    opaque(&text[0]);
    if (depth == 0) {
        free(block);
        throw std::out_of_range(text);
    }
    descend(depth - 1, block);
}

// Throws and catches `count` exceptions; returns how many were caught as what they were.
extern "C" __attribute__((visibility("default"))) int throwing_attempts(int count) {
    int caught = 0;

    for (int i = 0; i < count; i++)
        try {
            descend(10, malloc(100003));
        } catch (const std::logic_error &error) {
            caught += std::string(error.what()).size() == 211;
        }
    return caught;
}

// Leaves a block behind.
extern "C" __attribute__((visibility("default"))) void *throwing_allocate(size_t size) {
    return opaque(malloc(size));
}

extern "C" __attribute__((visibility("default"))) void throwing_free(void *block) {
    free(block);
}
