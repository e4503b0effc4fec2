// SPDX-License-Identifier: MIT
//
// The report for people: which processes there are, what the chosen one used, and its functions line by line.

#include <stdlib.h>
#include <string.h>

#include "reporter/errors.h"
#include "reporter/render/listing.h"
#include "reporter/render/render.h"
#include "reporter/text.h"
#include "reporter/users.h"

#define PAGE_ROWS 60
#define PAGE_FUNCTIONS 12
#define LISTED_PROCESSES 20
#define SMALL_PROCESS (100 * 1024) // bytes
#define SMALL_PROCESSES 4          // so many are worth a line that sums them up
#define LISTED_SCOPES 20
#define LISTED_NATIVES 10
#define UNUSABLE_NAMED 3 // files
#define SEARCHED_PROCESSES 256
#define NAMED_PROCESSES 8

struct table {
    const struct render_input *input;
    FILE *out;
    const char *bold, *plain; // escape sequences, or empty
};

// ---- processes ----

static char *process_number(const struct model_process *process) {
    const struct record_header *h = &process->image->header;
    return h->image ? memory_print("%u.%u", h->pid, h->image) : memory_print("%u", h->pid);
}

// A helper (of a shell script, pyenv, a build) that is not worth a line. One that was killed is.
static bool is_small(const struct model *model, const struct model_process *process) {
    int64_t peak = process->image->header.heap_peak;
    return peak < SMALL_PROCESS && peak < model->processes[0].image->header.heap_peak / 10 &&
           (process->end == MODEL_EXITED || process->end == MODEL_REPLACED);
}

static void print_process_row(const struct table *t, const struct model_process *process) {
    char size[TEXT_SIZE_MAX];
    unsigned width = t->input->options.width;
    char *number = process_number(process), *end = render_end(process);
    char *command = render_command(process, width > 70 ? width - 47 : 72);
    fprintf(t->out, "%12s  %10s  %-18s  %s\n", number, text_size(size, process->image->header.heap_peak), end,
            command);
    free(number);
    free(end);
    free(command);
}

static void print_processes(const struct table *t) {
    const struct model *model = t->input->model;
    char *path = text_escape_string(model->recording->path), size[TEXT_SIZE_MAX];
    fprintf(t->out, "%s%s%s: %zu processes, highest peak first (--pid PID shows another)\n", t->bold, path,
            t->plain, model->process_count);
    free(path);
    fprintf(t->out, "%12s  %10s  %-18s  %s\n", "PID", "Peak", "End", "Command");
    size_t small = 0, listed = 0, more = 0;
    for (size_t i = 0; i < model->process_count; i++)
        small += is_small(model, &model->processes[i]);
    bool sum_up = small >= SMALL_PROCESSES;
    for (size_t i = 0; i < model->process_count; i++) {
        if (sum_up && is_small(model, &model->processes[i]))
            continue;
        if (listed == LISTED_PROCESSES) {
            more++;
            continue;
        }
        print_process_row(t, &model->processes[i]);
        listed++;
    }
    if (more)
        fprintf(t->out, "%12s  and %zu more: --format json has them all\n", "...", more);
    if (sum_up)
        fprintf(t->out, "%12s  and %zu below %s: --format json has them all\n", "...", small,
                text_size(size, SMALL_PROCESS));
    fputc('\n', t->out);
}

static void print_total(const struct table *t, const char *label, const char *value, const char *meaning) {
    fprintf(t->out, "  %-12s %12s  %s\n", label, value, meaning);
}

// What recording took: losses and bounds of error are among the notes.
static void print_own_cost(const struct table *t, const struct model_process *process) {
    const struct record_header *h = &process->image->header;
    char value[TEXT_SIZE_MAX], tables[TEXT_SIZE_MAX], share[64] = " of all threads together";
    double seconds;
    if (!model_hook_seconds(process, &seconds))
        return;
    if (!(h->flags & RECORD_FLAG_THREADS))
        snprintf(share, sizeof share, ", %.1f %% of the run", 100 * seconds / process->duration);
    char *meaning = memory_print("of recording%s, estimated; its tables took %s", share,
                                 text_size(tables, model_signed(h->table_bytes)));
    print_total(t, "Own cost", text_seconds(value, seconds), meaning);
    free(meaning);
}

static void print_totals(const struct table *t, const struct model_process *process) {
    const struct record_header *h = &process->image->header;
    char value[TEXT_SIZE_MAX], at[TEXT_SIZE_MAX], of[TEXT_SIZE_MAX], contexts[TEXT_SIZE_MAX],
        frees[TEXT_SIZE_MAX];
    uint64_t error = errors_standard(errors_of_process(process).peak);
    char *estimate =
        error ? memory_print(" (± %s)", text_size(value, model_signed(error))) : memory_copy("", 0);
    char *meaning = memory_print("at %s of %s%s", text_seconds(at, (double)h->peak_ns / 1e9),
                                 text_seconds(of, process->duration), estimate);
    free(estimate);
    print_total(t, "Peak", text_size(value, h->heap_peak), h->peak_seq ? meaning : "nothing was allocated");
    free(meaning);
    if (h->heap_peak > 0)
        print_total(t, "Usable", text_size(value, model_add(h->heap_peak, h->slack_at_peak)),
                    "at the peak, with what the allocator rounded up");
    print_total(t, process->end == MODEL_RUNNING ? "Now" : "At the end", text_size(value, h->heap_live),
                "still allocated");
    if (h->mapped_peak > 0)
        print_total(t, "Mapped", text_size(value, h->mapped_peak), "at most, by mmap, beside the above");
    if (h->rss_peak_bytes)
        print_total(t, "RSS", text_size(value, model_signed(h->rss_peak_bytes)),
                    "at most, as the kernel counts");
    meaning = memory_print("in %s contexts; %s frees", text_count(contexts, process->context_count),
                           text_count(frees, h->frees));
    print_total(t, "Allocations", text_count(value, h->allocations), meaning);
    free(meaning);
    print_own_cost(t, process);
}

static void print_notes(const struct table *t, const struct model_process *process) {
    size_t count;
    char **notes = notes_collect(process, &count);
    for (size_t i = 0; i < count; i++) {
        char *escaped = text_escape_string(notes[i]);
        fprintf(t->out, "  Note: %s\n", escaped);
        free(escaped);
        free(notes[i]);
    }
    free(notes);
    const char *const *unusable = t->input->symbolize ? symbolize_notes(t->input->symbolize, &count) : NULL;
    for (size_t i = 0; unusable && i < count; i++) {
        char *escaped = text_escape_string(unusable[i]);
        fprintf(t->out, "  Note: %s.\n", escaped);
        free(escaped);
    }
}

static void print_head(const struct table *t, const struct model_process *process) {
    unsigned width = t->input->options.width;
    char *command = render_command(process, width > 60 ? width - 40 : 0);
    char *number = process_number(process), *end = render_end(process);
    fprintf(t->out, "%s%s%s  (pid %s, %s", t->bold, command, t->plain, number, end);
    if (process->python_version) {
        char *version = text_escape_string(process->python_version);
        fprintf(t->out, ", Python %s", version);
        free(version);
    }
    fputs(")\n", t->out);
    free(command);
    free(number);
    free(end);
}

// ---- functions ----

// The user's own functions when there are any; otherwise those whose file is known; otherwise all. Returns
// how many.
static size_t keep_users(const struct model_process *process, const bool *user, uint32_t *functions,
                         size_t count) {
    size_t users = 0, known = 0;
    for (size_t i = 0; i < count; i++) {
        users += user[functions[i]];
        known += process->functions[functions[i]].file != NULL;
    }
    if (!users && !known)
        return count;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (users ? user[functions[i]] : process->functions[functions[i]].file != NULL)
            functions[kept++] = functions[i];
    return kept;
}

// Comprehensions and lambdas are part of a line that is shown anyway.
static bool is_part_of_line(const struct model_function *function) {
    static const char *const parts[] = {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<lambda>"};
    const char *dot = strrchr(function->name, '.');
    const char *last = dot ? dot + 1 : function->name;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcmp(last, parts[i]) == 0)
            return true;
    return false;
}

// By default a page of the functions that matter; with filters or --top what was asked for. A function that
// is too long for what is left of the page is shown in brief, should that fit.
static size_t fit_page(struct listing *listing, uint32_t *functions, size_t count) {
    const struct model_process *p = listing->process;
    int64_t least = p->image->header.heap_peak / 100;
    size_t kept = 0, rows = 0;
    listing->brief = memory_alloc(p->function_count, sizeof *listing->brief);
    for (size_t i = 0; i < count && kept < PAGE_FUNCTIONS; i++) {
        uint32_t function = functions[i];
        if (is_part_of_line(&p->functions[function]))
            continue;
        if (kept && listing->metrics->functions[function].total.peak < least)
            continue;
        size_t more = listing_rows(listing, function);
        if (rows + more > PAGE_ROWS) {
            listing->brief[function] = true;
            more = listing_rows(listing, function);
        }
        if (kept && rows + more > PAGE_ROWS)
            continue;
        rows += more;
        functions[kept++] = function;
    }
    return kept;
}

static void print_scopes(const struct table *t, struct listing *listing) {
    size_t count;
    uint32_t *scopes =
        select_scopes(listing->process, listing->metrics, t->input->options.select.sort, &count);
    listing_print_scopes(listing, scopes, count < LISTED_SCOPES ? count : LISTED_SCOPES, t->out);
    if (count > LISTED_SCOPES)
        fprintf(t->out, "%zu more scopes: --format json has them all\n\n", count - LISTED_SCOPES);
    free(scopes);
}

// Those that the program chose, in its order; `*functions`, of which there are `*count`, as they were when it
// chose none. Returns how many to show; `*count` is then these and the others.
static size_t keep_chosen(const struct listing *listing, uint32_t **functions, size_t *count) {
    size_t shown, others = 0;
    uint32_t *chosen = select_chosen(listing->process, &listing->options->select, &shown);
    for (size_t i = 0; i < *count; i++)
        others += !listing->process->functions[(*functions)[i]].chosen;
    if (!shown) {
        free(chosen);
        return 0;
    }
    free(*functions);
    *functions = chosen;
    *count = shown + others;
    return shown;
}

// In mixed stacks: which native functions took the memory.
static void print_natives(const struct table *t, struct listing *listing, const bool *user) {
    const struct model_process *process = listing->process;
    if (!(process->image->header.flags & RECORD_FLAG_NATIVE_IN_PYTHON))
        return;
    size_t count;
    struct natives_row *rows = natives_find(process, listing->metrics, user, LISTED_NATIVES, &count);
    listing_print_natives(listing, rows, count, t->out);
    free(rows);
}

static void print_functions(const struct table *t, const struct model_process *process,
                            const struct metrics *metrics, struct source_cache *sources) {
    const struct select_options *wanted = &t->input->options.select;
    struct select_options all = *wanted;
    bool asked = wanted->function || wanted->file;
    all.top = 0;
    size_t count;
    uint32_t *functions = select_functions(process, metrics, &all, &count);
    bool widened, *user = asked ? NULL : users_find(process, sources, &widened);
    size_t hidden = count;
    if (user)
        count = keep_users(process, user, functions, count);
    hidden -= count;
    struct listing listing = {
        .process = process, .metrics = metrics, .sources = sources, .options = &t->input->options};
    listing_sort_lines(&listing);
    if (!asked) {
        print_scopes(t, &listing);
        marks_print(process, listing.options, t->out);
    }
    size_t shown = asked || wanted->top ? 0 : keep_chosen(&listing, &functions, &count);
    if (wanted->top)
        shown = count < wanted->top ? count : wanted->top;
    else if (!shown)
        shown = asked ? count : fit_page(&listing, functions, count);
    for (size_t i = 0; i < shown; i++)
        listing_print(&listing, functions[i], t->out);
    if (user)
        print_natives(t, &listing, user);
    if (!count)
        fputs(asked ? "No function that allocated or freed memory matches.\n\n" : "Nothing was recorded.\n\n",
              t->out);
    else
        listing_explain(&listing, t->out);
    if (count > shown)
        fprintf(t->out, "%zu more function%s: --top %zu, --function GLOB or --file GLOB shows them.\n\n",
                count - shown, count - shown == 1 ? "" : "s", count);
    if (hidden && !process->python_version && !wanted->top)
        fprintf(t->out, "%zu function%s of libraries%s not shown: --function '*' shows all.\n\n", hidden,
                hidden == 1 ? "" : "s", hidden == 1 ? " is" : " are");
    listing_free(&listing);
    free(functions);
    free(user);
}

// Nothing but the tables of functions that the program chose.
static void print_chosen(const struct table *t, const struct model_process *process,
                         const struct metrics *metrics, struct source_cache *sources) {
    size_t count;
    uint32_t *functions = select_chosen(process, &t->input->options.select, &count);
    struct listing listing = {
        .process = process, .metrics = metrics, .sources = sources, .options = &t->input->options};
    listing_sort_lines(&listing);
    for (size_t i = 0; i < count; i++)
        listing_print(&listing, functions[i], t->out);
    listing_explain_threads(&listing, t->out);
    if (listing.threads)
        fputc('\n', t->out);
    listing_free(&listing);
    free(functions);
}

enum look { LOOK_PRINT, LOOK_PRINT_MATCHING, LOOK_ONLY };

// *matches: whether it has functions that were asked for; not found out for LOOK_PRINT.
static bool look_at_process(const struct table *t, struct model_process *process, enum look look,
                            bool *matches, struct reader_error *error) {
    if (!render_load(t->input, process, error))
        return false;
    struct metrics *metrics = metrics_compute(process);
    if (look != LOOK_PRINT) {
        size_t count;
        free(select_functions(process, metrics, &t->input->options.select, &count));
        *matches = count > 0;
    }
    struct source_cache *sources = render_sources(process);
    if (look == LOOK_ONLY || (look == LOOK_PRINT_MATCHING && !*matches)) {
        // It is not what the reader wants to see.
    } else if (t->input->options.select.chosen) {
        print_chosen(t, process, metrics, sources);
    } else {
        print_head(t, process);
        print_totals(t, process);
        print_notes(t, process);
        fputc('\n', t->out);
        print_functions(t, process, metrics, sources);
    }
    source_cache_free(sources);
    metrics_free(metrics);
    model_unload(process);
    return true;
}

static void print_unusable(const struct reader_recording *recording, FILE *out) {
    const size_t count = recording->error_count;
    for (size_t i = 0; i < count && i < UNUSABLE_NAMED; i++) {
        char *file = text_escape_string(recording->errors[i].file);
        fprintf(out, "Incomplete: %s could not be used: %s.\n", file, recording->errors[i].what);
        free(file);
    }
    if (count > UNUSABLE_NAMED)
        fprintf(out, "Incomplete: %zu more files could not be used; the JSON says why.\n",
                count - UNUSABLE_NAMED);
    fputc('\n', out);
}

// Where functions were asked for, not a process: shows the first process that has such, and names the others.
static bool print_matching(const struct table *t, struct reader_error *error) {
    struct model *model = t->input->model;
    const size_t most = model->process_count < SEARCHED_PROCESSES ? model->process_count : SEARCHED_PROCESSES;
    size_t others = 0;
    bool shown = false, matches;
    char *pids = memory_copy("", 0);
    for (size_t i = 0; i < most; i++) {
        struct model_process *process = &model->processes[i];
        if (!look_at_process(t, process, shown ? LOOK_ONLY : LOOK_PRINT_MATCHING, &matches, error)) {
            free(pids);
            return false;
        }
        if (matches && shown && others++ < NAMED_PROCESSES) {
            char *number = process_number(process), *longer = memory_print("%s, %s", pids, number);
            free(number);
            free(pids);
            pids = longer;
        }
        shown = shown || matches;
    }
    if (!shown && !look_at_process(t, &model->processes[0], LOOK_PRINT, NULL, error)) {
        free(pids);
        return false;
    }
    if (others)
        fprintf(t->out, "%zu more process%s functions that match: --pid %s%s.\n\n", others,
                others == 1 ? " has" : "es have", pids + 2, others > NAMED_PROCESSES ? ", …" : "");
    else if (!shown)
        fprintf(t->out, "Nor does any in another process.\n\n");
    if (most < model->process_count)
        fprintf(t->out, "Only the %zu processes with the highest peaks were looked at.\n\n", most);
    free(pids);
    return true;
}

bool render_table(const struct render_input *input, FILE *out, struct reader_error *error) {
    struct table t = {.input = input,
                      .out = out,
                      .bold = input->options.color ? "\033[1m" : "",
                      .plain = input->options.color ? "\033[0m" : ""};
    struct model *model = input->model;
    uint32_t pid = input->options.select.pid;
    if (model->process_count > 1 && !input->options.select.chosen)
        print_processes(&t);
    if (model->recording->error_count)
        print_unusable(model->recording, out);
    if (!pid && model->process_count > 1 && (input->options.select.function || input->options.select.file))
        return print_matching(&t, error);
    for (size_t i = 0; i < model->process_count; i++) {
        if (!select_process(&input->options.select, &model->processes[i]))
            continue;
        if (!look_at_process(&t, &model->processes[i], LOOK_PRINT, NULL, error))
            return false;
        if (!pid)
            break;
    }
    return true;
}
