// SPDX-License-Identifier: MIT
//
// A child that shares our memory and has no thread-local memory of its own, as sandboxes make them: it
// changes its root, or does nothing, and ends.

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target.h"

static int child(void *root) {
    _exit(root && chroot(root) != 0 ? 1 : 42);
}

int main(int argc, char **argv) {
    static _Alignas(64) char stack[1 << 16], none[1 << 14];
    const int flags = CLONE_VM | CLONE_VFORK | CLONE_FS | CLONE_SETTLS | SIGCHLD;
    int status;

    void *block = opaque(malloc(10007)); // @before
    const pid_t pid = clone(child, stack + sizeof stack, flags, argc > 1 ? argv[1] : NULL, NULL,
                            none + sizeof none / 2, NULL);
    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    opaque(malloc(20011)); // @after
    free(block);
    return 7;
}
