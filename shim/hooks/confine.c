// SPDX-License-Identifier: MIT
//
// Where a process gives up what it needs to open its recording again: another user, another root, or a filter
// of system calls, which a process without privileges must announce (PR_SET_NO_NEW_PRIVS).
//
// May run in children of vfork: process_confined compares pids.

#include "shim/process.h"
#include "shim/real.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CONFINE(call)                                                                                        \
    do {                                                                                                     \
        if (!real_resolve()) {                                                                               \
            errno = EAGAIN;                                                                                  \
            return -1;                                                                                       \
        }                                                                                                    \
        process_confined(false);                                                                             \
        return (call);                                                                                       \
    } while (0)

int setuid(uid_t user) {
    CONFINE(real.setuid(user));
}

int seteuid(uid_t effective) {
    CONFINE(real.seteuid(effective));
}

int setreuid(uid_t user, uid_t effective) {
    CONFINE(real.setreuid(user, effective));
}

int setresuid(uid_t user, uid_t effective, uid_t saved) {
    CONFINE(real.setresuid(user, effective, saved));
}

int chroot(const char *path) {
    CONFINE(real.chroot(path));
}

int prctl(int option, ...) {
    va_list list;
    va_start(list, option);
    const unsigned long a = va_arg(list, unsigned long), b = va_arg(list, unsigned long),
                        c = va_arg(list, unsigned long), d = va_arg(list, unsigned long);
    va_end(list);
    if (!real_resolve()) {
        errno = EAGAIN;
        return -1;
    }
    const bool confines =
        (option == PR_SET_NO_NEW_PRIVS || option == PR_SET_SECCOMP) && process_confined(true);
    const int result = real.prctl(option, a, b, c, d);
    if (confines && result < 0)
        process_unconfined();
    return result;
}
