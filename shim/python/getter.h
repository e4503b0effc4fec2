// SPDX-License-Identifier: MIT
//
// Which word a function returns that does no more than load one: the variable behind an accessor. So it can
// be read without a call. Pure, but for getter_place.

#ifndef PEAKLINE_PYTHON_GETTER_H
#define PEAKLINE_PYTHON_GETTER_H

#include <stdint.h>

enum getter_kind {
    GETTER_UNKNOWN = 0, // its code has another form
    GETTER_PLAIN,       // at `address`
    GETTER_THREAD,      // at the thread pointer plus `address`
    GETTER_DYNAMIC,     // thread-local; `address` is of the argument for __tls_get_addr
};

struct getter {
    enum getter_kind kind;
    uintptr_t address;
};

// Reads the function's code: GETTER_BYTES of it must be readable.
#define GETTER_BYTES 48
struct getter getter_decode(const void *function);

// Of the calling thread; NULL: not known. Stays valid as long as the thread and the module. May allocate as
// the accessor itself would, in the thread's first call.
const void *const *getter_place(const struct getter *getter);

#endif
