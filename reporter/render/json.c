// SPDX-License-Identifier: MIT
//
// The report as JSON: schema peakline-report/1, see report-schema.json.
//
// Small objects are built with jansson and written one per line as they come, so that a report of a hundred
// thousand contexts needs no memory of its own and can be compared with line-based tools. Unknown is null,
// never 0.

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "reporter/render/render.h"
#include "reporter/text.h"

static void set(json_t *object, const char *key, json_t *value) {
    json_object_set_new_nocheck(object, key, value);
}

static json_t *unsigned_number(uint64_t value) {
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

// Bytes or counts that disorder between threads can leave below zero for an instant.
static json_t *number(int64_t value) {
    return json_integer(value > 0 ? value : 0);
}

static json_t *string(const char *bytes) {
    if (!bytes)
        return json_null();
    char *utf8 = text_utf8(bytes, strlen(bytes));
    json_t *value = json_string_nocheck(utf8);
    free(utf8);
    return value;
}

static json_t *or_null(bool known, json_t *value) {
    if (known)
        return value;
    json_decref(value);
    return json_null();
}

// Writes an object on one line, without the brace that ends it when more is to come.
static void write_object(FILE *out, json_t *object, bool open) {
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (!text)
        return;
    size_t length = strlen(text);
    fwrite(text, 1, length - open, out);
    free(text);
}

static json_t *measure_object(const struct model_process *process, const struct metrics_measure *m,
                              bool frees_known) {
    json_t *o = json_object();
    int64_t freed = m->freed_bytes > INT64_MAX ? INT64_MAX : (int64_t)m->freed_bytes;
    int64_t allocated = m->allocated_bytes > INT64_MAX ? INT64_MAX : (int64_t)m->allocated_bytes;
    set(o, "allocated_bytes", json_integer(allocated));
    set(o, "allocations", unsigned_number(m->allocations));
    set(o, "peak_bytes", number(m->peak));
    set(o, "peak_exact", json_boolean(m->peak_exact && !process->image->header.peak_error_bytes));
    set(o, "at_peak_bytes", number(m->at_peak));
    set(o, "live_at_exit_bytes", number(m->live));
    set(o, "freed_bytes", or_null(frees_known, json_integer(freed)));
    set(o, "frees", or_null(frees_known, unsigned_number(m->frees)));
    set(o, "net_bytes", or_null(frees_known, json_integer(allocated - freed)));
    set(o, "temporary_allocations", unsigned_number(m->temporary));
    return o;
}

static const char *language_name(uint32_t language) {
    return language == RECORD_PYTHON ? "python" : "native";
}

static void set_entry(json_t *o, const struct model_process *process, const struct model_function *function,
                      const struct metrics_entry *entry, bool frees_known) {
    set(o, "function", string(function->name));
    set(o, "language", json_string(language_name(function->language)));
    set(o, "self", measure_object(process, &entry->self, frees_known));
    set(o, "total", measure_object(process, &entry->total, frees_known));
    set(o, "mem_usage_bytes", or_null(entry->mem_usage > 0, number(entry->mem_usage)));
    if (function->language == RECORD_NATIVE)
        set(o, "module", string(function->module));
}

static void write_lines(const struct render_input *input, const struct model_process *process,
                        const struct metrics *metrics, FILE *out) {
    size_t count;
    uint32_t *lines = select_lines(process, metrics, &input->options.select, &count);
    fputs(",\n    \"lines\": [", out);
    for (size_t i = 0; i < count; i++) {
        const struct model_line *line = &process->lines[lines[i]];
        json_t *o = json_object();
        set(o, "file", string(line->file));
        set(o, "line", or_null(line->line, json_integer(line->line)));
        set_entry(o, process, &process->functions[line->function], &metrics->lines[lines[i]],
                  metrics->frees_known);
        fputs(i ? ",\n      " : "\n      ", out);
        write_object(out, o, false);
    }
    fputs("]", out);
    free(lines);
}

static void write_functions(const struct render_input *input, const struct model_process *process,
                            const struct metrics *metrics, FILE *out) {
    size_t count;
    uint32_t *functions = select_functions(process, metrics, &input->options.select, &count);
    fputs(",\n    \"functions\": [", out);
    for (size_t i = 0; i < count; i++) {
        const struct model_function *function = &process->functions[functions[i]];
        json_t *o = json_object();
        set(o, "file", string(function->file));
        set(o, "first_line", or_null(function->first_line, json_integer(function->first_line)));
        set_entry(o, process, function, &metrics->functions[functions[i]], metrics->frees_known);
        fputs(i ? ",\n      " : "\n      ", out);
        write_object(out, o, false);
    }
    fputs("]", out);
    free(functions);
}

static void write_context(const struct model_process *process, uint64_t id, uint64_t parent, uint32_t level,
                          const struct metrics_measure *self, bool frees_known, FILE *out) {
    const struct model_line *line = &process->lines[level];
    json_t *o = json_object();
    set(o, "id", unsigned_number(id));
    set(o, "parent", or_null(parent, unsigned_number(parent)));
    set(o, "file", string(line->file));
    set(o, "line", or_null(line->line, json_integer(line->line)));
    set(o, "function", string(process->functions[line->function].name));
    set(o, "self", measure_object(process, self, frees_known));
    write_object(out, o, false);
}

// A node's id is its number; the callers that were inlined at it get numbers behind those of all nodes.
static void write_contexts(const struct model_process *process, bool frees_known, FILE *out) {
    const struct reader_image *image = process->image;
    const struct metrics_measure nothing = {.peak_exact = true};
    uint64_t next_id = image->node_count;
    fputs(",\n    \"contexts\": [", out);
    for (uint32_t i = 2; i < image->node_count; i++) {
        const struct record_node *node = &image->nodes[i];
        uint64_t parent = node->parent == 1 ? 0 : node->parent;
        uint32_t last = process->first_level[node->frame + 1] - 1;
        fputs(i > 2 ? ",\n      " : "\n      ", out);
        for (uint32_t at = process->first_level[node->frame]; at < last; at++) {
            write_context(process, next_id, parent, process->levels[at], &nothing, frees_known, out);
            parent = next_id++;
            fputs(",\n      ", out);
        }
        struct metrics_measure self = metrics_of_node(process, i);
        write_context(process, i, parent, process->levels[last], &self, frees_known, out);
    }
    fputs("]", out);
}

static void write_timeline(const struct model_process *process, FILE *out) {
    fputs(",\n    \"timeline\": [", out);
    for (uint32_t i = 0; i < process->image->tick_count; i++) {
        const struct record_tick *tick = &process->image->ticks[i];
        json_t *o = json_array();
        json_array_append_new(o, json_real((double)tick->time_ns / 1e9));
        json_array_append_new(o, number(tick->heap_bytes));
        json_array_append_new(o, number(tick->mapped_bytes));
        json_array_append_new(o, or_null(tick->rss_bytes, unsigned_number(tick->rss_bytes)));
        fputs(i ? ",\n      " : "\n      ", out);
        write_object(out, o, false);
    }
    fputs("]", out);
}

static json_t *losses_object(const struct record_header *h) {
    json_t *o = json_object();
    set(o, "reentrant", unsigned_number(h->lost[RECORD_LOST_REENTRANT]));
    set(o, "table_full", unsigned_number(h->lost[RECORD_LOST_TABLE_FULL]));
    set(o, "no_memory", unsigned_number(h->lost[RECORD_LOST_NO_MEMORY]));
    set(o, "no_space", unsigned_number(h->lost[RECORD_LOST_NO_SPACE]));
    set(o, "deep_stacks", unsigned_number(h->lost[RECORD_LOST_DEEP]));
    set(o, "cut_stacks", unsigned_number(h->lost[RECORD_LOST_UNWIND]));
    set(o, "unknown_frees", unsigned_number(h->unknown_frees));
    return o;
}

static json_t *totals_object(const struct model_process *process) {
    const struct record_header *h = &process->image->header;
    json_t *o = json_object();
    set(o, "peak_bytes", number(h->heap_peak));
    set(o, "peak_time", or_null(h->peak_seq, json_real((double)h->peak_ns / 1e9)));
    set(o, "live_at_exit_bytes", number(h->heap_live));
    set(o, "allocated_bytes", unsigned_number(h->allocated_bytes));
    set(o, "allocations", unsigned_number(h->allocations));
    set(o, "frees", unsigned_number(h->frees));
    set(o, "mapped_peak_bytes", number(h->mapped_peak));
    set(o, "usable_at_peak_bytes", number(model_add(h->heap_peak, h->slack_at_peak)));
    set(o, "rss_peak_bytes", or_null(h->rss_peak_bytes, unsigned_number(h->rss_peak_bytes)));
    set(o, "peak_error_bytes", unsigned_number(h->peak_error_bytes));
    set(o, "lost_events", unsigned_number(process->lost_events));
    set(o, "contexts", json_integer(process->image->node_count > 2 ? process->image->node_count - 2 : 0));
    set(o, "hook_seconds", or_null(h->hook_samples, json_real((double)h->hook_ns / 1e9)));
    set(o, "table_bytes", unsigned_number(h->table_bytes));
    return o;
}

static json_t *notes_array(const struct model_process *process) {
    json_t *array = json_array();
    size_t count;
    char **notes = notes_collect(process, &count);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(array, string(notes[i]));
        free(notes[i]);
    }
    free(notes);
    return array;
}

static json_t *process_object(const struct model_process *process) {
    static const char *const objects[] = {"off", "exact", "sampled"};
    const struct record_header *h = &process->image->header;
    json_t *o = json_object(), *command = json_array();
    for (size_t i = 0; i < process->command_count; i++)
        json_array_append_new(command, string(process->command[i]));
    set(o, "pid", json_integer(h->pid));
    set(o, "parent_pid", json_integer(h->parent_pid));
    set(o, "image", json_integer(h->image));
    set(o, "command", command);
    set(o, "cwd", string(process->cwd));
    set(o, "executable", string(process->executable));
    set(o, "start_time", json_real(process->start_time));
    set(o, "duration", json_real(process->duration));
    set(o, "end", json_string(model_end_name(process->end)));
    set(o, "exit_code", or_null(process->end == MODEL_EXITED, json_integer(process->exit_code)));
    set(o, "signal", or_null(process->end == MODEL_SIGNALLED, json_integer(process->signal)));
    set(o, "python_version", string(process->python_version));
    set(o, "objects", json_string(h->objects < 3 ? objects[h->objects] : objects[0]));
    set(o, "totals", totals_object(process));
    set(o, "losses", losses_object(h));
    set(o, "notes", notes_array(process));
    set(o, "scopes", json_array());
    return o;
}

static bool write_process(const struct render_input *input, struct model_process *process, FILE *out,
                          struct reader_error *error) {
    if (!render_load(input, process, error))
        return false;
    struct metrics *metrics = metrics_compute(process);
    write_object(out, process_object(process), true);
    write_lines(input, process, metrics, out);
    write_functions(input, process, metrics, out);
    if (input->options.contexts)
        write_contexts(process, metrics->frees_known, out);
    write_timeline(process, out);
    fputs("}", out);
    metrics_free(metrics);
    model_unload(process);
    return true;
}

static json_t *damaged_array(const struct model *model) {
    json_t *array = json_array();
    for (size_t i = 0; i < model->recording->error_count; i++) {
        const struct reader_error *damage = &model->recording->errors[i];
        json_t *o = json_object();
        set(o, "file", string(damage->file));
        set(o, "offset", unsigned_number(damage->offset));
        set(o, "what", string(damage->what));
        json_array_append_new(array, o);
    }
    return array;
}

bool render_json(const struct render_input *input, FILE *out, struct reader_error *error) {
    json_t *o = json_object();
    set(o, "schema", json_string("peakline-report/1"));
    set(o, "version", json_string(PEAKLINE_VERSION));
    set(o, "complete", json_boolean(input->model->complete));
    set(o, "recording", string(input->model->recording->path));
    set(o, "damaged", damaged_array(input->model));
    write_object(out, o, true);
    fputs(",\n  \"processes\": [", out);
    bool first = true;
    for (size_t i = 0; i < input->model->process_count; i++) {
        struct model_process *process = &input->model->processes[i];
        if (input->options.select.pid && process->image->header.pid != input->options.select.pid)
            continue;
        fputs(first ? "\n    " : ",\n    ", out);
        first = false;
        if (!write_process(input, process, out, error))
            return false;
    }
    fputs("]}\n", out);
    return true;
}
