// SPDX-License-Identifier: MIT
//
// The verbs. Each is one file in cmd/ and one line in main.c's table.

#ifndef PEAKLINE_CMD_H
#define PEAKLINE_CMD_H

struct cmd {
    const char *name;
    const char *summary; // one line for `peakline help`
    // argv[0] is the verb. Returns the exit status: 0; 2 (`run`: 125 to 127) after one line on standard
    // error.
    int (*run)(int argc, char **argv);
};

extern const struct cmd cmd_report, cmd_run;

#endif
