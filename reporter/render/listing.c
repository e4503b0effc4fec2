// SPDX-License-Identifier: MIT
//
// The source of one function with a row per line. See listing.h.

#include "reporter/render/listing.h"

#include <stdlib.h>
#include <string.h>

#include "reporter/errors.h"
#include "reporter/text.h"

#define NUMBER_COLUMNS 6 // of "Line #"
#define SIZE_COLUMNS 12  // of a size, with up to SIZE_DIGITS after the point
#define SIZE_DIGITS 1
#define ALLOCATIONS_COLUMNS 14
#define LONG_FUNCTION 60 // lines; of longer ones only what is near an event is shown
#define NEAR 1
#define LONGEST_CONTENTS 160 // columns of a source line where there is no terminal

// ---- grouping ----

static const struct listing *sorting; // qsort has no argument for it; one thread

static int compare_lines(const void *a, const void *b) {
    const struct model_line *x = &sorting->process->lines[*(const uint32_t *)a];
    const struct model_line *y = &sorting->process->lines[*(const uint32_t *)b];
    if (x->function != y->function)
        return x->function < y->function ? -1 : 1;
    if (x->file != y->file) { // the function's own file first
        const char *own = sorting->process->functions[x->function].file;
        if (x->file == own || y->file == own)
            return x->file == own ? -1 : 1;
        if (!x->file || !y->file)
            return x->file ? -1 : 1;
        return strcmp(x->file, y->file);
    }
    return (x->line > y->line) - (x->line < y->line);
}

void listing_sort_lines(struct listing *listing) {
    const struct model_process *p = listing->process;
    listing->lines = memory_alloc(p->line_count, sizeof *listing->lines);
    listing->first_line_of = memory_alloc((size_t)p->function_count + 1, sizeof *listing->first_line_of);
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->line_count; i++)
        if (listing->metrics->lines[i].contexts || listing->metrics->lines[i].folded)
            listing->lines[count++] = i;
    sorting = listing;
    if (count)
        qsort(listing->lines, count, sizeof *listing->lines, compare_lines);
    for (uint32_t i = 0, function = 0; function <= p->function_count; function++) {
        while (i < count && p->lines[listing->lines[i]].function < function)
            i++;
        listing->first_line_of[function] = i;
    }
}

void listing_free(struct listing *listing) {
    free(listing->lines);
    free(listing->first_line_of);
    free(listing->brief);
}

// ---- what to show ----

struct row {
    uint32_t line;  // in the source file; 0 = not known
    uint32_t entry; // the model's line, or NOTHING
    bool gap;       // lines were left out before this one
};

#define NOTHING UINT32_MAX

struct rows {
    const struct source *source;
    enum source_state state;
    struct row *list;
    size_t count, capacity;
};

static void add_row(struct rows *rows, uint32_t line, uint32_t entry, bool gap) {
    rows->list = memory_grow(rows->list, rows->count, &rows->capacity, sizeof *rows->list);
    rows->list[rows->count++] = (struct row){.line = line, .entry = entry, .gap = gap};
}

static bool is_module_code(const struct model_function *function) {
    return function->language == RECORD_PYTHON && strcmp(function->name, "<module>") == 0;
}

// A file's own code, when nobody asked for it: only the lines that matter. Imports and definitions are many,
// and each of them allocates a little.
static void add_main_rows(struct rows *rows, const struct listing *listing, uint32_t begin, uint32_t end) {
    int64_t least = listing->process->image->header.heap_peak / 1000, highest = -1;
    uint32_t best = NOTHING;
    for (uint32_t i = begin; i < end; i++) {
        const uint32_t entry = listing->lines[i];
        const struct metrics_measure *total = &listing->metrics->lines[entry].total;
        if (total->peak >= least || total->freed_bytes > total->allocated_bytes + (uint64_t)least)
            add_row(rows, listing->process->lines[entry].line, entry, false);
        if (total->peak > highest) {
            highest = total->peak;
            best = entry;
        }
    }
    if (!rows->count && best != NOTHING) // a title alone would look as if something had gone wrong
        add_row(rows, listing->process->lines[best].line, best, false);
}

// What happened on a line of a function that another one defines within: of several there, the one with the
// highest peak.
static uint32_t find_nested(const struct listing *listing, const struct model_function *outer,
                            uint32_t line) {
    const struct model_process *p = listing->process;
    uint32_t best = NOTHING;
    for (uint32_t f = 0; f < p->function_count; f++) {
        const struct model_function *inner = &p->functions[f];
        if (inner->starter || inner->file != outer->file || inner->first_line <= outer->first_line ||
            inner->first_line > line)
            continue;
        for (uint32_t i = listing->first_line_of[f]; i < listing->first_line_of[f + 1]; i++) {
            uint32_t entry = listing->lines[i];
            if (p->lines[entry].line == line && p->lines[entry].file == outer->file &&
                (best == NOTHING ||
                 listing->metrics->lines[entry].total.peak > listing->metrics->lines[best].total.peak))
                best = entry;
        }
    }
    return best;
}

// Each line of the function; of a long one, and of a whole file, those near an event.
static void add_source_rows(struct rows *rows, const struct listing *listing, uint32_t number, uint32_t begin,
                            uint32_t end) {
    const struct model_function *function = &listing->process->functions[number];
    const struct model_line *lines = listing->process->lines;
    uint32_t first = function->first_line, last = 0, end_of_source = 0;
    if (function->language == RECORD_NATIVE)
        last = source_braces_end(rows->source, first);
    else if (!is_module_code(function))
        last = end_of_source = source_python_end(rows->source, first);
    if (begin < end) { // the events are certain, the extent is not
        uint32_t low = lines[listing->lines[begin]].line, high = lines[listing->lines[end - 1]].line;
        first = !first || low < first || is_module_code(function) ? low : first;
        last = high > last ? high : last;
    }
    bool sparse = is_module_code(function) || (last > first && last - first >= LONG_FUNCTION) ||
                  (listing->brief && listing->brief[number]);
    uint32_t shown = 0;
    for (uint32_t line = first, at = begin; line && (line <= last || line == first); line++) {
        bool event = at < end && lines[listing->lines[at]].line == line;
        bool near = event || (at < end && lines[listing->lines[at]].line <= line + NEAR) ||
                    (at > begin && lines[listing->lines[at - 1]].line + NEAR >= line);
        if (!sparse || near || line == first) {
            uint32_t entry = event ? listing->lines[at] : NOTHING;
            // Those that know memory_profiler expect it, of functions that they chose.
            if (!event && function->chosen && line <= end_of_source)
                entry = find_nested(listing, function, line);
            add_row(rows, line, entry, shown && line > shown + 1);
            shown = line;
        }
        at += event;
    }
}

static struct rows collect_rows(const struct listing *listing, uint32_t number) {
    const struct model_process *p = listing->process;
    const struct model_function *function = &p->functions[number];
    struct rows rows = {.source = source_open(listing->sources, function->file, p->cwd)};
    rows.state = source_state(rows.source, p->image->header.start_realtime_ns);

    // The function's lines, in this order: in its own file without and with a number, then elsewhere.
    uint32_t begin = listing->first_line_of[number], end = listing->first_line_of[number + 1], from = begin,
             to;
    while (from < end && !p->lines[listing->lines[from]].line)
        from++;
    for (to = from; to < end && p->lines[listing->lines[to]].file == function->file && function->file;)
        to++;
    const struct select_options *select = &listing->options->select;
    if (is_module_code(function) && !select->function && !select->file && rows.state == SOURCE_GOOD)
        add_main_rows(&rows, listing, from, to);
    else if (rows.state == SOURCE_GOOD &&
             !function->starter) // whose lines say little beside those that start
        add_source_rows(&rows, listing, number, from, to);
    else
        for (uint32_t i = from; i < to; i++)
            add_row(&rows, p->lines[listing->lines[i]].line, listing->lines[i], false);
    for (uint32_t i = to; i < end; i++)
        add_row(&rows, p->lines[listing->lines[i]].line, listing->lines[i], false);
    for (uint32_t i = begin; i < from; i++)
        add_row(&rows, 0, listing->lines[i], false);
    return rows;
}

size_t listing_rows(const struct listing *listing, uint32_t function) {
    struct rows rows = collect_rows(listing, function);
    size_t count = rows.count + 3; // title, heading, and a blank line after
    for (size_t i = 0; i < rows.count; i++)
        count += rows.list[i].gap;
    free(rows.list);
    return count;
}

// ---- columns ----

static size_t size_columns(const struct listing *listing) {
    size_t digits = listing->options->mib ? listing->options->mib - 1 : 0;
    return SIZE_COLUMNS + (digits > SIZE_DIGITS ? digits - SIZE_DIGITS : 0);
}

// Of the standard errors.
static size_t error_columns(const struct listing *listing) {
    return listing->metrics->sampled ? size_columns(listing) : 0;
}

// Where "Line Contents" begins.
static size_t contents_column(const struct listing *listing) {
    return NUMBER_COLUMNS + 3 * size_columns(listing) + error_columns(listing) + ALLOCATIONS_COLUMNS + 2;
}

static void print_heading(const struct listing *listing, const char *first, FILE *out) {
    int size = (int)size_columns(listing);
    fprintf(out, "%*s%*s%*s%*s", NUMBER_COLUMNS, first, size, "Mem usage", size, "Increment", size, "Peak");
    if (listing->metrics->sampled)
        fprintf(out, "%*s%s", size - 1, "", "±");
    fprintf(out, "%*s", ALLOCATIONS_COLUMNS, "Allocations");
}

// ---- printing ----

// Whether to say that a peak is an upper bound; not when the doubt is smaller than what the digits show.
static bool is_bound(const struct metrics_measure *measure) {
    if (measure->peak_exact)
        return false;
    return !measure->unseen || measure->unseen > measure->peak / 500;
}

static void print_cell(const char *text, size_t columns, FILE *out) {
    size_t width = text_width(text);
    fprintf(out, "%*s%s", (int)(width < columns ? columns - width : 1), "", text);
}

static const char *print_size(const struct listing *listing, char out[TEXT_SIZE_MAX], int64_t bytes) {
    return render_size(listing->options, out, bytes);
}

static const char *bound_sign(struct listing *listing, const struct metrics_measure *measure) {
    bool bound = is_bound(measure);
    listing->bounds |= bound;
    return bound ? "≤" : "";
}

// Of increment and peak together. Empty: there is none.
static char *error_text(struct listing *listing, const struct metrics_measure *measure, bool net) {
    char size[TEXT_SIZE_MAX];
    double most = measure->variance.peak;
    if (net && measure->variance.net > most)
        most = measure->variance.net;
    uint64_t error = errors_standard(most);
    if (!error)
        return memory_copy("", 0);
    listing->errors = true;
    return memory_print("±%s", print_size(listing, size, model_signed(error)));
}

static void print_numbers(struct listing *listing, const struct metrics_entry *entry, FILE *out) {
    const struct metrics_measure *total = &entry->total;
    char usage[TEXT_SIZE_MAX] = "", increment[TEXT_SIZE_MAX] = "-", peak[TEXT_SIZE_MAX], count[TEXT_SIZE_MAX];
    if (entry->mem_usage > 0)
        print_size(listing, usage, entry->mem_usage);
    if (listing->metrics->frees_known)
        print_size(listing, increment, (int64_t)(total->allocated_bytes - total->freed_bytes));
    char *bound = memory_print("%s%s", bound_sign(listing, total), print_size(listing, peak, total->peak));
    size_t columns = size_columns(listing);
    print_cell(usage, columns, out);
    print_cell(increment, columns, out);
    print_cell(bound, columns, out);
    if (listing->metrics->sampled) {
        char *error = error_text(listing, total, listing->metrics->frees_known);
        print_cell(error, columns, out);
        free(error);
    }
    print_cell(text_count(count, total->allocations), ALLOCATIONS_COLUMNS, out);
    free(bound);
}

static char *row_contents(const struct listing *listing, const struct rows *rows,
                          const struct model_function *function, const struct row *row) {
    const struct model_process *p = listing->process;
    const struct model_line *line = row->entry == NOTHING ? NULL : &p->lines[row->entry];
    if (line && (!line->line || !function->file))
        return memory_copy("", 0);
    if (line && line->file != function->file) {
        char *path = text_escape_string(line->file ? listing_short_path(p, line->file) : "?");
        char *contents = memory_print("(in %s)", path);
        free(path);
        return contents;
    }
    const bool beyond = rows->state == SOURCE_GOOD && row->line > source_line_count(rows->source);
    if (rows->state == SOURCE_MISSING || beyond)
        return memory_print("(source not found)");
    if (rows->state == SOURCE_PACKED)
        return memory_print("(source in an archive)");
    if (rows->state == SOURCE_NEWER)
        return memory_print("(source has changed)");
    size_t length;
    const char *text = source_line(rows->source, row->line, &length);
    char *plain = text_expand_tabs(text, length);
    size_t width = listing->options->width, column = contents_column(listing);
    size_t room = !width ? LONGEST_CONTENTS : width > column + 20 ? width - column : 20;
    char *escaped = text_escape(plain, strlen(plain), room);
    free(plain);
    return escaped;
}

static void print_row(struct listing *listing, const struct rows *rows, const struct model_function *function,
                      const struct row *row, FILE *out) {
    bool dim = listing->options->color && row->entry == NOTHING;
    if (row->gap)
        fprintf(out, "%6s\n", "...");
    if (dim)
        fputs("\033[2m", out);
    if (row->line)
        fprintf(out, "%6u", row->line);
    else
        fprintf(out, "%6s", "?");
    char *contents = row_contents(listing, rows, function, row);
    if (row->entry != NOTHING)
        print_numbers(listing, &listing->metrics->lines[row->entry], out);
    else if (*contents)
        fprintf(out, "%*s", (int)contents_column(listing) - 2 - NUMBER_COLUMNS, "");
    if (*contents)
        fprintf(out, "  %s", contents);
    free(contents);
    fputs(dim ? "\033[0m\n" : "\n", out);
}

const char *listing_short_path(const struct model_process *process, const char *file) {
    size_t length = process->cwd ? strlen(process->cwd) : 0;
    if (length > 1 && strncmp(file, process->cwd, length) == 0 && file[length] == '/' && file[length + 1])
        return file + length + 1;
    return file;
}

static void print_key(const struct listing *listing, const struct metrics_entry *entry, FILE *out) {
    struct select_key key;
    char value[TEXT_SIZE_MAX];
    if (!select_key(listing->metrics, entry, listing->options->select.sort, &key))
        return;
    if (key.counts)
        text_count(value, (uint64_t)key.value);
    else
        print_size(listing, value, key.value);
    fprintf(out, ", %s %s", value, key.name);
}

static void print_title(struct listing *listing, uint32_t number, const struct rows *rows, FILE *out) {
    const struct model_process *p = listing->process;
    const struct model_function *function = &p->functions[number];
    const struct metrics_entry *entry = &listing->metrics->functions[number];
    const char *place = function->file     ? listing_short_path(p, function->file)
                        : function->module ? text_basename(function->module)
                                           : "?";
    char *file = text_escape_string(place), *name = text_escape_string(function->name);
    char size[TEXT_SIZE_MAX], count[TEXT_SIZE_MAX];
    print_size(listing, size, entry->total.peak);
    text_count(count, entry->contexts);
    size_t width = text_width(file) + 2 + text_width(name), column = contents_column(listing);
    char *error = error_text(listing, &entry->total, false);
    bool color = listing->options->color;
    fprintf(out, "%s%s: %s%s%*s  ", color ? "\033[1m" : "", file, name, color ? "\033[0m" : "",
            width < column ? (int)(column - width) : 0, "");
    if (entry->contexts || entry->folded)
        fprintf(out, "peak %s%s%s%s in %s%s context%s", bound_sign(listing, &entry->total), size,
                *error ? " " : "", error, entry->contexts ? count : "folded",
                entry->contexts && entry->folded ? "+" : "",
                entry->contexts == 1 && !entry->folded ? "" : "s");
    else
        fputs("nothing was recorded here", out);
    print_key(listing, entry, out);
    listing->threads |= function->starter != NULL;
    listing->folded |= entry->contexts && entry->folded;
    listing->all_folded |= !entry->contexts && entry->folded;
    if (rows->state == SOURCE_MISSING && function->file)
        fputs("; its source was not found", out);
    if (rows->state == SOURCE_PACKED)
        fputs("; its source is in an archive, which is not read: unpack it and run it from there", out);
    if (rows->state == SOURCE_NEWER)
        fputs("; its source is newer than the recording", out);
    fputc('\n', out);
    free(error);
    free(file);
    free(name);
}

void listing_print(struct listing *listing, uint32_t function, FILE *out) {
    struct rows rows = collect_rows(listing, function);
    print_title(listing, function, &rows, out);
    if (rows.count) {
        print_heading(listing, "Line #", out);
        fputs("  Line Contents\n", out);
    } else if (listing->metrics->functions[function].contexts || listing->metrics->functions[function].folded)
        fputs("        (none of its lines is known)\n", out);
    for (size_t i = 0; i < rows.count; i++)
        print_row(listing, &rows, &listing->process->functions[function], &rows.list[i], out);
    free(rows.list);
    fputc('\n', out);
}

void listing_print_scopes(struct listing *listing, const uint32_t *scopes, size_t count, FILE *out) {
    if (!count)
        return;
    int size = (int)size_columns(listing);
    print_heading(listing, "", out);
    fprintf(out, "%*s  Scope\n", size, "Allocated");
    for (size_t i = 0; i < count; i++) {
        const char *given = listing->process->functions[scopes[i]].name;
        char *name = text_escape_string(*given ? given : "(no name)"), bytes[TEXT_SIZE_MAX];
        const struct metrics_entry *entry = &listing->metrics->functions[scopes[i]];
        uint64_t allocated = entry->total.allocated_bytes;
        fprintf(out, "%*s", NUMBER_COLUMNS, "");
        print_numbers(listing, entry, out);
        print_size(listing, bytes, model_signed(allocated));
        fprintf(out, "%*s  %s\n", size, bytes, name);
        free(name);
    }
    fputc('\n', out);
}

// Its name, its module's where that is not in it, and whom it worked for.
static char *native_contents(const struct listing *listing, const struct natives_row *row) {
    const struct model_process *p = listing->process;
    const struct model_function *function = &p->functions[row->function];
    const char *module = function->module ? text_basename(function->module) : NULL;
    char *name = module && strncmp(function->name, module, strlen(module)) != 0
                     ? memory_print("%s (%s)", function->name, module)
                     : memory_copy(function->name, strlen(function->name));
    char *text = text_escape_string(name);
    free(name);
    if (row->line == UINT32_MAX)
        return text;
    const struct model_line *line = &p->lines[row->line];
    char *file = text_escape_string(line->file ? listing_short_path(p, line->file) : "?");
    char *contents = memory_print("%s, most for %s:%u", text, file, line->line);
    free(file);
    free(text);
    return contents;
}

void listing_print_natives(struct listing *listing, const struct natives_row *rows, size_t count, FILE *out) {
    if (!count)
        return;
    int size = (int)size_columns(listing);
    print_heading(listing, "", out);
    fprintf(out, "%*s  Native function\n", size, "Self peak");
    for (size_t i = 0; i < count; i++) {
        const struct metrics_entry *entry = &listing->metrics->functions[rows[i].function];
        char *contents = native_contents(listing, &rows[i]), bytes[TEXT_SIZE_MAX];
        char *self = memory_print("%s%s", bound_sign(listing, &entry->self),
                                  print_size(listing, bytes, entry->self.peak));
        fprintf(out, "%*s", NUMBER_COLUMNS, "");
        print_numbers(listing, entry, out);
        print_cell(self, (size_t)size, out);
        fprintf(out, "  %s\n", contents);
        free(contents);
        free(self);
    }
    fputc('\n', out);
}

void listing_explain_threads(const struct listing *listing, FILE *out) {
    if (listing->threads)
        fputs("NAME.<threads>: what the threads did that NAME started, whoever gave them work; it is not in "
              "NAME's own numbers.\n",
              out);
}

void listing_explain(const struct listing *listing, FILE *out) {
    if (listing->bounds)
        fputs("≤ N: the peak is N at most: the bytes came from several call sites or an inlined function, or "
              "the line had been forgotten, or too many folded contexts had live blocks.\n",
              out);
    if (listing->folded)
        fputs("N+ contexts: N, and some that were folded; their bytes are in the numbers.\n", out);
    if (listing->all_folded)
        fputs("Folded contexts: so small that they were not kept apart; their bytes are in the numbers.\n",
              out);
    listing_explain_threads(listing, out);
    if (listing->errors)
        fputs(
            "± N: N is the standard error of increment and peak, the larger of both: two times in three they "
            "are off by less, 19 times in 20 by less than twice as much.\n",
            out);
    if (listing->bounds || listing->folded || listing->all_folded || listing->threads || listing->errors)
        fputc('\n', out);
}
