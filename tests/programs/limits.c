// SPDX-License-Identifier: MIT
//
// Sets the resource limit in its first argument to the value in its second, or confines itself as that says,
// then allocates in many new places. With a child, where the value is 1.

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target.h"

#define LINE4(n) opaque(malloc(n)), opaque(malloc(n)), opaque(malloc(n)), opaque(malloc(n))
#define LINE16(n) LINE4(n), LINE4(n), LINE4(n), LINE4(n)
#define LINE64(n) LINE16(n), LINE16(n), LINE16(n), LINE16(n)

static void places(int depth) {
    (void)(LINE64(21), LINE64(21), LINE64(21), LINE64(21)); // @places
    if (depth > 0)
        places(depth - 1);
}

static void left(int depth);

static void right(int depth) {
    opaque(malloc(23)); // @right
    if (depth > 0)
        left(depth - 1);
    if (depth > 0)
        right(depth - 1);
}

static void left(int depth) {
    opaque(malloc(25)); // @left
    if (depth > 0)
        left(depth - 1);
    if (depth > 0)
        right(depth - 1);
}

// From now on the process may get memory, write, and end; whatever else it asks for, it is killed.
static void filter(void) {
#define ALLOW(number)                                                                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_brk),
        ALLOW(SYS_mmap),
        ALLOW(SYS_write),
        ALLOW(SYS_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    const struct sock_fprog program = {sizeof code / sizeof *code, code};
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

static void confine(const char *how) {
    if (!strcmp(how, "user"))
        REQUIRE(setuid(65534) == 0);
    if (!strcmp(how, "root"))
        REQUIRE(chroot("/var") == 0);
    if (!strcmp(how, "filter"))
        filter();
    if (!strcmp(how, "descriptors"))
        while (open("/dev/null", O_RDONLY) >= 0) {
        }
}

int main(int argc, char **argv) {
    struct rlimit limit;
    int what = -1;

    REQUIRE(argc == 3);
    if (!strcmp(argv[1], "as"))
        what = RLIMIT_AS;
    if (!strcmp(argv[1], "data"))
        what = RLIMIT_DATA;
    if (!strcmp(argv[1], "fsize"))
        what = RLIMIT_FSIZE;
    if (!strcmp(argv[1], "nofile"))
        what = RLIMIT_NOFILE;
    opaque(malloc(10007)); // @before
    limit.rlim_cur = limit.rlim_max = (rlim_t)atoll(argv[2]);
    if (what >= 0)
        REQUIRE(setrlimit(what, &limit) == 0);
    else
        confine(argv[1]);
    places(8);
    left(10);
    opaque(malloc(20011)); // @after
    if (what == RLIMIT_AS || what == RLIMIT_DATA) {
        errno = 0;
        REQUIRE(malloc((size_t)1 << 40) == NULL && errno == ENOMEM);
    }
    if (what < 0 && limit.rlim_cur == 1) {
        const pid_t child = fork();
        if (child == 0)
            _exit(0);
        REQUIRE(waitpid(child, NULL, 0) == child);
    }
    say("still here\n");
    return 0;
}
