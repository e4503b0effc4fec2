// SPDX-License-Identifier: MIT
//
// The recording that a verb means when none was named.

#ifndef PEAKLINE_NEWEST_H
#define PEAKLINE_NEWEST_H

// The newest recording in the current directory that has the name `run` gives them (peakline-PROGRAM-PID);
// NULL when there is none. The caller frees it.
char *newest_find(void);

#endif
