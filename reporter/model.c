// SPDX-License-Identifier: MIT
//
// The model of a recording. See model.h.

#include "reporter/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reporter/ending.h"
#include "reporter/text.h"

static const char *intern(struct model *model, const struct reader_image *image, uint32_t offset) {
    size_t length;
    const char *bytes = reader_string(image, offset, &length);
    return length ? pool_intern(model->pool, bytes, length) : NULL;
}

static void split_command(struct model *model, struct model_process *process) {
    size_t length, capacity = 0;
    const char *bytes = reader_string(process->image, process->image->header.command, &length);
    while (length) {
        const char *end = memchr(bytes, '\0', length);
        size_t size = end ? (size_t)(end - bytes) : length;
        process->command =
            memory_grow(process->command, process->command_count, &capacity, sizeof *process->command);
        process->command[process->command_count++] = pool_intern(model->pool, bytes, size);
        size += end != NULL;
        bytes += size;
        length -= size;
    }
}

static void describe(struct model *model, struct model_process *process, struct reader_image *image) {
    const struct record_header *h = &image->header;
    process->image = image;
    process->start_time = (double)h->start_realtime_ns / 1e9;
    process->cwd = intern(model, image, h->cwd);
    process->executable = intern(model, image, h->executable);
    process->python_version = intern(model, image, h->python_version);
    process->python_note = intern(model, image, h->python_note);
    process->shim_version = intern(model, image, h->shim_version);
    split_command(model, process);
    static const enum record_loss losses[] = {RECORD_LOST_REENTRANT, RECORD_LOST_TABLE_FULL,
                                              RECORD_LOST_NO_MEMORY, RECORD_LOST_NO_SPACE,
                                              RECORD_LOST_ABANDONED};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        process->lost_events = model_add_unsigned(process->lost_events, h->lost[losses[i]]);
}

static int compare_peaks(const void *a, const void *b) {
    const struct record_header *x = &((const struct model_process *)a)->image->header;
    const struct record_header *y = &((const struct model_process *)b)->image->header;
    if (x->heap_peak != y->heap_peak)
        return x->heap_peak > y->heap_peak ? -1 : 1;
    if (x->pid != y->pid)
        return x->pid < y->pid ? -1 : 1;
    return (x->image > y->image) - (x->image < y->image);
}

struct model *model_open(const char *path, struct reader_error *error) {
    struct reader_recording *recording = reader_open(path, error);
    if (!recording)
        return NULL;
    struct model *model = memory_alloc(1, sizeof *model);
    model->recording = recording;
    model->pool = pool_new();
    model->process_count = recording->image_count;
    model->processes = memory_alloc(model->process_count, sizeof *model->processes);
    for (size_t i = 0; i < model->process_count; i++)
        describe(model, &model->processes[i], &recording->images[i]);
    ending_find(model->processes, model->process_count);

    model->complete = !recording->error_count;
    for (size_t i = 0; i < model->process_count; i++) {
        const struct model_process *process = &model->processes[i];
        if (process->lost_events || process->image->orphan_count || process->end == MODEL_RUNNING ||
            process->end == MODEL_UNKNOWN || process->image->header.given_up || model_unfinished(process) ||
            process->image->header.lost[RECORD_LOST_CHILDREN])
            model->complete = false;
    }
    qsort(model->processes, model->process_count, sizeof *model->processes, compare_peaks);
    return model;
}

void model_close(struct model *model) {
    if (!model)
        return;
    for (size_t i = 0; i < model->process_count; i++) {
        model_unload(&model->processes[i]);
        free(model->processes[i].command);
    }
    free(model->processes);
    reader_close(model->recording);
    pool_free(model->pool);
    free(model);
}

// ---- what was pending ----

static void flush_account(struct record_account *account, const struct record_node *node) {
    int64_t high = model_add(account->total_live, node->segment_high);
    if (high > account->total_peak)
        account->total_peak = high;
    account->total_live = model_add(account->total_live, node->segment_net);
}

// As record_format.h has it: the segments on the path to the last event have not reached their accounts yet.
static void flush_segments(struct reader_image *image) {
    uint32_t current = image->header.current_node;
    if (image->nodes[current].flags & RECORD_NODE_FREE)
        return;
    for (uint32_t i = current; i;) {
        struct record_node *node = &image->nodes[i];
        if (node->frame) {
            struct record_frame *frame = &image->frames[node->frame];
            if (node->flags & RECORD_NODE_OUTERMOST_FRAME)
                flush_account(&frame->account, node);
            if (node->flags & RECORD_NODE_OUTERMOST_FUNCTION)
                flush_account(&image->functions[frame->function].account, node);
        }
        if (node->parent) {
            struct record_node *parent = &image->nodes[node->parent];
            int64_t high = model_add(parent->segment_net, node->segment_high);
            if (high > parent->segment_high)
                parent->segment_high = high;
            parent->segment_net = model_add(parent->segment_net, node->segment_net);
        }
        node->segment_net = node->segment_high = 0;
        i = node->parent;
    }
}

int64_t model_at_peak(const struct model_process *process, const struct record_node *node) {
    return node->saved_seq == process->image->header.peak_seq ? node->saved : node->live;
}

enum record_updating model_unfinished(const struct model_process *process) {
    const uint32_t updating = process->image->header.updating;
    if (process->end == MODEL_RUNNING || updating > RECORD_UPDATING_CONTEXTS)
        return RECORD_UPDATING_NOTHING;
    return (enum record_updating)updating;
}

const char *model_end_name(enum model_end end) {
    static const char *const names[] = {"unknown", "running", "exited", "signalled", "replaced"};
    return names[end];
}

// ---- the tree ----

// Follows children before siblings, so that a subtree stays together.
static void order_nodes(struct model_process *process) {
    const struct reader_image *image = process->image;
    uint32_t *first_child = memory_alloc(image->node_count, sizeof *first_child);
    uint32_t *next_sibling = memory_alloc(image->node_count, sizeof *next_sibling);
    process->order = memory_alloc(image->node_count, sizeof *process->order);
    for (uint32_t i = image->node_count; i-- > 2;) {
        const struct record_node *node = &image->nodes[i];
        if (node->flags & RECORD_NODE_FREE)
            continue;
        process->context_count += node->frame && (node->allocations || node->frees || node->mapped_peak > 0);
        next_sibling[i] = first_child[node->parent];
        first_child[node->parent] = i;
    }
    for (uint32_t i = image->node_count > 1 ? first_child[1] : 0; i;) {
        process->order[process->order_count++] = i;
        uint32_t next = first_child[i];
        while (!next && i > 1) {
            next = next_sibling[i];
            i = image->nodes[i].parent;
        }
        i = next;
    }
    free(first_child);
    free(next_sibling);
}

// ---- names ----

struct naming {
    struct model *model;
    struct model_process *process;
    struct model_resolver *resolver;
    struct map *functions, *lines;
    size_t function_capacity, line_capacity, level_capacity, level_count;
};

static const char *const *keep_names(struct pool *pool, const char *const *names) {
    size_t count = 0;
    while (names[count])
        count++;
    const char **kept = pool_block(pool, count + 1, sizeof *kept);
    for (size_t i = 0; i <= count; i++)
        kept[i] = pool_intern_string(pool, names[i]);
    return kept;
}

static uint32_t name_function(struct naming *n, struct model_function function) {
    // Functions of unknown file are told apart by their module.
    const char *place = function.file ? function.file : function.module;
    struct map_key key = {
        {(uintptr_t)place,
         (uint64_t)function.first_line | (uint64_t)function.language << 32 | (uint64_t)!function.file << 40,
         (uintptr_t)function.name}};
    bool added;
    uint32_t number = map_number(n->functions, key, &added);
    struct model_process *p = n->process;
    if (added) {
        p->functions = memory_grow(p->functions, number, &n->function_capacity, sizeof *p->functions);
        p->functions[number] = function;
        p->functions[number].aliases = NULL;
        p->function_count = number + 1;
    }
    if (function.aliases && !p->functions[number].aliases)
        p->functions[number].aliases = keep_names(n->model->pool, function.aliases);
    return number;
}

static void add_level(struct naming *n, struct model_function function, const char *file, uint32_t line) {
    struct model_process *p = n->process;
    uint32_t owner = name_function(n, function);
    struct map_key key = {{owner, line, (uintptr_t)file}};
    bool added;
    uint32_t number = map_number(n->lines, key, &added);
    if (added) {
        p->lines = memory_grow(p->lines, number, &n->line_capacity, sizeof *p->lines);
        p->lines[number] = (struct model_line){.function = owner, .line = line, .file = file};
        p->line_count = number + 1;
    }
    p->levels = memory_grow(p->levels, n->level_count, &n->level_capacity, sizeof *p->levels);
    p->levels[n->level_count++] = number;
}

static const char *or_unknown(struct naming *n, const char *name) {
    return name ? name : pool_intern_string(n->model->pool, "<unknown>");
}

static struct model_function python_function(struct naming *n, uint32_t number) {
    const struct reader_image *image = n->process->image;
    const struct record_function *function = &image->functions[number];
    return (struct model_function){.file = intern(n->model, image, function->file),
                                   .name = or_unknown(n, intern(n->model, image, function->name)),
                                   .first_line = function->first_line,
                                   .language = RECORD_PYTHON,
                                   .chosen = function->chosen ? number : 0};
}

static void name_python(struct naming *n, const struct record_frame *frame) {
    struct model_function named = python_function(n, frame->function);
    add_level(n, named, named.file, frame->line);
}

// The threads that a line started have its place, and the name that nothing in a function can have.
static void name_threads(struct naming *n, const struct record_frame *frame) {
    struct model_function named = python_function(n, frame->function);
    char *name = memory_print("%s.<threads>", named.name);
    named.starter = named.name;
    named.name = pool_intern_string(n->model->pool, name);
    free(name);
    add_level(n, named, named.file, frame->line);
}

static uint32_t name_starter(struct naming *n, const struct model_function *threads) {
    struct model_function starter = *threads;
    starter.name = threads->starter;
    starter.starter = NULL;
    return name_function(n, starter);
}

static void name_scope(struct naming *n, const struct record_function *function) {
    const char *name = intern(n->model, n->process->image, function->name);
    struct model_function named = {.name = name ? name : pool_intern_string(n->model->pool, ""),
                                   .language = RECORD_SCOPE};
    add_level(n, named, NULL, 0);
}

// What is known without debug information: the module and an offset in it; the function's own when it has
// one, so that its call sites stay together.
static const char *name_by_offset(struct naming *n, const char *module, const struct record_frame *frame,
                                  const struct record_function *function) {
    uint64_t offset = function->offset ? function->offset : frame->offset;
    char *name = module ? memory_print("%s+0x%llx", text_basename(module), (unsigned long long)offset)
                        : memory_print("0x%llx", (unsigned long long)offset);
    const char *interned = pool_intern_string(n->model->pool, name);
    free(name);
    return interned;
}

static void name_native(struct naming *n, const struct record_frame *frame,
                        const struct record_function *function) {
    const struct reader_image *image = n->process->image;
    const struct record_module *module = frame->module ? &image->modules[frame->module] : NULL;
    const char *path = module ? intern(n->model, image, module->path) : NULL;
    struct pool *pool = n->model->pool;

    struct model_found levels[MODEL_LEVELS_MAX];
    size_t count = 0;
    if (path && n->resolver) {
        struct model_address address = {
            .path = path,
            .build_id = module->build_id,
            .build_id_length = module->build_id_length,
            .recorded_ns = model_add_unsigned(image->header.start_realtime_ns, module->loaded_ns),
            .address = frame->offset - !(frame->flags & RECORD_FRAME_EXACT_PC),
            .function_start = function->module == frame->module ? function->offset : 0,
        };
        count = n->resolver->resolve(n->resolver, &address, levels);
    }
    if (!count)
        levels[count++] = (struct model_found){0};
    bool rest = frame->flags & READER_FRAME_REST; // of the function itself, not of what is inlined there
    for (size_t inner = rest ? count - 1 : 0; count-- > inner;) {
        const struct model_found *found = &levels[count];
        struct model_function named = {.file = pool_intern_string(pool, found->function_file),
                                       .name = found->function ? pool_intern_string(pool, found->function)
                                                               : name_by_offset(n, path, frame, function),
                                       .module = path,
                                       .first_line = found->first_line,
                                       .language = RECORD_NATIVE,
                                       .aliases = found->aliases};
        add_level(n, named, pool_intern_string(pool, found->file), rest ? 0 : found->line);
    }
}

static void name_frames(struct naming *n) {
    struct reader_image *image = n->process->image;
    uint32_t *first_level = memory_alloc((size_t)image->frame_count + 2, sizeof *first_level);
    for (uint32_t i = 1; i < image->frame_count; i++) {
        const struct record_frame *frame = &image->frames[i];
        first_level[i] = first_level[i + 1] = (uint32_t)n->level_count;
        if (frame->flags & RECORD_FRAME_FREE)
            continue;
        const struct record_function *function = &image->functions[frame->function];
        if (function->language == RECORD_PYTHON)
            name_python(n, frame);
        else if (function->language == RECORD_THREADS)
            name_threads(n, frame);
        else if (function->language == RECORD_SCOPE)
            name_scope(n, function);
        else
            name_native(n, frame, function);
        first_level[i + 1] = (uint32_t)n->level_count;
    }
    n->process->first_level = first_level;
    // What the program wants to see is there even if it never allocated.
    bool any_chosen = false;
    for (uint32_t i = 1; i < image->function_count; i++) {
        if (image->functions[i].chosen && image->functions[i].language == RECORD_PYTHON) {
            name_function(n, python_function(n, i));
            any_chosen = true;
        }
    }
    for (uint32_t i = 0, count = any_chosen ? n->process->function_count : 0; i < count; i++) {
        const struct model_function threads = n->process->functions[i];
        if (threads.starter)
            n->process->functions[i].chosen = n->process->functions[name_starter(n, &threads)].chosen;
    }
}

bool model_load(struct model *model, struct model_process *process, struct model_resolver *resolver,
                struct reader_error *error) {
    if (process->loaded)
        return true;
    if (!reader_load(process->image, error))
        return false;
    flush_segments(process->image);
    order_nodes(process);
    struct naming n = {
        .model = model, .process = process, .resolver = resolver, .functions = map_new(), .lines = map_new()};
    name_frames(&n);
    map_free(n.functions);
    map_free(n.lines);
    process->loaded = true;
    return true;
}

void model_unload(struct model_process *process) {
    if (!process->loaded)
        return;
    reader_unload(process->image); // the next load must find its segments as recorded
    free(process->order);
    free(process->functions);
    free(process->lines);
    free(process->levels);
    free(process->first_level);
    process->functions = NULL;
    process->lines = NULL;
    process->levels = process->first_level = NULL;
    process->order = NULL;
    process->function_count = process->line_count = process->order_count = process->context_count = 0;
    process->loaded = false;
}

bool model_hook_seconds(const struct model_process *process, double *seconds) {
    const struct record_header *h = &process->image->header;
    *seconds = (double)h->hook_ns / 1e9;
    return h->hook_samples && (h->flags & RECORD_FLAG_THREADS || *seconds < process->duration);
}
