// SPDX-License-Identifier: MIT
//
// Tells a signal that was sent to the whole process group from one that was sent to this process alone;
// siginfo does not. The canary is a child that stays in the group with every signal blocked: what was sent to
// all is pending there, too. It ends when this process ends, however that happens, and holds none of its
// descriptors.
//
// It answers for each signal once, so that signals which queue are told apart one by one. A kill by name
// (pkill, killall) does not hit it: it bears another name. When it cannot be started, or was killed, every
// signal seems to be sent to this process alone.
//
// Threads: single-threaded process only.

#ifndef PEAKLINE_CANARY_H
#define PEAKLINE_CANARY_H

#include <stdbool.h>
#include <sys/types.h>

struct canary {
    pid_t pid;  // 0 = there is none
    int socket; // closed on exec; at least 3
};

// Every signal must be blocked in the caller: they are not to end the canary before it has blocked them.
void canary_start(struct canary *canary);

// Whether a signal that this process has just taken was sent to its whole group.
bool canary_has(struct canary *canary, int signal_number);

void canary_end(struct canary *canary);

#endif
