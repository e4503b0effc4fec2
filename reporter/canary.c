// SPDX-License-Identifier: MIT
//
// See canary.h. The conversation: a byte with the number of a signal there, a byte back, 1 when it was
// pending.

#include "reporter/canary.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CANARY_PATIENCE_MS = 100 }; // until a look whether it has been stopped

// Gives the process another name, and no arguments: pkill and killall choose by these.
static void canary_rename(void) {
    char text[2048] = "";
    FILE *file = fopen("/proc/self/stat", "re");
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[length] = '\0';
    // Fields 48 and 49: where the arguments are. The command, in parentheses, may hold anything.
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 48; field++)
        at = strchr(at + 1, ' ');
    uintptr_t start = at ? strtoul(at, &at, 10) : 0, end = at ? strtoul(at, NULL, 10) : 0;
    if (start != 0 && start < end)
        memset((void *)start, 0, end - start);
    prctl(PR_SET_NAME, "signal-canary");
}

static void __attribute__((noreturn)) canary_live(int socket) {
    unsigned char byte;
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    dup2(socket, 0);
    close_range(1, ~0U, 0);
    canary_rename();
    while (read(0, &byte, 1) == 1) {
        sigemptyset(&set);
        sigaddset(&set, byte);
        byte = sigtimedwait(&set, NULL, &(struct timespec){0}) > 0;
        send(0, &byte, 1, MSG_NOSIGNAL);
    }
    _exit(0);
}

void canary_start(struct canary *canary) {
    int raw[2];
    *canary = (struct canary){.socket = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, raw) != 0)
        return;
    // Clear of 0, 1 and 2, which are the program's also when they are closed.
    canary->socket = fcntl(raw[0], F_DUPFD_CLOEXEC, 3);
    pid_t pid = canary->socket >= 0 ? fork() : -1;
    if (pid == 0)
        canary_live(raw[1]);
    canary->pid = pid > 0 ? pid : 0;
    close(raw[0]);
    close(raw[1]);
}

// A SIGSTOP for the group stops the canary as well, and what continues this process need not reach it.
static bool canary_wake(const struct canary *canary) {
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)canary->pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == canary->pid && kill(canary->pid, SIGCONT) == 0;
}

static bool canary_ask(struct canary *canary, int signal_number, bool *woken) {
    unsigned char byte = (unsigned char)signal_number;
    struct pollfd answer = {.fd = canary->socket, .events = POLLIN};
    if (send(canary->socket, &byte, 1, MSG_NOSIGNAL) == 1) {
        while (poll(&answer, 1, CANARY_PATIENCE_MS) == 0)
            *woken |= canary_wake(canary);
        if (read(canary->socket, &byte, 1) == 1)
            return byte;
    }
    canary_end(canary); // somebody killed it
    return false;
}

bool canary_has(struct canary *canary, int signal_number) {
    if (canary->pid == 0)
        return false;
    // The kernel signals the members of a group one after the other, under a lock that setpgid takes as well:
    // when this, which changes nothing, returns, all members have been served.
    setpgid(0, getpgrp());
    bool woken = canary_wake(canary);
    bool has = canary_ask(canary, signal_number, &woken);
    if (!woken)
        return has;
    if (signal_number == SIGCONT)
        return false; // that one was ours
    if (canary->pid != 0)
        canary_ask(canary, SIGCONT, &woken);
    return has;
}

void canary_end(struct canary *canary) {
    if (canary->pid != 0) {
        kill(canary->pid, SIGKILL);
        waitpid(canary->pid, NULL, 0);
    }
    if (canary->socket >= 0)
        close(canary->socket);
    *canary = (struct canary){.socket = -1};
}
