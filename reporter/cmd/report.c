// SPDX-License-Identifier: MIT
//
// peakline report: shows what a recording says.

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "reporter/atomic.h"
#include "reporter/cmd.h"
#include "reporter/message.h"
#include "reporter/newest.h"
#include "reporter/options.h"
#include "reporter/render/render.h"

enum { FORMAT, OUTPUT, FUNCTION, FILE_GLOB, PID, TOP, SORT, CONTEXTS, PRECISION, CHOSEN, COLOR };

static const struct options_spec report_specs[] = {
    [FORMAT] = {"format", 0, "FORMAT", "PEAKLINE_FORMAT", "table (default) or json"},
    [OUTPUT] = {"output", 'o', "FILE", "PEAKLINE_REPORT_OUTPUT", "write to FILE instead of standard output"},
    [FUNCTION] = {"function", 0, "GLOB", "PEAKLINE_FUNCTION", "only functions whose name matches"},
    [FILE_GLOB] = {"file", 0, "GLOB", "PEAKLINE_FILE", "only functions and lines of files that match"},
    [PID] = {"pid", 0, "PID", "PEAKLINE_PID",
             "only this process (PID.N: only what it was after N calls of exec)"},
    [TOP] = {"top", 0, "N", "PEAKLINE_TOP",
             "at most N functions (and lines, in JSON); default: a page, or all"},
    [SORT] = {"sort", 0, "COLUMN", "PEAKLINE_SORT",
              "by peak (default), mem-usage, increment, allocations, file, …; a wrong one lists all"},
    [CONTEXTS] = {"contexts", 0, NULL, "PEAKLINE_CONTEXTS", "JSON: list the calling contexts, too"},
    [PRECISION] = {"precision", 0, "DIGITS", "PEAKLINE_PRECISION",
                   "table: sizes in MiB with 0 to 9 digits; default: three digits of a unit that fits"},
    [CHOSEN] = {"chosen", 0, "NUMBERS", NULL,
                "table: only these of the functions chosen by @profile, by their number in the recording"},
    [COLOR] = {"color", 0, "WHEN", "PEAKLINE_COLOR", "auto (default), always or never"},
    {0},
};

static const char report_about[] =
    "Shows which lines hold the memory of a recorded program. RECORDING is a directory that `peakline run` "
    "made, or\n"
    "one file of it; without it, the newest peakline-* in the current directory. GLOB is a shell pattern.";

enum color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct report {
    const struct render_format *format;
    const char *output;  // NULL = standard output
    bool contexts_asked; // on the command line
    enum color color;
    struct render_options render;
    uint32_t *chosen;
};

static bool parse_format(const struct options *options, const struct render_format **format) {
    char names[128] = "";
    for (const struct render_format *f = render_formats; f->name; f++) {
        if (strcmp(options->value, f->name) == 0) {
            *format = f;
            return true;
        }
        if (*names)
            strncat(names, f[1].name ? ", " : " and ", sizeof names - strlen(names) - 1);
        strncat(names, f->name, sizeof names - strlen(names) - 1);
    }
    message_print("report: unknown format '%s' (%s); there are %s", options->value, options->given, names);
    return false;
}

static bool parse_sort(const struct options *options, enum select_column *column) {
    if (select_parse_column(options->value, column))
        return true;
    message_print("report: no column '%s' (%s); there are %s", options->value, options->given,
                  select_column_names());
    return false;
}

// "3,14,15"
static bool parse_chosen(const struct options *options, struct report *report) {
    struct select_options *select = &report->render.select;
    size_t capacity = 0;
    const char *at = options->value;
    select->chosen_count = 0;
    for (;; at++) {
        char *end;
        unsigned long number = *at >= '0' && *at <= '9' ? strtoul(at, &end, 10) : 0;
        if (!number || number > UINT32_MAX || (*end && *end != ',')) {
            message_print("report: '%s' (%s) is not a list of numbers like 3,14", options->value,
                          options->given);
            return false;
        }
        report->chosen = memory_grow(report->chosen, select->chosen_count, &capacity, sizeof *report->chosen);
        report->chosen[select->chosen_count++] = (uint32_t)number;
        if (!*end)
            break;
        at = end;
    }
    select->chosen = report->chosen;
    return true;
}

// "4242", or "4242.1" as the list of processes has it.
static bool parse_process(const struct options *options, struct select_options *select) {
    struct options part = *options;
    const char *dot = strchr(options->value, '.');
    char *pid = memory_copy(options->value, dot ? (size_t)(dot - options->value) : strlen(options->value));
    uint64_t number, image = 0;
    part.value = pid;
    bool ok = options_number(&part, 1, UINT32_MAX, &number);
    part.value = dot ? dot + 1 : "";
    ok = ok && (!dot || options_number(&part, 0, UINT32_MAX - 1, &image));
    free(pid);
    if (!ok)
        return false;
    select->pid = (uint32_t)number;
    select->image = dot ? (uint32_t)image + 1 : 0;
    return true;
}

static bool take_option(struct report *report, const struct options *options, int index) {
    static const char *const colors[] = {"auto", "always", "never"};
    struct select_options *select = &report->render.select;
    uint64_t number;
    size_t choice;
    switch (index) {
    case FORMAT:
        return parse_format(options, &report->format);
    case OUTPUT:
        report->output = options->value;
        return true;
    case FUNCTION:
        select->function = options->value;
        return true;
    case FILE_GLOB:
        select->file = options->value;
        return true;
    case PID:
        return parse_process(options, select);
    case TOP:
        if (!options_number(options, 1, UINT32_MAX, &number))
            return false;
        select->top = (uint32_t)number;
        return true;
    case SORT:
        return parse_sort(options, &select->sort);
    case CONTEXTS:
        report->render.contexts = options->on;
        report->contexts_asked = options->on && *options->given == '-';
        return true;
    case PRECISION:
        if (!options_number(options, 0, 9, &number))
            return false;
        report->render.mib = (unsigned)number + 1;
        return true;
    case CHOSEN:
        return parse_chosen(options, report);
    default:
        if (!options_choice(options, colors, 3, &choice))
            return false;
        report->color = (enum color)choice;
        return true;
    }
}

// Colour and width follow the terminal; what is written to a file or a pipe is plain and always the same.
static void look_at_terminal(struct report *report) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    bool terminal = !report->output && isatty(STDOUT_FILENO);
    struct winsize size;
    if (report->color == COLOR_ALWAYS)
        report->render.color = true;
    else if (report->color == COLOR_AUTO)
        report->render.color = terminal && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
    if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        report->render.width = size.ws_col;
}

// " (at byte 16384)", or nothing when the whole file is meant.
static const char *place_of(const struct reader_error *error, char text[40]) {
    text[0] = '\0';
    if (error->offset)
        snprintf(text, 40, " (at byte %llu)", (unsigned long long)error->offset);
    return text;
}

static struct model *open_recording(const char *recording) {
    struct reader_error error;
    char *found = NULL, place[40];
    if (!recording) {
        found = newest_find();
        if (!found) {
            message_print(
                "report: no recording (peakline-*) in the current directory; name one, or make one with "
                "`peakline run PROGRAM`");
            return NULL;
        }
        message_print("report: showing %s", found);
        recording = found;
    }
    struct model *model = model_open(recording, &error);
    if (!model) {
        message_print("report: %s cannot be used: %s%s; name a recording that `peakline run` made",
                      error.file, error.what, place_of(&error, place));
        free(error.file);
    }
    free(found);
    for (size_t i = 0; model && i < model->recording->error_count; i++) {
        const struct reader_error *damage = &model->recording->errors[i];
        message_print("report: %s is left out: %s%s", damage->file, damage->what, place_of(damage, place));
    }
    return model;
}

static bool has_process(const struct model *model, const struct select_options *select) {
    for (size_t i = 0; i < model->process_count; i++)
        if (select_process(select, &model->processes[i]))
            return true;
    char image[16] = "";
    if (select->image)
        snprintf(image, sizeof image, ".%u", select->image - 1);
    message_print("report: no process %u%s in %s; without --pid the report lists them", select->pid, image,
                  model->recording->path);
    return false;
}

static int write_report(const struct report *report, struct model *model) {
    struct atomic atomic;
    if (!atomic_start(&atomic, report->output)) {
        message_print("report: %s cannot be written: %s; name another file with -o", report->output,
                      strerror(errno));
        return 2;
    }
    struct reader_error error;
    struct render_input input = {.model = model, .options = report->render};
    if (!report->chosen) // Python's own functions, and their program waits for the table
        input.symbolize = symbolize_new(report->render.select.function != NULL);
    bool done = report->format->print(&input, atomic.stream, &error);
    symbolize_free(input.symbolize);
    if (!done) {
        message_print("report: %s can no longer be read: %s", error.file, error.what);
        free(error.file);
        atomic_finish(&atomic, false);
        return 2;
    }
    if (!atomic_finish(&atomic, true)) {
        if (errno == EPIPE && !report->output) {
            // Whoever read the report has seen enough (`| head`): end like any other filter, without a word.
            signal(SIGPIPE, SIG_DFL);
            raise(SIGPIPE);
        }
        message_print("report: %s cannot be written: %s", report->output ? report->output : "the report",
                      strerror(errno));
        return 2;
    }
    return 0;
}

static int report_run(int argc, char **argv) {
    struct report report = {.format = &render_formats[0]};
    struct options options = {
        .usage = "report [RECORDING] [OPTIONS]", .about = report_about, .specs = report_specs};
    options_start(&options, argc, argv);
    int index;
    while ((index = options_next(&options)) >= 0)
        if (!take_option(&report, &options, index))
            return 2;
    if (index != OPTIONS_END)
        return index == OPTIONS_HELP ? 0 : 2;
    if (options.operands > 1) {
        options_fail(&options, "one recording at a time, not also '%s'", options.operand[1]);
        return 2;
    }

    if (options.operands && !*options.operand[0]) {
        options_fail(&options, "the recording's name is empty; leave it out for the newest one here");
        return 2;
    }
    // From the environment it stands for all reports, of any format.
    if (report.contexts_asked && report.format->print != render_json) {
        options_fail(&options, "--contexts is for --format json: the other formats have no contexts");
        return 2;
    }

    signal(SIGPIPE, SIG_IGN); // a reader that goes away is an error like any other: one line, status 2
    struct model *model = open_recording(options.operands ? options.operand[0] : NULL);
    if (!model)
        return 2;
    look_at_terminal(&report);
    int status = has_process(model, &report.render.select) ? write_report(&report, model) : 2;
    model_close(model);
    free(report.chosen);
    return status;
}

const struct cmd cmd_report = {"report", "show which lines hold the memory of a recorded program",
                               report_run};
