// SPDX-License-Identifier: MIT
//
// peakline: finds the verb and hands over to it.

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "reporter/cmd.h"
#include "reporter/message.h"

static const struct cmd *const verbs[] = {&cmd_run, &cmd_report};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static const struct cmd *main_find(const char *name) {
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static void main_help(FILE *out) {
    fprintf(out, "usage: peakline VERB [ARGUMENTS]\n\n"
                 "peakline shows which lines of a program hold its memory.\n\n");
    for (size_t i = 0; i < VERBS; i++)
        fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(out, "  %-10s %s\n\n", "help", "this text; `peakline help VERB` (or `VERB -h`) for one verb");
    fprintf(out, "To start:  peakline run python3 program.py\n"
                 "           peakline report\n");
}

static int main_unknown(const char *name) {
    const char *names[VERBS + 1] = {"help"};
    for (size_t i = 0; i < VERBS; i++)
        names[i + 1] = verbs[i]->name;
    const char *nearest = message_nearest(name, names, VERBS + 1);
    if (nearest != NULL)
        message_print("unknown verb '%s', did you mean '%s'? `peakline help` lists all", name, nearest);
    else
        message_print("unknown verb '%s'; `peakline help` lists all, `peakline run %s` would profile it",
                      name, name);
    return 2;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        main_help(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        printf("peakline %s\n", PEAKLINE_VERSION);
        return 0;
    }
    bool help = strcmp(name, "help") == 0;
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0 || (help && argc == 2)) {
        main_help(stdout);
        return 0;
    }
    const struct cmd *verb = main_find(help ? argv[2] : name);
    if (verb == NULL)
        return main_unknown(help ? argv[2] : name);
    if (help) {
        char option[] = "-h";
        char *arguments[] = {argv[2], option, NULL};
        return verb->run(2, arguments);
    }
    return verb->run(argc - 1, argv + 1);
}
