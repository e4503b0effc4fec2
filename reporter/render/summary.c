// SPDX-License-Identifier: MIT
//
// The few lines that `run` prints when the program has ended. See render.h.

#include <stdlib.h>

#include "reporter/errors.h"
#include "reporter/message.h"
#include "reporter/render/listing.h"
#include "reporter/render/render.h"
#include "reporter/text.h"
#include "reporter/users.h"

#define TYPED_COLUMNS 60

// In code that calls itself all the way: the innermost line that held half of the peak, with all that it
// called; UINT32_MAX if none.
static uint32_t find_inner_line(const struct model_process *process, const bool *chosen, int64_t *held) {
    struct metrics *metrics = metrics_compute(process);
    uint32_t top = UINT32_MAX;
    *held = 0;
    for (uint32_t i = 0; i < process->line_count; i++) {
        const struct metrics_measure *line = &metrics->lines[i].total;
        if (!chosen[process->lines[i].function] || line->at_peak < process->image->header.heap_peak / 2)
            continue;
        // Who is called has allocated less, as a rule.
        if (top == UINT32_MAX || line->at_peak < *held ||
            (line->at_peak == *held && line->allocated_bytes < metrics->lines[top].total.allocated_bytes)) {
            *held = line->at_peak;
            top = i;
        }
    }
    metrics_free(metrics);
    return top;
}

// The line of the chosen functions that held most at the peak, with what it called outside of them;
// UINT32_MAX if none.
static uint32_t find_outer_line(const struct model_process *process, const bool *chosen, int64_t *held) {
    int64_t *shares = metrics_share_peak(process, chosen);
    uint32_t top = UINT32_MAX;
    *held = 0;
    for (uint32_t i = 0; i < process->line_count; i++) {
        if (shares[i] > *held) {
            *held = shares[i];
            top = i;
        }
    }
    free(shares);
    return top;
}

// The line that the user wants to hear of first; UINT32_MAX if none.
static uint32_t find_top_line(const struct model_process *process, struct source_cache *sources,
                              int64_t *held) {
    bool all, *user = users_find(process, sources, &all);
    uint32_t top = all ? find_inner_line(process, user, held) : UINT32_MAX;
    if (top == UINT32_MAX)
        top = find_outer_line(process, user, held);
    free(user);
    return top;
}

// A cell's file name tells nobody anything: the line, escaped, if its text is in the recording. The caller
// frees it.
static char *find_typed_text(const struct model_process *process, struct source_cache *sources,
                             const struct model_line *line) {
    const struct source *source = source_open(sources, line->file, process->cwd);
    size_t length = 0;
    const char *text = source_is_text(source) ? source_line(source, line->line, &length) : "";
    while (length && (*text == ' ' || *text == '\t')) {
        text++;
        length--;
    }
    return text_escape(text, length, TYPED_COLUMNS);
}

static void print_line(const struct model_process *process, struct source_cache *sources,
                       const struct model_line *line, int64_t held, FILE *out) {
    char size[TEXT_SIZE_MAX];
    const struct model_function *function = &process->functions[line->function];
    char *name = text_escape_string(function->starter ? function->starter : function->name);
    if (line->file) {
        char *file = text_escape_string(listing_short_path(process, line->file));
        char *text = find_typed_text(process, sources, line);
        fprintf(out, "peakline: %s of it came from %s%s:%u (%s)%s%s\n", text_size(size, held),
                function->starter ? "threads started at " : "", file, line->line, name, *text ? ": " : "",
                text);
        free(text);
        free(file);
    } else {
        fprintf(out, "peakline: %s of it came from %s\n", text_size(size, held), name);
    }
    free(name);
}

static void print_top_line(const struct model_process *process, FILE *out) {
    struct source_cache *sources = render_sources(process);
    int64_t held;
    const uint32_t top = find_top_line(process, sources, &held);
    if (top != UINT32_MAX)
        print_line(process, sources, &process->lines[top], held, out);
    source_cache_free(sources);
}

// A program's helpers (multiprocessing's, a daemon) may outlive it: that is no loss.
static const char *state_of(const struct model *model) {
    if (model->complete)
        return "";
    for (size_t i = 0; i < model->process_count; i++)
        if (model->processes[i].end == MODEL_RUNNING)
            return " (some of its processes still run)";
    return " (incomplete: the report says why)";
}

// Of all processes: the sum of the times, the largest tables.
static void print_own_cost(const struct model *model, FILE *out) {
    uint64_t tables = 0, lost = 0, error = 0;
    const char *room = NULL;
    double seconds = 0, its;
    char size[TEXT_SIZE_MAX], text[TEXT_SIZE_MAX];
    for (size_t i = 0; i < model->process_count; i++) {
        const struct record_header *h = &model->processes[i].image->header;
        seconds += model_hook_seconds(&model->processes[i], &its) ? its : 0;
        lost = model_add_unsigned(lost, model->processes[i].lost_events);
        if (!room && model->processes[i].lost_events)
            room = notes_room(h);
        tables = h->table_bytes > tables ? h->table_bytes : tables;
        error = h->peak_error_bytes > error ? h->peak_error_bytes : error;
    }
    if (seconds > 0)
        fprintf(out, "peakline: recording took about %s, and up to %s of memory\n",
                text_seconds(text, seconds), text_size(size, model_signed(tables)));
    if (lost)
        fprintf(out, "peakline: %s event%s lost%s: %s\n", text_count(text, lost),
                lost == 1 ? " was" : "s were", room ? ", the recording had no room for more" : "",
                room ? room : "the report says what that means");
    if (error)
        fprintf(out, "peakline: peaks may be off by up to %s\n", text_size(size, model_signed(error)));
}

int summary_print(const char *recording, FILE *out) {
    struct reader_error error;
    struct model *model = model_open(recording, &error);
    if (!model) {
        message_print("no summary: %s: %s", error.file, error.what);
        free(error.file);
        return 2;
    }
    struct model_process *process = &model->processes[0];
    char size[TEXT_SIZE_MAX], at[TEXT_SIZE_MAX];
    char *command = render_command(process, 60), *path = text_escape_string(recording);
    struct symbolize *symbolize = symbolize_new(false);
    bool loaded = model_load(model, process, symbolize_resolver(symbolize), &error);
    fprintf(out, "peakline: peak %s", text_size(size, process->image->header.heap_peak));
    uint64_t off = loaded ? errors_standard(errors_of_process(process).peak) : 0;
    if (off)
        fprintf(out, " (± %s)", text_size(size, model_signed(off)));
    if (process->image->header.peak_seq)
        fprintf(out, " at %s", text_seconds(at, (double)process->image->header.peak_ns / 1e9));
    if (model->process_count > 1)
        fprintf(out, " in %s, the highest of %zu processes", command, model->process_count);
    fputc('\n', out);

    if (loaded)
        print_top_line(process, out);
    else
        free(error.file);
    if (process->image->header.flags & RECORD_FLAG_OWN_MALLOC)
        fputs("peakline: the program has a malloc of its own, linked into it: only what that passes on is "
              "seen\n",
              out);
    print_own_cost(model, out);
    fprintf(out, "peakline: recorded in %s%s\n", path, state_of(model));
    char *word = text_quote(recording);
    fprintf(out, "peakline: next: peakline report %s\n", word);
    free(word);
    symbolize_free(symbolize);
    model_close(model);
    free(command);
    free(path);
    return 0;
}
