// SPDX-License-Identifier: MIT
//
// dlclose: addresses of unloaded code may be reused by other code. dlopen is not hooked (its result depends
// on who calls it); new modules are met when they first allocate.

#include "shim/guard.h"
#include "shim/process.h"
#include "shim/real.h"

int dlclose(void *handle) {
    if (!real_resolve())
        return 0;
    int result = real.dlclose(handle);
    struct thread *thread = guard_enter();
    if (thread) {
        process_unloaded();
        guard_leave(thread);
    }
    return result;
}
