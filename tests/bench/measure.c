// SPDX-License-Identifier: MIT
//
// Runs a command and writes to a file: its wall time in seconds and the largest resident set, in bytes, of
// any of its processes. Usage: measure FILE COMMAND [ARGUMENT…]
//
// A program of its own, because the kernel counts the memory of whoever started a process as that process's:
// this one is small.

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    struct rusage usage;
    double start;
    int status;
    FILE *file;
    pid_t pid;

    if (argc < 3)
        return 2;
    start = now();
    pid = fork();
    if (pid == 0) {
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
        return 2;
    file = fopen(argv[1], "w");
    if (file == NULL || fprintf(file, "%.6f %lld\n", now() - start, (long long)usage.ru_maxrss * 1024) < 0 ||
        fclose(file) != 0)
        return 2;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
