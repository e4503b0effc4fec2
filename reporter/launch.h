// SPDX-License-Identifier: MIT
//
// Starts a program and waits for it, as if nobody stood between it and its user: streams, signals, job
// control and exit status are its own.
//
// Signals. Launcher and program are in one process group, so what the terminal sends (Ctrl-C, Ctrl-\, Ctrl-Z,
// a resized window) reaches both: the launcher ignores it and waits for what the program makes of it. What
// another process sends to the launcher alone is passed on; what it sends to the whole group is not, since
// the program has it already: canary.h tells one from the other. (A signal for the group in the instant
// between the two forks, before the program runs, arrives twice.) When the program stops for job control, so
// does the launcher. When the launcher is killed by SIGKILL, the program goes on and is recorded: tying it to
// us (PR_SET_PDEATHSIG) would be something that it can notice.
//
// The launcher gives up its copies of the program's standard input and output and of every other inherited
// descriptor, so that pipes and locks end when the program's do. Standard error is kept for the summary.
//
// Threads: single-threaded process only. Signals stay blocked in the launcher afterwards.

#ifndef PEAKLINE_LAUNCH_H
#define PEAKLINE_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct launch {
    const char *path; // to execute
    char **argv;
    // Called in the launcher once the program's pid is known, before it runs: false ends the attempt.
    bool (*prepare)(pid_t pid, void *context);
    // Called in the program's process after that, to set its environment: false ends the attempt. It sees
    // what prepare did as far as the pid lets it repeat it; it is a copy of the launcher's memory at the
    // start.
    bool (*environment)(pid_t pid, void *context);
    // Called in the launcher when the program runs, or when it could not be started (after prepare only).
    void (*started)(bool success, void *context);
    void *context;
};

struct launch_result {
    pid_t pid;
    int status;              // as wait4 gave it
    uint64_t rss_peak_bytes; // of the program and the children that it waited for
    uint64_t monotonic_ns;   // when it was found dead
};

// Returns 0 when the program ran and ended, or the exit status with which to give up (a line was printed).
int launch_run(const struct launch *launch, struct launch_result *result);

#endif
