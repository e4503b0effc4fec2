// SPDX-License-Identifier: MIT
//
// fork, exec, and an attentive wait.

#include "reporter/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reporter/canary.h"
#include "reporter/message.h"
#include "reporter/program.h"

extern char **environ;

// What the program inherits: the signal state from before launch_run.
struct launch_signals {
    sigset_t mask;
    struct sigaction child;
};

// Blocks every signal that can be waited for. Those that report an error of this process itself stay as they
// are.
static void launch_block(struct launch_signals *saved, sigset_t *all) {
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigfillset(all);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        sigdelset(all, own[i]);
    sigprocmask(SIG_BLOCK, all, &saved->mask);
    // An inherited SIG_IGN would let the kernel throw the exit status away.
    sigaction(SIGCHLD, &standard, &saved->child);
}

static void launch_restore(const struct launch_signals *saved) {
    sigaction(SIGCHLD, &saved->child, NULL);
    sigprocmask(SIG_SETMASK, &saved->mask, NULL);
}

// A pipe that does not survive exec, clear of 0, 1 and 2: the launcher may have been started with those
// closed, and they are the program's.
static bool launch_pipe(int ends[2]) {
    int raw[2];
    if (pipe2(raw, O_CLOEXEC) != 0)
        return false;
    for (int i = 0; i < 2; i++)
        ends[i] = fcntl(raw[i], F_DUPFD_CLOEXEC, 3);
    close(raw[0]);
    close(raw[1]);
    return ends[0] >= 0 && ends[1] >= 0;
}

// A text file without a #! line is the shell's, as execvp has it. Returns when it is not text, or cannot be
// read.
static void launch_exec_as_script(const struct launch *launch) {
    char head[80];
    int fd = open(launch->path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, head, sizeof head);
    if (fd >= 0)
        close(fd);
    if (length < 0 || memchr(head, '\0', (size_t)length) != NULL) {
        errno = ENOEXEC;
        return;
    }
    size_t count = 0;
    while (launch->argv[count] != NULL)
        count++;
    char **argv = calloc(count + 3, sizeof *argv);
    static char shell[] = "/bin/sh";
    if (argv == NULL)
        return;
    argv[0] = shell;
    argv[1] = (char *)(uintptr_t)launch->path;
    for (size_t i = 1; i < count; i++)
        argv[i + 1] = launch->argv[i];
    execve(shell, argv, environ);
    free(argv);
}

// The program's process until exec. Its failure, an errno, goes into `report`; 0 when a line was printed
// already.
static void __attribute__((noreturn))
launch_child(const struct launch *launch, int go, int report, const struct launch_signals *saved) {
    char byte;
    ssize_t got;
    while ((got = read(go, &byte, 1)) < 0 && errno == EINTR)
        ;
    if (got != 1)
        _exit(PROGRAM_FAILED); // the launcher gave up, or died
    int error = 0;
    if (launch->environment(getpid(), launch->context)) {
        launch_restore(saved);
        execve(launch->path, launch->argv, environ);
        if (errno == ENOEXEC)
            launch_exec_as_script(launch);
        error = errno;
    }
    while (write(report, &error, sizeof error) < 0 && errno == EINTR)
        ;
    _exit(PROGRAM_FAILED);
}

// Reads the child's report: -1 when it has become the program (or died on the way).
static int launch_report(int fd) {
    int error;
    ssize_t got;
    while ((got = read(fd, &error, sizeof error)) < 0 && errno == EINTR)
        ;
    return got == (ssize_t)sizeof error ? error : -1;
}

static int launch_exec_failed(const char *path, int error) {
    switch (error) {
    case 0:
        return PROGRAM_FAILED;
    case ENOENT:
        message_print("%s cannot be started: it, or the interpreter or loader that it names, does not exist",
                      path);
        return PROGRAM_NOT_FOUND;
    case ENOEXEC:
        message_print("%s cannot be started: it is neither a program nor a script; check the file", path);
        return PROGRAM_NOT_EXECUTABLE;
    case E2BIG:
        message_print("%s cannot be started: its arguments and environment are too long; shorten them", path);
        return PROGRAM_NOT_EXECUTABLE;
    default:
        message_print("%s cannot be started: %s", path, strerror(error));
        return PROGRAM_NOT_EXECUTABLE;
    }
}

// Lets go of everything but standard error and `kept`, which is 3 or more, or -1.
static void launch_release_descriptors(int kept) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        // Only what was open: with 0 closed, say, open() has just returned it.
        dup2(null, 0);
        dup2(null, 1);
    }
    if (kept > 3)
        close_range(3, (unsigned)kept - 1, 0);
    close_range(kept >= 3 ? (unsigned)kept + 1 : 3, ~0U, 0);
}

// Whether to pass a signal on: not what the program got itself, as a member of our group. The kernel sends
// SI_KERNEL to the whole foreground group: keyboard, window size.
static bool launch_is_ours_to_forward(const siginfo_t *info, pid_t pid, struct canary *canary) {
    if (info->si_signo == SIGCHLD)
        return false;
    // The canary is always asked, so that it forgets the signal.
    bool everyone = canary_has(canary, info->si_signo);
    if (info->si_code == SI_KERNEL || info->si_pid == pid)
        return false;
    return !everyone || getpgid(pid) != getpgrp();
}

static void launch_forward(const siginfo_t *info, pid_t pid) {
    if (info->si_code == SI_QUEUE)
        sigqueue(pid, info->si_signo, info->si_value);
    else
        kill(pid, info->si_signo);
}

// Whether a SIGCONT has come, which is blocked: takes it.
static bool launch_continued(struct canary *canary) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGCONT);
    if (sigtimedwait(&one, NULL, &(struct timespec){0}) != SIGCONT)
        return false;
    canary_has(canary, SIGCONT);
    return true;
}

static void launch_stop_self(int signal_number, struct canary *canary) {
    // SIGSTOP is sent to one process by someone who will continue that same process (a debugger, say), and
    // only a shell that waits for us has a use for our stopping. Without a terminal there is none.
    if (signal_number == SIGSTOP) {
        int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (terminal < 0)
            return;
        close(terminal);
        raise(SIGSTOP);
    } else {
        struct sigaction standard = {.sa_handler = SIG_DFL}, before;
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, signal_number);
        sigaction(signal_number, &standard, &before);
        raise(signal_number);
        sigprocmask(SIG_UNBLOCK, &one, NULL); // here
        sigprocmask(SIG_BLOCK, &one, NULL);
        sigaction(signal_number, &before, NULL);
        canary_has(canary, signal_number);
    }
}

// Stops this process as the program was stopped, so that the shell sees the job stop; returns when continued.
static void launch_stop(int signal_number, pid_t pid, struct canary *canary) {
    int status;
    // A SIGSTOP for the whole group may have stopped us, too, and we are continued already.
    bool continued = launch_continued(canary);
    if (!continued) {
        launch_stop_self(signal_number, canary);
        continued = launch_continued(canary); // not in an orphaned group, say: we never stopped
    }
    // `fg` continues our whole group; a program that has moved to a group of its own is continued here.
    if (continued && waitpid(pid, &status, WCONTINUED | WNOHANG) != pid)
        kill(pid, SIGCONT);
}

static void launch_wait(pid_t pid, const sigset_t *all, struct canary *canary, struct launch_result *result) {
    struct rusage usage;
    for (;;) {
        int status;
        pid_t got = wait4(pid, &status, WUNTRACED | WNOHANG, &usage);
        if (got == pid && WIFSTOPPED(status)) {
            launch_stop(WSTOPSIG(status), pid, canary);
            continue;
        }
        if (got == pid) {
            result->status = status;
            break;
        }
        siginfo_t info;
        // SIGCHLD is among them: this sleeps until there is something to do.
        if (sigwaitinfo(all, &info) > 0 && launch_is_ours_to_forward(&info, pid, canary))
            launch_forward(&info, pid);
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    result->pid = pid;
    result->rss_peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
    result->monotonic_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int launch_run(const struct launch *launch, struct launch_result *result) {
    struct launch_signals saved;
    sigset_t all;
    int go[2], report[2];
    if (!launch_pipe(go) || !launch_pipe(report)) {
        message_print("no pipe to the program could be made: %s", strerror(errno));
        return PROGRAM_FAILED;
    }
    launch_block(&saved, &all);
    pid_t pid = fork();
    if (pid == 0) {
        close(go[1]);
        close(report[0]);
        launch_child(launch, go[0], report[1], &saved);
    }
    if (pid < 0) {
        message_print("no process could be started: %s", strerror(errno));
        return PROGRAM_FAILED;
    }
    close(go[0]);
    close(report[1]);
    struct canary canary;
    canary_start(&canary);
    int error = 0;
    bool prepared = launch->prepare(pid, launch->context);
    if (prepared) {
        while (write(go[1], "", 1) < 0 && errno == EINTR)
            ;
        error = launch_report(report[0]);
    }
    close(go[1]);
    close(report[0]);
    if (prepared)
        launch->started(error < 0, launch->context);
    if (error >= 0) {
        canary_end(&canary);
        waitpid(pid, NULL, 0);
        return prepared ? launch_exec_failed(launch->path, error) : PROGRAM_FAILED;
    }
    launch_release_descriptors(canary.socket);
    launch_wait(pid, &all, &canary, result);
    canary_end(&canary);
    return 0;
}
