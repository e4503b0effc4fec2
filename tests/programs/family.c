// SPDX-License-Identifier: MIT
//
// Makes processes in the way that its first argument names; the second is the path of the program `leaf`.
// The parent holds 1000003 bytes before and allocates 700001 more after.

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "target.h"

extern char **environ;
static const char *leaf;
static void *inherited;

static void wait_for(pid_t pid, int expected) {
    int status;

    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == expected);
}

static void child_allocates(int status) {
    void *block = malloc(300007); // @child

    free(block);
    opaque(malloc(200003)); // @child_kept
    exit(status);
}

static void make_fork(void) {
    pid_t pid = fork();

    if (pid == 0) {
        free(inherited);
        child_allocates(3);
    }
    wait_for(pid, 3);
}

static void make_raw_fork(void) {
    pid_t pid = (pid_t)syscall(SYS_fork);

    if (pid == 0) {
        opaque(malloc(300007)); // @raw_child
        _exit(4);
    }
    wait_for(pid, 4);
}

static void make_grandchildren(void) {
    pid_t pid = fork();

    if (pid == 0) {
        pid_t grandchild = fork();

        if (grandchild == 0)
            child_allocates(5);
        wait_for(grandchild, 5);
        opaque(malloc(400009)); // @middle
        exit(6);
    }
    wait_for(pid, 6);
}

static volatile int stop;

static void *keep_allocating(void *unused) {
    while (!stop)
        free(opaque(malloc(911))); // @busy
    return unused;
}

static void make_fork_in_threads(void) {
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&threads[i], NULL, keep_allocating, NULL) == 0);
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            for (int k = 0; k < 1000; k++)
                free(opaque(malloc(1201))); // @forked
            _exit(7);
        }
        wait_for(pid, 7);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
}

static int look_at_module(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size;
    (void)unused;
    return info->dlpi_phnum > 1000;
}

static void *keep_looking(void *unused) {
    while (!stop)
        dl_iterate_phdr(look_at_module, NULL);
    return unused;
}

// A child inherits whatever lock of the dynamic loader another thread held just then.
static void make_fork_in_loader(void) {
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, keep_looking, NULL) == 0);
    for (int i = 0; i < 300; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            opaque(malloc(1301)); // @loader_child
            _exit(7);
        }
        wait_for(pid, 7);
    }
    stop = 1;
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
}

static void make_vfork(void) {
    pid_t pid = vfork();

    if (pid == 0) {
        execl(leaf, leaf, "500009", "8", (char *)NULL);
        _exit(97);
    }
    wait_for(pid, 8);
}

static void make_vfork_failing(void) {
    pid_t pid = vfork();

    if (pid == 0) {
        execl("/nowhere/at-all", "at-all", (char *)NULL);
        _exit(9);
    }
    wait_for(pid, 9);
}

static void make_spawn(void) {
    char *argv[] = {(char *)(size_t)leaf, "500009", "10", NULL};
    pid_t pid = 0;

    REQUIRE(posix_spawn(&pid, leaf, NULL, NULL, argv, environ) == 0);
    wait_for(pid, 10);
}

static void make_spawnp(void) {
    char *argv[] = {"leaf", "500009", "10", NULL};
    pid_t pid = 0;

    REQUIRE(posix_spawnp(&pid, leaf, NULL, NULL, argv, environ) == 0);
    wait_for(pid, 10);
}

static void make_system(void) {
    char command[4200];
    int status;

    snprintf(command, sizeof command, "'%s' 500009 11", leaf);
    status = system(command);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 11);
}

static void make_popen(void) {
    char command[4200];
    FILE *pipe;
    int status;

    snprintf(command, sizeof command, "echo from the child; '%s' 500009 12", leaf);
    pipe = popen(command, "r");
    REQUIRE(pipe != NULL);
    while (fgets(command, sizeof command, pipe) != NULL)
        say(command);
    status = pclose(pipe);
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 12);
}

static void make_exec(void) {
    execl(leaf, leaf, "500009", "13", (char *)NULL);
    _exit(96);
}

static void make_fork_exec(void) {
    pid_t pid = fork();

    if (pid == 0) {
        opaque(malloc(300007)); // @before_exec
        make_exec();
    }
    wait_for(pid, 13);
}

// The environment is emptied: what was preloaded is not there to be inherited.
static void make_exec_scrubbed(void) {
    char *argv[] = {(char *)(size_t)leaf, "500009", "14", NULL};
    char *empty[] = {NULL};

    execve(leaf, argv, empty);
    _exit(96);
}

static void make_exec_missing(void) {
    char *argv[] = {"missing", NULL};

    errno = 0;
    REQUIRE(execv("/nowhere/missing", argv) == -1 && errno == ENOENT);
    errno = 0;
    REQUIRE(execvp("no-such-program-anywhere", argv) == -1 && errno == ENOENT);
    errno = 0;
    REQUIRE(execve("/etc/passwd", argv, environ) == -1 && errno == EACCES);
}

static void make_exec_in_thread(void) {
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, (void *(*)(void *))(void (*)(void))make_exec, NULL) == 0);
    pause();
}

// Three of them: nobody waits for a daemon, so each has to say itself how it ended.
static void make_daemons(void) {
    pid_t pid = fork();

    if (pid == 0) {
        for (int i = 0; i < 3; i++)
            if (fork() == 0) {
                if (setsid() < 0)
                    _exit(94);
                opaque(malloc((size_t)(600011 + i))); // @daemon
                if (i == 0)
                    _exit(16);
                if (i == 1)
                    quick_exit(17);
                exit(18);
            }
        _exit(15);
    }
    wait_for(pid, 15);
    usleep(300000);
}

static void make_many(void) {
    pid_t pids[40];

    for (int i = 0; i < 40; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            opaque(malloc((size_t)(10007 + i))); // @many
            _exit(i);
        }
    }
    for (int i = 0; i < 40; i++)
        wait_for(pids[i], i);
}

static const struct {
    const char *name;
    void (*make)(void);
} ways[] = {
    {"fork", make_fork},
    {"raw-fork", make_raw_fork},
    {"grandchildren", make_grandchildren},
    {"fork-in-threads", make_fork_in_threads},
    {"fork-in-loader", make_fork_in_loader},
    {"vfork", make_vfork},
    {"vfork-failing", make_vfork_failing},
    {"spawn", make_spawn},
    {"spawnp", make_spawnp},
    {"system", make_system},
    {"popen", make_popen},
    {"exec", make_exec},
    {"fork-exec", make_fork_exec},
    {"exec-scrubbed", make_exec_scrubbed},
    {"exec-missing", make_exec_missing},
    {"exec-in-thread", make_exec_in_thread},
    {"daemons", make_daemons},
    {"many", make_many},
};

int main(int argc, char **argv) {
    REQUIRE(argc == 3);
    leaf = argv[2];
    inherited = opaque(malloc(1000003)); // @before
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (!strcmp(argv[1], ways[i].name)) {
            ways[i].make();
            opaque(malloc(700001)); // @after
            say("parent done\n");
            return 0;
        }
    return 95;
}
