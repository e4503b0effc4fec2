// SPDX-License-Identifier: MIT
//
// SHIM_OWN: for declarations of variables that hooks read at every event. A compiler that knows that they are
// in this very object reads them directly, without asking the loader's table where they are.

#ifndef PEAKLINE_OWN_H
#define PEAKLINE_OWN_H

#define SHIM_OWN __attribute__((visibility("hidden")))

#include <stdint.h>

// Counts whatever may make the node that a thread remembers of its stack the wrong one: foldings of the tree,
// changes of code and of scopes, deaths of code objects. Never 0.
extern SHIM_OWN uint32_t shim_doubts;

static inline void shim_doubt(void) {
    if (__atomic_add_fetch(&shim_doubts, 1, __ATOMIC_ACQ_REL) == 0)
        __atomic_fetch_add(&shim_doubts, 1, __ATOMIC_ACQ_REL);
}

#endif
