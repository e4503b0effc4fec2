// SPDX-License-Identifier: MIT
//
// Which word a function returns that does no more than load one: the variable behind an accessor. So it can
// be read without a call. Pure, but for what asks for the calling thread's.

#ifndef PEAKLINE_PYTHON_GETTER_H
#define PEAKLINE_PYTHON_GETTER_H

#include <stdbool.h>
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

// Whether the word is thread-local in a module of which the calling thread has used nothing yet: then it is
// as it was at first, and to call the accessor would only have the loader allocate. By glibc's layout of the
// vector of a thread's modules (sysdeps/generic/dl-dtv.h); false also where that is not known.
bool getter_untouched(const struct getter *getter);

// Of the calling thread; NULL: not known. Stays valid as long as the thread and the module. Where the word is
// untouched, allocates as the accessor itself would.
const void *const *getter_place(const struct getter *getter);

#endif
