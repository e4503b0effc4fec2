// SPDX-License-Identifier: MIT
//
// dlclose: addresses of unloaded code may be reused by other code. dlopen is not hooked (its result depends
// on who calls it); new modules are met when they first allocate.

#include "shim/guard.h"
#include "shim/process.h"
#include "shim/python/python.h"
#include "shim/real.h"

static void loader_forget(void) {
    struct thread *thread = guard_enter();
    if (thread) {
        process_unloaded();
        guard_leave(thread);
    }
}

int dlclose(void *handle) {
    if (!real_resolve())
        return 0;
    // Before as well: another thread may load other code there as soon as the addresses are free.
    loader_forget();
    const bool python = python_closing(handle);
    int result = real.dlclose(handle);
    if (python)
        python_closed();
    loader_forget();
    return result;
}
