// SPDX-License-Identifier: MIT
//
// See natives.h.

#include "reporter/natives.h"

#include <stdlib.h>
#include <string.h>

#define SMALLEST 100 // part of the process's peak

struct natives {
    const struct model_process *process;
    const struct metrics *metrics;
    uint32_t *inner; // per node: the innermost native frame that Python has called; 0 = none
    bool *direct;    // per node: it is that frame's, no Python code is inside
    uint32_t *owner; // per node: the innermost of the user's Python lines, plus 1; 0 = none
};

static uint32_t language_of(const struct natives *n, uint32_t frame) {
    const struct reader_image *image = n->process->image;
    return frame ? image->functions[image->frames[frame].function].language : 0;
}

static uint32_t last_level(const struct natives *n, uint32_t frame) {
    return n->process->levels[n->process->first_level[frame + 1] - 1];
}

static uint32_t function_of(const struct natives *n, uint32_t node) {
    return n->process->lines[last_level(n, n->inner[node])].function;
}

static void look_at_nodes(struct natives *n, const bool *user) {
    const struct model_process *p = n->process;
    n->inner = memory_alloc(p->image->node_count, sizeof *n->inner);
    n->owner = memory_alloc(p->image->node_count, sizeof *n->owner);
    n->direct = memory_alloc(p->image->node_count, sizeof *n->direct);
    bool *python = memory_alloc(p->image->node_count, sizeof *python);
    for (uint32_t i = 0; i < p->order_count; i++) {
        uint32_t number = p->order[i], parent = p->image->nodes[number].parent;
        uint32_t frame = p->image->nodes[number].frame, language = language_of(n, frame);
        python[number] = python[parent] || language == RECORD_PYTHON;
        n->inner[number] = n->inner[parent];
        n->owner[number] = n->owner[parent];
        n->direct[number] = language == RECORD_NATIVE && python[number];
        if (n->direct[number])
            n->inner[number] = frame;
        if (language == RECORD_PYTHON && user[p->lines[last_level(n, frame)].function])
            n->owner[number] = last_level(n, frame) + 1;
    }
    free(python);
}

static const struct natives *sorting; // qsort has no argument for it; one thread

static int compare_rows(const void *a, const void *b) {
    uint32_t x = ((const struct natives_row *)a)->function, y = ((const struct natives_row *)b)->function;
    int64_t left = sorting->metrics->functions[x].self.peak, right = sorting->metrics->functions[y].self.peak;
    if (left != right)
        return left > right ? -1 : 1;
    return strcmp(sorting->process->functions[x].name, sorting->process->functions[y].name);
}

// A function that does no more than call Python back is the innermost native one of all that this does; it
// is not what took the memory.
static struct natives_row *find_rows(const struct natives *n, size_t *count) {
    const struct model_process *p = n->process;
    struct natives_row *rows = memory_alloc(p->function_count, sizeof *rows);
    uint64_t *direct = memory_alloc(p->function_count, sizeof *direct);
    uint64_t *by_python = memory_alloc(p->function_count, sizeof *by_python);
    int64_t least = p->image->header.heap_peak / SMALLEST;
    for (uint32_t i = 0; i < p->order_count; i++) {
        uint32_t number = p->order[i];
        if (!n->inner[number])
            continue;
        uint64_t *sum = &(n->direct[number] ? direct : by_python)[function_of(n, number)];
        *sum = model_add_unsigned(*sum, p->image->nodes[number].allocated_bytes);
    }
    *count = 0;
    for (uint32_t i = 0; i < p->function_count; i++)
        if (direct[i] && direct[i] >= by_python[i] && n->metrics->functions[i].self.peak >= least)
            rows[(*count)++] = (struct natives_row){.function = i, .line = UINT32_MAX};
    free(direct);
    free(by_python);
    sorting = n;
    if (*count)
        qsort(rows, *count, sizeof *rows, compare_rows);
    return rows;
}

// The user's line that most of the function's own bytes were allocated for.
static uint32_t find_line(const struct natives *n, uint32_t function, uint64_t *bytes) {
    const struct model_process *p = n->process;
    memset(bytes, 0, p->line_count * sizeof *bytes);
    uint32_t most = UINT32_MAX;
    for (uint32_t i = 0; i < p->order_count; i++) {
        uint32_t number = p->order[i];
        if (!n->direct[number] || !n->owner[number] || function_of(n, number) != function)
            continue;
        uint32_t line = n->owner[number] - 1;
        bytes[line] = model_add_unsigned(bytes[line], p->image->nodes[number].allocated_bytes);
        if (bytes[line] && (most == UINT32_MAX || bytes[line] > bytes[most]))
            most = line;
    }
    return most;
}

struct natives_row *natives_find(const struct model_process *process, const struct metrics *metrics,
                                 const bool *user, size_t most, size_t *count) {
    struct natives n = {.process = process, .metrics = metrics};
    look_at_nodes(&n, user);
    struct natives_row *rows = find_rows(&n, count);
    if (*count > most)
        *count = most;
    uint64_t *bytes = memory_alloc(process->line_count, sizeof *bytes);
    for (size_t i = 0; i < *count; i++)
        rows[i].line = find_line(&n, rows[i].function, bytes);
    free(bytes);
    free(n.inner);
    free(n.direct);
    free(n.owner);
    return rows;
}
