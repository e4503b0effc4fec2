// SPDX-License-Identifier: MIT
//
// Command lines. Each verb describes its options in a table; this turns a command line and the environment
// into a sequence of (option, value). The environment comes first, so that the command line overrides it:
//
//     static const struct options_spec specs[] = {
//         {"output", 'o', "FILE", "PEAKLINE_REPORT_OUTPUT", "write to FILE"}, …, {0}};
//     struct options options = {.usage = "report [RECORDING] [OPTIONS]", .about = "…", .specs = specs};
//     options_start(&options, argc, argv);
//     while ((i = options_next(&options)) >= 0)
//         switch (i) { case 0: output = options.value; break; … }
//     if (i != OPTIONS_END)
//         return i == OPTIONS_HELP ? 0 : 2;
//
// Forms: --name=VALUE, --name VALUE, -oVALUE, -o VALUE; `--` ends the options. `-h`/`--help` is built in.
// A flag may carry a truth value (--native=no), as its environment variable does.
//
// Ownership: all strings are the caller's or argv's. Failure: one line on standard error, OPTIONS_ERROR.

#ifndef PEAKLINE_OPTIONS_H
#define PEAKLINE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options_spec {
    const char *name;     // without the dashes; NULL ends the table
    char letter;          // 0 = none
    const char *value;    // what its value is called in the help; NULL = a flag
    const char *variable; // of the environment; NULL = none
    const char *help;
};

enum { OPTIONS_END = -1, OPTIONS_ERROR = -2, OPTIONS_HELP = -3 };

struct options {
    // Set by the verb.
    const char *usage; // the line after "peakline "; its first word is the verb
    const char *about; // what the verb does, one or more lines, for the help
    const struct options_spec *specs;
    bool program; // the first operand ends the options: what follows belongs to another program
    // Set by options_next, for the option that it returned.
    const char *value; // NULL for a flag
    bool on;           // false: a flag that was switched off
    const char *given; // how the user spelt it: "--max-size", "-o", "PEAKLINE_MAX_SIZE"
    // After OPTIONS_END: the operands.
    int operands;
    char **operand; // NULL-terminated; points into argv, which is reordered
    // Private.
    char **argv;
    int argc, at, environment;
    bool ended;
    char short_name[3];
};

void options_start(struct options *options, int argc, char **argv);

// The index of the next option in the table, or OPTIONS_END, OPTIONS_ERROR or OPTIONS_HELP (help was
// printed).
int options_next(struct options *options);

// "peakline VERB: …" plus where to find help. Returns OPTIONS_ERROR.
int options_fail(const struct options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Values of options. Each returns whether options->value is one; if not, after one line on standard error.
bool options_size(const struct options *options, uint64_t low, uint64_t high,
                  uint64_t *bytes); // 512K, 1GiB, 4096
bool options_number(const struct options *options, uint64_t low, uint64_t high, uint64_t *number);
bool options_choice(const struct options *options, const char *const *choices, size_t count, size_t *index);

// Bytes of "4096", "512K", "16MiB", "1G"; units are powers of 1024. False when `text` is not a size.
bool options_parse_size(const char *text, uint64_t *bytes);

#endif
