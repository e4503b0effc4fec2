// SPDX-License-Identifier: MIT
//
// vfork children, which run on their parent's stack, and children that share its memory on a stack of their
// own, allocate; the parent goes on.

#include "target.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

__attribute__((noinline)) static void work(unsigned depth) {
    free(opaque(malloc(103)));
    if (depth)
        work(depth - 1);
    free(opaque(malloc(105)));
}

static int child(void *unused) {
    (void)unused;
    work(6);
    return 0;
}

int main(void) {
    char *stack = malloc(256u << 10);
    REQUIRE(stack);
    for (unsigned i = 0; i < 50; i++) {
        int status;
        work(3);
        pid_t pid = vfork();
        if (pid == 0) {
            work(5);
            _exit(0);
        }
        REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
        work(3);
        pid = clone(child, stack + (256u << 10), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
        REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    }
    say("done\n");
}
