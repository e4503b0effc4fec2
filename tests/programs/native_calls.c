// SPDX-License-Identifier: MIT
//
// A library that calls back into whoever calls it, as numpy or a user's extension does.
//
// cflags: -shared -fPIC
//
// output: libnative_calls.so

#include <stdlib.h>

typedef void (*callback)(int n);

static void *volatile native_kept;

void native_leaf(void);
void native_outer(callback call, int n);
void native_make(void *(*make)(size_t), size_t size);
void native_other(callback call, int n);

void native_leaf(void) {
    native_kept = malloc(30011); // @native_leaf
}

static void native_inner(callback call, int n) {
    native_kept = malloc(50021); // @native_inner
    call(n);                     // @native_back
}

void native_outer(callback call, int n) {
    native_kept = malloc(100003); // @native_outer
    native_inner(call, n);        // @native_call
}

// One call site that may be malloc's or a callback's.
void native_make(void *(*make)(size_t), size_t size) {
    native_kept = make(size); // @native_make
}

void native_other(callback call, int n) {
    call(n); // @native_other
}
