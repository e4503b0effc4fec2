// SPDX-License-Identifier: MIT
//
// The report as JSON: schema peakline-report/1, see report-schema.json. Unknown is null, never 0.
//
// Lines, functions, contexts and ticks stand on a line each, so that line-based tools can compare reports.

#include <stdlib.h>
#include <string.h>

#include "reporter/errors.h"
#include "reporter/render/emit.h"
#include "reporter/render/render.h"

struct json {
    struct emit emit;
    const struct render_input *input;
    const struct model_process *process;
    const struct metrics *metrics;
};

// Bytes that disorder between threads can leave below zero for an instant.
static void put_bytes(struct emit *e, const char *key, int64_t value) {
    emit_key(e, key);
    emit_integer(e, value > 0 ? value : 0);
}

static void put_count(struct emit *e, const char *key, uint64_t value) {
    emit_key(e, key);
    emit_count(e, value);
}

static void put_string(struct emit *e, const char *key, const char *value) {
    emit_key(e, key);
    emit_string(e, value);
}

static void put_count_if(struct emit *e, const char *key, bool known, uint64_t value) {
    emit_key(e, key);
    if (known)
        emit_count(e, value);
    else
        emit_null(e);
}

static void put_seconds_if(struct emit *e, const char *key, bool known, double value) {
    emit_key(e, key);
    if (known)
        emit_seconds(e, value);
    else
        emit_null(e);
}

// NULL: there are no estimates, or their error is not known.
static void put_errors(struct emit *e, const struct metrics_variance *variance, bool of_line) {
    emit_key(e, "standard_error");
    if (!variance) {
        emit_null(e);
        return;
    }
    emit_open(e, '{');
    put_count(e, "allocated_bytes", errors_standard(variance->allocated));
    put_count(e, "allocations", errors_standard(variance->allocations));
    put_count(e, "peak_bytes", errors_standard(variance->peak));
    put_count(e, "live_at_exit_bytes", errors_standard(variance->live));
    if (of_line)
        put_count(e, "net_bytes", errors_standard(variance->net));
    emit_close(e, '}');
}

// Where contexts found no room, their bytes went to a caller.
static bool is_exact(const struct json *j, const struct metrics_measure *m) {
    const struct record_header *header = &j->process->image->header;
    return m->peak_exact && m->variance.peak == 0 && !header->peak_error_bytes &&
           !header->lost[RECORD_LOST_TABLE_FULL];
}

static void put_measure(struct json *j, const char *key, const struct metrics_measure *m, bool errors_known) {
    struct emit *e = &j->emit;
    bool frees = j->metrics->frees_known;
    uint64_t allocated = m->allocated_bytes < INT64_MAX ? m->allocated_bytes : INT64_MAX;
    uint64_t freed = m->freed_bytes < INT64_MAX ? m->freed_bytes : INT64_MAX;
    emit_key(e, key);
    emit_open(e, '{');
    put_count(e, "allocated_bytes", allocated);
    put_count(e, "allocations", m->allocations);
    put_bytes(e, "peak_bytes", m->peak);
    emit_key(e, "peak_exact");
    emit_bool(e, is_exact(j, m));
    put_bytes(e, "at_peak_bytes", m->at_peak);
    put_bytes(e, "live_at_exit_bytes", m->live);
    put_count_if(e, "freed_bytes", frees, freed);
    put_count_if(e, "frees", frees, m->frees);
    emit_key(e, "net_bytes");
    if (frees)
        emit_integer(e, (int64_t)allocated - (int64_t)freed);
    else
        emit_null(e);
    put_count(e, "temporary_allocations", m->temporary);
    put_errors(e, errors_known ? &m->variance : NULL, true);
    emit_close(e, '}');
}

static void put_true(struct emit *e, const char *key) {
    emit_key(e, key);
    emit_bool(e, true);
}

static void put_entry(struct json *j, const struct model_function *function,
                      const struct metrics_entry *entry) {
    struct emit *e = &j->emit;
    put_string(e, "function", function->name);
    put_string(e, "language", function->language == RECORD_PYTHON ? "python" : "native");
    put_measure(j, "self", &entry->self, j->metrics->sampled);
    put_measure(j, "total", &entry->total, j->metrics->sampled);
    put_count_if(e, "mem_usage_bytes", entry->mem_usage > 0, (uint64_t)entry->mem_usage);
    if (function->language == RECORD_NATIVE)
        put_string(e, "module", function->module);
    if (function->starter)
        put_true(e, "threads");
}

static void write_lines(struct json *j) {
    size_t count;
    uint32_t *lines = select_lines(j->process, j->metrics, &j->input->options.select, &count);
    emit_new_line(&j->emit, 4);
    emit_key(&j->emit, "lines");
    emit_open(&j->emit, '[');
    for (size_t i = 0; i < count; i++) {
        const struct model_line *line = &j->process->lines[lines[i]];
        emit_new_line(&j->emit, 6);
        emit_open(&j->emit, '{');
        put_string(&j->emit, "file", line->file);
        put_count_if(&j->emit, "line", line->line, line->line);
        put_entry(j, &j->process->functions[line->function], &j->metrics->lines[lines[i]]);
        emit_close(&j->emit, '}');
    }
    emit_close(&j->emit, ']');
    free(lines);
}

static void write_functions(struct json *j) {
    size_t count;
    uint32_t *functions = select_functions(j->process, j->metrics, &j->input->options.select, &count);
    emit_new_line(&j->emit, 4);
    emit_key(&j->emit, "functions");
    emit_open(&j->emit, '[');
    for (size_t i = 0; i < count; i++) {
        const struct model_function *function = &j->process->functions[functions[i]];
        emit_new_line(&j->emit, 6);
        emit_open(&j->emit, '{');
        put_string(&j->emit, "file", function->file);
        put_count_if(&j->emit, "first_line", function->first_line, function->first_line);
        put_entry(j, function, &j->metrics->functions[functions[i]]);
        if (function->chosen)
            put_true(&j->emit, "chosen");
        emit_close(&j->emit, '}');
    }
    emit_close(&j->emit, ']');
    free(functions);
}

static void write_scopes(struct json *j) {
    size_t count;
    uint32_t *scopes = select_scopes(j->process, j->metrics, j->input->options.select.sort, &count);
    emit_new_line(&j->emit, 4);
    emit_key(&j->emit, "scopes");
    emit_open(&j->emit, '[');
    for (size_t i = 0; i < count; i++) {
        emit_new_line(&j->emit, 6);
        emit_open(&j->emit, '{');
        put_string(&j->emit, "name", j->process->functions[scopes[i]].name);
        put_measure(j, "total", &j->metrics->functions[scopes[i]].total, j->metrics->sampled);
        emit_close(&j->emit, '}');
    }
    emit_close(&j->emit, ']');
    free(scopes);
}

// `line` NULL: what was folded beneath the parent.
static void write_context(struct json *j, uint64_t id, uint64_t parent, const struct model_line *line,
                          const struct metrics_measure *self) {
    struct emit *e = &j->emit;
    emit_new_line(e, 6);
    emit_open(e, '{');
    put_count(e, "id", id);
    put_count_if(e, "parent", parent, parent);
    put_string(e, "file", line ? line->file : NULL);
    put_count_if(e, "line", line && line->line, line ? line->line : 0);
    put_string(e, "function", line ? j->process->functions[line->function].name : "(folded contexts)");
    if (line && j->process->functions[line->function].language == RECORD_SCOPE)
        put_true(e, "scope");
    if (line && j->process->functions[line->function].starter)
        put_true(e, "threads");
    put_measure(j, "self", self, false);
    emit_close(e, '}');
}

// A node's id is its number; the callers that were inlined at it get numbers behind those of all nodes.
static void write_contexts(struct json *j) {
    const struct model_process *process = j->process;
    const struct reader_image *image = process->image;
    const struct metrics_measure nothing = {.peak_exact = true};
    uint64_t next_id = image->node_count;
    emit_new_line(&j->emit, 4);
    emit_key(&j->emit, "contexts");
    emit_open(&j->emit, '[');
    for (uint32_t i = 0; i < process->order_count; i++) {
        uint32_t number = process->order[i];
        const struct record_node *node = &image->nodes[number];
        uint64_t parent = node->parent == 1 ? 0 : node->parent;
        const struct model_line *line = NULL;
        if (node->frame) {
            uint32_t last = process->first_level[node->frame + 1] - 1;
            for (uint32_t at = process->first_level[node->frame]; at < last; at++) {
                write_context(j, next_id, parent, &process->lines[process->levels[at]], &nothing);
                parent = next_id++;
            }
            line = &process->lines[process->levels[last]];
        }
        struct metrics_measure self = metrics_of_node(process, number);
        write_context(j, number, parent, line, &self);
    }
    emit_close(&j->emit, ']');
}

static void write_timeline(struct json *j) {
    struct emit *e = &j->emit;
    emit_new_line(e, 4);
    emit_key(e, "timeline");
    emit_open(e, '[');
    for (uint32_t i = 0; i < j->process->image->tick_count; i++) {
        const struct record_tick *tick = &j->process->image->ticks[i];
        emit_new_line(e, 6);
        emit_open(e, '[');
        emit_seconds(e, (double)tick->time_ns / 1e9);
        emit_integer(e, tick->heap_bytes > 0 ? tick->heap_bytes : 0);
        emit_integer(e, tick->mapped_bytes > 0 ? tick->mapped_bytes : 0);
        if (tick->rss_bytes)
            emit_count(e, tick->rss_bytes);
        else
            emit_null(e);
        emit_close(e, ']');
    }
    emit_close(e, ']');
}

static void write_marks(struct emit *e, const struct reader_image *image) {
    emit_new_line(e, 4);
    emit_key(e, "marks");
    emit_open(e, '[');
    for (uint32_t i = 0; i < image->mark_count; i++) {
        const struct record_mark *mark = &image->marks[i];
        size_t length;
        const char *name = reader_string(image, mark->name, &length);
        char *text = memory_copy(name, length);
        emit_new_line(e, 6);
        emit_open(e, '{');
        put_seconds_if(e, "time", true, (double)mark->time_ns / 1e9);
        put_string(e, "name", text);
        put_bytes(e, "heap_bytes", mark->heap_bytes);
        put_bytes(e, "mapped_bytes", mark->mapped_bytes);
        put_count_if(e, "rss_bytes", mark->rss_kib, (uint64_t)mark->rss_kib * 1024);
        emit_close(e, '}');
        free(text);
    }
    emit_close(e, ']');
}

static void write_losses(struct emit *e, const struct record_header *h) {
    emit_key(e, "losses");
    emit_open(e, '{');
    put_count(e, "reentrant", h->lost[RECORD_LOST_REENTRANT]);
    put_count(e, "table_full", h->lost[RECORD_LOST_TABLE_FULL]);
    put_count(e, "no_memory", h->lost[RECORD_LOST_NO_MEMORY]);
    put_count(e, "no_space", h->lost[RECORD_LOST_NO_SPACE]);
    put_count(e, "deep_stacks", h->lost[RECORD_LOST_DEEP]);
    put_count(e, "cut_stacks", h->lost[RECORD_LOST_UNWIND]);
    put_count(e, "unspliced_stacks", h->lost[RECORD_LOST_SPLICE]);
    // A forked child frees what it inherited: which of them are losses cannot be told.
    put_count_if(e, "unknown_frees", !(h->flags & RECORD_FLAG_FORKED), h->unknown_frees);
    put_count(e, "replaced_allocators", h->lost[RECORD_LOST_OBJECTS]);
    put_count(e, "abandoned", h->lost[RECORD_LOST_ABANDONED]);
    put_count(e, "children", h->lost[RECORD_LOST_CHILDREN]);
    emit_close(e, '}');
}

static void write_given_up(struct emit *e, const struct record_header *h) {
    static const char *const reasons[] = {
        [RECORD_GAVE_UP_STUCK] = "stopped_thread",
        [RECORD_GAVE_UP_ABANDONED] = "jump",
        [RECORD_GAVE_UP_DIED] = "cancelled_thread",
    };
    emit_key(e, "given_up");
    if (h->given_up == RECORD_NOT_GIVEN_UP) {
        emit_null(e);
        return;
    }
    emit_open(e, '{');
    put_seconds_if(e, "time", true, (double)h->given_up_ns / 1e9);
    put_string(e, "reason",
               h->given_up < sizeof reasons / sizeof *reasons ? reasons[h->given_up] : "unknown");
    emit_close(e, '}');
}

static void write_unfinished(struct emit *e, const struct model_process *process) {
    static const char *const names[] = {
        [RECORD_UPDATING_EVENTS] = "events",
        [RECORD_UPDATING_CONTEXTS] = "contexts",
    };
    put_string(e, "unfinished_update", names[model_unfinished(process)]);
}

static void write_totals(struct emit *e, const struct model_process *process) {
    const struct record_header *h = &process->image->header;
    emit_key(e, "totals");
    emit_open(e, '{');
    put_bytes(e, "peak_bytes", h->heap_peak);
    put_seconds_if(e, "peak_time", h->peak_seq, (double)h->peak_ns / 1e9);
    put_bytes(e, "live_at_exit_bytes", h->heap_live);
    put_count(e, "allocated_bytes", h->allocated_bytes);
    put_count(e, "allocations", h->allocations);
    put_count(e, "frees", h->frees);
    put_count(e, "uncounted_frees", h->unknown_frees);
    put_bytes(e, "mapped_peak_bytes", h->mapped_peak);
    put_bytes(e, "usable_at_peak_bytes", model_add(h->heap_peak, h->slack_at_peak));
    put_count_if(e, "rss_peak_bytes", h->rss_peak_bytes, h->rss_peak_bytes);
    put_count(e, "peak_error_bytes", h->peak_error_bytes);
    put_count(e, "lost_events", process->lost_events);
    put_count(e, "contexts", process->context_count);
    put_count(e, "folded_contexts", h->folded_nodes);
    put_count(e, "forgotten_lines", h->forgotten_lines);
    put_count(e, "forgotten_bytes", h->forgotten_bytes);
    double seconds;
    bool known = model_hook_seconds(process, &seconds);
    put_seconds_if(e, "hook_seconds", known, seconds);
    put_count(e, "table_bytes", h->table_bytes);
    const struct metrics_variance variance = errors_of_process(process);
    put_errors(e, h->objects == RECORD_OBJECTS_SAMPLED ? &variance : NULL, false);
    emit_close(e, '}');
}

static void write_command(struct emit *e, const struct model_process *process) {
    emit_key(e, "command");
    emit_open(e, '[');
    for (size_t i = 0; i < process->command_count; i++)
        emit_string(e, process->command[i]);
    emit_close(e, ']');
}

static void write_notes(struct emit *e, const struct model_process *process) {
    size_t count;
    char **notes = notes_collect(process, &count);
    emit_key(e, "notes");
    emit_open(e, '[');
    for (size_t i = 0; i < count; i++) {
        emit_string(e, notes[i]);
        free(notes[i]);
    }
    emit_close(e, ']');
    free(notes);
}

static void write_head(struct emit *e, const struct model_process *process) {
    static const char *const objects[] = {"off", "exact", "sampled"};
    const struct record_header *h = &process->image->header;
    put_count(e, "pid", h->pid);
    put_count(e, "parent_pid", h->parent_pid);
    put_count(e, "image", h->image);
    write_command(e, process);
    put_string(e, "cwd", process->cwd);
    put_string(e, "executable", process->executable);
    put_seconds_if(e, "start_time", true, process->start_time);
    put_seconds_if(e, "duration", true, process->duration);
    put_string(e, "end", model_end_name(process->end));
    put_count_if(e, "exit_code", process->end == MODEL_EXITED, (uint32_t)process->exit_code);
    put_count_if(e, "signal", process->end == MODEL_SIGNALLED, (uint32_t)process->signal);
    put_string(e, "python_version", process->python_version);
    put_string(e, "objects", objects[h->objects < 3 ? h->objects : 0]);
    put_count_if(e, "sampling_bytes", h->sampling_bytes, h->sampling_bytes);
    emit_new_line(e, 4);
    write_totals(e, process);
    emit_new_line(e, 4);
    write_losses(e, h);
    write_given_up(e, h);
    write_unfinished(e, process);
    write_notes(e, process);
}

static bool write_process(struct json *j, struct model_process *process, struct reader_error *error) {
    if (!render_load(j->input, process, error))
        return false;
    struct metrics *metrics = metrics_compute(process);
    j->process = process;
    j->metrics = metrics;
    emit_new_line(&j->emit, 2);
    emit_open(&j->emit, '{');
    write_head(&j->emit, process);
    write_scopes(j);
    write_lines(j);
    write_functions(j);
    if (j->input->options.contexts)
        write_contexts(j);
    write_timeline(j);
    write_marks(&j->emit, process->image);
    emit_close(&j->emit, '}');
    metrics_free(metrics);
    model_unload(process);
    return true;
}

static void write_damaged(struct emit *e, const struct reader_recording *recording) {
    emit_key(e, "damaged");
    emit_open(e, '[');
    for (size_t i = 0; i < recording->error_count; i++) {
        const struct reader_error *damage = &recording->errors[i];
        emit_open(e, '{');
        put_string(e, "file", damage->file);
        put_count(e, "offset", damage->offset);
        put_string(e, "what", damage->what);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

bool render_json(const struct render_input *input, FILE *out, struct reader_error *error) {
    struct json j = {.emit = {.out = out}, .input = input};
    struct emit *e = &j.emit;
    emit_open(e, '{');
    put_string(e, "schema", "peakline-report/1");
    put_string(e, "version", PEAKLINE_VERSION);
    emit_key(e, "complete");
    emit_bool(e, input->model->complete);
    put_string(e, "recording", input->model->recording->path);
    write_damaged(e, input->model->recording);
    emit_key(e, "processes");
    emit_open(e, '[');
    for (size_t i = 0; i < input->model->process_count; i++) {
        struct model_process *process = &input->model->processes[i];
        if (select_process(&input->options.select, process) && !write_process(&j, process, error))
            return false;
    }
    emit_close(e, ']');
    emit_close(e, '}');
    fputc('\n', out);
    return true;
}
