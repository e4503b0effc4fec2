// SPDX-License-Identifier: MIT
//
// Prints what a program can see of its surroundings: they are the same with and without a profiler.

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "target.h"

extern char **environ;

static int is_ours(const char *variable) {
    return !strncmp(variable, "LD_PRELOAD=", 11) || !strncmp(variable, "PEAKLINE_", 9) ||
           !strncmp(variable, "PYTHONPATH=", 11);
}

int main(int argc, char **argv) {
    struct rlimit limit;
    struct itimerval timer;
    struct sigaction action;
    sigset_t mask;
    DIR *directory;
    struct dirent *entry;
    char name[17] = "";
    int parent_death_signal = -1;

    for (int i = 0; i < argc; i++)
        printf("argv[%d] = %s\n", i, argv[i]);
    for (char **variable = environ; *variable != NULL; variable++)
        if (!is_ours(*variable))
            printf("env %s\n", *variable);
    directory = opendir("/proc/self/fd");
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            printf("fd %s\n", entry->d_name);
    closedir(directory);
    directory = opendir("/proc/self/task");
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            printf("a thread\n");
    closedir(directory);
    for (int i = 0; i < RLIMIT_NLIMITS; i++)
        if (getrlimit(i, &limit) == 0)
            printf("limit %d %llu %llu\n", i, (unsigned long long)limit.rlim_cur,
                   (unsigned long long)limit.rlim_max);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int number = 1; number < 65; number++)
        if (sigaction(number, NULL, &action) == 0)
            printf("signal %d %d %d\n", number, sigismember(&mask, number), action.sa_handler != SIG_DFL);
    for (int i = 0; i < 3; i++)
        if (getitimer(i, &timer) == 0)
            printf("timer %d %ld %ld\n", i, timer.it_value.tv_sec, timer.it_value.tv_usec);
    printf("umask %o\n", umask(0));
    prctl(PR_GET_NAME, name);
    printf("name %s, dumpable %d, nice %d\n", name, prctl(PR_GET_DUMPABLE), getpriority(PRIO_PROCESS, 0));
    REQUIRE(prctl(PR_GET_PDEATHSIG, &parent_death_signal) == 0);
    printf("parent death signal %d, no new privileges %d, timer slack %d\n", parent_death_signal,
           prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_TIMERSLACK));
    printf("personality %x, leads its group %d\n", (unsigned)personality(0xffffffff), getpgrp() == getpid());
    printf("stdin tty %d\n", isatty(0));
    fprintf(stderr, "and to standard error\n");
    return 5;
}
