// SPDX-License-Identifier: MIT
//
// The C++ ways to allocate: operators of every kind and the library's containers.

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "target.h"

struct Plain {
    char bytes[5003];
};

struct alignas(256) Aligned {
    char bytes[5120];
};

struct Counted {
    char bytes[101];
    ~Counted() {}
};

static void *slots[16];

int main() {
    Plain *plain = new Plain;                              // @new
    Aligned *aligned = new Aligned;                        // @new_aligned
    char *array = new char[5011];                          // @new_array
    Aligned *aligned_array = new Aligned[2];               // @new_aligned_array
    Counted *counted = new Counted[11];                    // @new_counted
    Plain *nothrow = new (std::nothrow) Plain;             // @new_nothrow
    slots[0] = ::operator new(5021);                       // @operator_new
    slots[1] = ::operator new[](5023);                     // @operator_new_array
    slots[2] = ::operator new(5039, std::align_val_t(64)); // @operator_new_aligned

    REQUIRE(((size_t)aligned & 255) == 0 && ((size_t)aligned_array & 255) == 0);
    volatile size_t huge = (size_t)-1 / 2;
    try {
        slots[3] = ::operator new(huge); // @new_fails
        return 1;
    } catch (const std::bad_alloc &) {
        say("bad_alloc\n");
    }
    REQUIRE(::operator new(huge, std::nothrow) == nullptr);

    auto *text = new std::string(5051, 'x');    // @string
    auto *numbers = new std::vector<int>(5059); // @vector
    auto shared = std::make_shared<Plain>();    // @make_shared
    opaque(shared.get());

    delete plain;
    delete aligned;
    delete[] array;
    delete[] aligned_array;
    delete[] counted;
    delete nothrow;
    ::operator delete(slots[0], (size_t)5021);
    ::operator delete[](slots[1], (size_t)5023);
    ::operator delete(slots[2], (size_t)5039, std::align_val_t(64));
    delete text;
    delete numbers;
    return 0;
}
