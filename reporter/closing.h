// SPDX-License-Identifier: MIT
//
// Closes a recording when its program has ended: writes what only the launcher knows of the program's
// process, how it ended and the most memory it ever had resident, into the newest file of that pid.
//
// Threads: main thread only. Failure is silent: the file then says what its process could say itself.

#ifndef PEAKLINE_CLOSING_H
#define PEAKLINE_CLOSING_H

#include <stdint.h>
#include <sys/types.h>

enum closing {
    CLOSING_NOTHING, // no file of that pid
    CLOSING_WRITTEN,
    CLOSING_REPLACED, // the newest file belongs to an image that was replaced: the last image is not recorded
};

// `status` as wait4 gave it; `rss_peak_bytes` 0 when it is not known; `monotonic_ns` is CLOCK_MONOTONIC at
// the death. rss_peak_bytes is used only when the recording consists of one file: wait4 reports the largest
// of a process's images and of the children that it waited for.
enum closing closing_write(const char *recording, pid_t pid, int status, uint64_t rss_peak_bytes,
                           uint64_t monotonic_ns);

#endif
