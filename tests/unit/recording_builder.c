// SPDX-License-Identifier: MIT
//
// Makes recordings for tests. See recording_builder.h.

#include "tests/unit/recording_builder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(bool ok, const char *what) {
    if (!ok) {
        perror(what);
        abort();
    }
}

// Makes room for one more element at the end of an array, zeroed; returns its number.
static uint32_t append(void *array, size_t *count, size_t size) {
    void *grown = realloc(*(void **)array, (*count + 1) * size);
    check(grown != NULL, "realloc");
    memset((char *)grown + *count * size, 0, size);
    *(void **)array = grown;
    return (uint32_t)(*count)++;
}

uint32_t builder_bytes(struct builder *b, const char *bytes, size_t length) {
    size_t at = b->string_bytes, end = (at + 4 + length + 7) & ~(size_t)7;
    b->strings = realloc(b->strings, end);
    check(b->strings != NULL, "realloc");
    memset(b->strings + at, 0, end - at);
    uint32_t stored = (uint32_t)length;
    memcpy(b->strings + at, &stored, sizeof stored);
    memcpy(b->strings + at + sizeof stored, bytes, length);
    b->string_bytes = end;
    return (uint32_t)at;
}

uint32_t builder_string(struct builder *b, const char *text) {
    return builder_bytes(b, text, strlen(text));
}

struct builder *builder_new(uint32_t pid, uint32_t image) {
    struct builder *b = calloc(1, sizeof *b);
    check(b != NULL, "calloc");
    memcpy(b->header.magic, RECORD_MAGIC, sizeof b->header.magic);
    b->header.version = RECORD_VERSION;
    b->header.header_size = sizeof b->header;
    b->header.byte_order = 0x01020304;
    b->header.grain = RECORD_GRAIN;
    b->header.pid = pid;
    b->header.image = image;
    b->header.flags = RECORD_FLAG_FREES;
    b->header.start_realtime_ns = 4000000000u * (uint64_t)1000000000; // 2096: newer than any file
    b->header.start_monotonic_ns = 1000;
    b->header.start_ticks = 77;
    b->header.end = RECORD_EXITED;
    b->header.end_ns = b->header.last_ns = 1000000000;
    builder_bytes(b, "\0\0\0", 4); // the unused entry: no string begins at 0
    b->header.cwd = builder_string(b, "/work");
    b->header.executable = builder_string(b, "/usr/bin/prog");
    append(&b->modules, &b->module_count, sizeof *b->modules);
    append(&b->functions, &b->function_count, sizeof *b->functions);
    append(&b->frames, &b->frame_count, sizeof *b->frames);
    append(&b->nodes, &b->node_count, sizeof *b->nodes);
    append(&b->nodes, &b->node_count, sizeof *b->nodes); // the root
    append(&b->origins, &b->origin_count, sizeof *b->origins);
    append(&b->origins, &b->origin_count, sizeof *b->origins);
    append(&b->reaped, &b->reaped_count, sizeof *b->reaped);
    append(&b->folded, &b->folded_count, sizeof *b->folded);
    append(&b->journals, &b->journal_count, sizeof *b->journals);
    append(&b->estimates, &b->estimate_count, sizeof *b->estimates);
    append(&b->sources, &b->source_count, sizeof *b->sources);
    return b;
}

void builder_free(struct builder *b) {
    free(b->strings);
    free(b->modules);
    free(b->functions);
    free(b->frames);
    free(b->nodes);
    free(b->origins);
    free(b->reaped);
    free(b->folded);
    free(b->journals);
    free(b->estimates);
    free(b->sources);
    free(b);
}

uint32_t builder_estimate(struct builder *b, enum record_estimated kind, uint32_t of) {
    uint32_t number = append(&b->estimates, &b->estimate_count, sizeof *b->estimates);
    b->estimates[number].kind = kind;
    b->estimates[number].number = of;
    return number;
}

uint32_t builder_source(struct builder *b, const char *file, const char *text) {
    uint32_t number = append(&b->sources, &b->source_count, sizeof *b->sources);
    const uint32_t name = builder_string(b, file), content = builder_string(b, text);
    b->sources[number] = (struct record_source){.file = name, .text = content};
    return number;
}

uint32_t builder_module(struct builder *b, const char *path) {
    uint32_t string = builder_string(b, path);
    uint32_t number = append(&b->modules, &b->module_count, sizeof *b->modules);
    b->modules[number].path = string;
    return number;
}

uint32_t builder_python(struct builder *b, const char *file, const char *name, uint32_t first_line) {
    uint32_t file_string = builder_string(b, file), name_string = builder_string(b, name);
    uint32_t number = append(&b->functions, &b->function_count, sizeof *b->functions);
    b->functions[number].language = RECORD_PYTHON;
    b->functions[number].file = file_string;
    b->functions[number].name = name_string;
    b->functions[number].first_line = first_line;
    return number;
}

uint32_t builder_scope(struct builder *b, const char *name) {
    uint32_t name_string = builder_string(b, name);
    uint32_t number = append(&b->functions, &b->function_count, sizeof *b->functions);
    b->functions[number].language = RECORD_SCOPE;
    b->functions[number].name = name_string;
    return number;
}

uint32_t builder_native(struct builder *b, uint32_t module, uint64_t offset) {
    uint32_t number = append(&b->functions, &b->function_count, sizeof *b->functions);
    b->functions[number].language = RECORD_NATIVE;
    b->functions[number].module = module;
    b->functions[number].offset = offset;
    return number;
}

uint32_t builder_line(struct builder *b, uint32_t function, uint32_t line) {
    uint32_t number = append(&b->frames, &b->frame_count, sizeof *b->frames);
    b->frames[number].function = function;
    b->frames[number].line = line;
    return number;
}

uint32_t builder_site(struct builder *b, uint32_t function, uint64_t offset) {
    uint32_t number = append(&b->frames, &b->frame_count, sizeof *b->frames);
    b->frames[number].function = function;
    b->frames[number].module = b->functions[function].module;
    b->frames[number].offset = offset;
    return number;
}

// The last frame on the path to `parent` that is native where `frame` is Python's, or the other way round.
static uint32_t other_frame(const struct builder *b, uint32_t parent, uint32_t frame) {
    int language = b->functions[b->frames[frame].function].language;
    for (; parent > 1; parent = b->nodes[parent].parent) {
        int there = b->functions[b->frames[b->nodes[parent].frame].function].language;
        if (language + there == RECORD_PYTHON + RECORD_NATIVE && language != there)
            return b->nodes[parent].frame;
    }
    return 0;
}

uint32_t builder_node(struct builder *b, uint32_t parent, uint32_t frame) {
    uint32_t number = append(&b->nodes, &b->node_count, sizeof *b->nodes);
    struct record_node *node = &b->nodes[number];
    node->parent = parent;
    node->frame = frame;
    node->depth = b->nodes[parent].depth + 1;
    node->flags = RECORD_NODE_OUTERMOST_FRAME | RECORD_NODE_OUTERMOST_FUNCTION;
    for (uint32_t i = parent; i > 1; i = b->nodes[i].parent) {
        if (b->nodes[i].frame == frame)
            node->flags &= ~(uint32_t)RECORD_NODE_OUTERMOST_FRAME;
        if (b->frames[b->nodes[i].frame].function == b->frames[frame].function)
            node->flags &= ~(uint32_t)RECORD_NODE_OUTERMOST_FUNCTION;
    }
    uint32_t other = other_frame(b, parent, frame);
    node->flags |= other << RECORD_NODE_OTHER_SHIFT;
    append(&b->origins, &b->origin_count, sizeof *b->origins);
    b->origins[number] = (struct builder_origin){.node = *node,
                                                 .function = b->frames[frame].function,
                                                 .other = other,
                                                 .other_function = b->frames[other].function};
    return number;
}

uint32_t builder_reaped(struct builder *b, uint32_t pid, int status, uint64_t time_ns) {
    uint32_t number = append(&b->reaped, &b->reaped_count, sizeof *b->reaped);
    b->reaped[number] = (struct record_reaped){.pid = pid, .status = status, .time_ns = time_ns};
    return number;
}

void builder_command(struct builder *b, const char *const *argv) {
    char text[4096];
    size_t length = 0;
    for (; *argv; argv++) {
        memcpy(text + length, *argv, strlen(*argv) + 1);
        length += strlen(*argv) + 1;
    }
    b->header.command = builder_bytes(b, text, length);
}

// ---- events, as the shim accounts them ----

static void flush_account(struct record_account *account, const struct record_node *node) {
    if (account->total_live + node->segment_high > account->total_peak)
        account->total_peak = account->total_live + node->segment_high;
    account->total_live += node->segment_net;
}

static bool is_above(const struct builder *b, uint32_t node, uint32_t below) {
    while (below && below != node)
        below = b->nodes[below].parent;
    return below == node;
}

// Flushes from the node of the last event up to the lowest node that is also above the next one.
static void move_to(struct builder *b, uint32_t next) {
    uint32_t at = b->header.current_node;
    while (at && !is_above(b, at, next)) {
        struct record_node *node = &b->nodes[at], *parent = &b->nodes[node->parent];
        struct record_frame *frame = &b->frames[node->frame];
        if (node->frame && node->flags & RECORD_NODE_OUTERMOST_FRAME)
            flush_account(&frame->account, node);
        if (node->frame && node->flags & RECORD_NODE_OUTERMOST_FUNCTION)
            flush_account(&b->functions[frame->function].account, node);
        if (parent->segment_net + node->segment_high > parent->segment_high)
            parent->segment_high = parent->segment_net + node->segment_high;
        parent->segment_net += node->segment_net;
        node->segment_net = node->segment_high = 0;
        at = node->parent;
    }
    b->header.current_node = next;
}

static void change_self(struct record_account *account, int64_t change) {
    account->self_live += change;
    if (account->self_live > account->self_peak)
        account->self_peak = account->self_live;
}

// The folded child of a node, or 0.
static uint32_t folded_child(const struct builder *b, uint32_t parent) {
    for (uint32_t i = 2; i < b->node_count; i++)
        if (b->nodes[i].flags == RECORD_NODE_FOLDED && b->nodes[i].parent == parent)
            return i;
    return 0;
}

static bool is_folded(const struct builder *b, uint32_t node) {
    return b->nodes[node].flags == RECORD_NODE_FOLDED || b->nodes[node].flags == RECORD_NODE_FREE;
}

// The node that has the blocks of a context.
static uint32_t heir_of(const struct builder *b, uint32_t number) {
    uint32_t above = number;
    while (is_folded(b, above))
        above = b->origins[above].node.parent;
    return above == number ? number : folded_child(b, above);
}

static void change_live(const struct builder *b, int64_t *live, int64_t *saved, uint64_t *saved_seq,
                        int64_t change) {
    if (*saved_seq != b->header.peak_seq) {
        *saved = *live;
        *saved_seq = b->header.peak_seq;
    }
    *live += change;
}

static void change_folded(struct builder *b, uint32_t folded, int64_t *account_live, int64_t change) {
    struct record_folded *entry = &b->folded[folded];
    change_live(b, &entry->live, &entry->saved, &entry->saved_seq, change);
    *account_live += change;
}

// The self or the total of a frame and of a function. `frame` 0: of the function only, as when the frame was
// forgotten; `function` 0: of the frame only.
static void change_folded_of(struct builder *b, bool total, uint32_t frame, uint32_t function,
                             int64_t change) {
    struct record_frame *f = &b->frames[frame];
    if (frame && !(f->flags & RECORD_FRAME_FREE))
        change_folded(b, total ? f->folded_total : f->folded_self,
                      total ? &f->account.total_live : &f->account.self_live, change);
    struct record_function *g = &b->functions[function];
    if (function)
        change_folded(b, total ? g->folded_total : g->folded_self,
                      total ? &g->account.total_live : &g->account.self_live, change);
}

// A block of a context that was folded: the lines and functions of the nodes that are gone.
static void take_off(struct builder *b, uint32_t number, int64_t change) {
    const struct builder_origin *at = &b->origins[number];
    change_folded_of(b, false, at->node.frame, at->function, change);
    change_folded_of(b, false, at->other, at->other_function, change);
    for (; is_folded(b, number); number = at->node.parent) {
        at = &b->origins[number];
        change_folded_of(b, true, at->node.flags & RECORD_NODE_OUTERMOST_FRAME ? at->node.frame : 0,
                         at->node.flags & RECORD_NODE_OUTERMOST_FUNCTION ? at->function : 0, change);
    }
}

static void apply(struct builder *b, uint32_t context, int64_t change) {
    uint32_t number = heir_of(b, context);
    struct record_node *node = &b->nodes[number];
    struct record_frame *frame = &b->frames[node->frame];
    change_live(b, &node->live, &node->saved, &node->saved_seq, change);
    if (node->live > node->peak)
        node->peak = node->live;
    if (node->frame) {
        change_self(&frame->account, change);
        change_self(&b->functions[frame->function].account, change);
    }
    if (node->frame && node->flags >> RECORD_NODE_OTHER_SHIFT) {
        frame = &b->frames[node->flags >> RECORD_NODE_OTHER_SHIFT];
        change_self(&frame->account, change);
        change_self(&b->functions[frame->function].account, change);
    }
    b->header.heap_live += change;
    if (b->header.heap_live > b->header.heap_peak) {
        b->header.heap_peak = b->header.heap_live;
        b->header.peak_seq++;
    }
    move_to(b, number);
    node->segment_net += change;
    if (node->segment_net > node->segment_high)
        node->segment_high = node->segment_net;
    if (is_folded(b, context))
        take_off(b, context, change);
}

static void note(struct builder *b, uint32_t node, int64_t size, uint32_t freeing, uint32_t flags) {
    if (b->journal_count == 1 || b->journals[b->journal_count - 1].count == RECORD_JOURNAL_EVENTS)
        append(&b->journals, &b->journal_count, sizeof *b->journals);
    struct record_journal *journal = &b->journals[b->journal_count - 1];
    journal->events[journal->count++] =
        (struct record_event){.size = (uint64_t)size, .node = node, .freeing = freeing, .slack_flags = flags};
}

void builder_allocate(struct builder *b, uint32_t number, int64_t size) {
    if (b->noting) {
        note(b, number, size, 0, 0);
        return;
    }
    apply(b, number, size);
    struct record_node *node = &b->nodes[number];
    node->allocated_bytes += (uint64_t)size;
    node->allocations++;
    if (b->header.heap_live > node->heap_high)
        node->heap_high = b->header.heap_live;
    b->header.allocated_bytes += (uint64_t)size;
    b->header.allocations++;
}

void builder_release(struct builder *b, uint32_t number, int64_t size, uint32_t free_node) {
    if (b->noting) {
        note(b, number, size, free_node, RECORD_EVENT_FREE);
        return;
    }
    apply(b, number, -size);
    if (free_node) {
        b->nodes[free_node].freed_bytes += (uint64_t)size;
        b->nodes[free_node].frees++;
    }
    b->header.freed_bytes += (uint64_t)size;
    b->header.frees++;
}

// ---- folding ----

static int64_t at_peak(const struct builder *b, const struct record_node *node) {
    return node->saved_seq == b->header.peak_seq ? node->saved : node->live;
}

// To the record behind *place, made when there is none.
static void add_node(struct builder *b, uint32_t *place, const struct record_node *node) {
    if (!*place)
        *place = append(&b->folded, &b->folded_count, sizeof *b->folded);
    struct record_folded *sums = &b->folded[*place];
    change_live(b, &sums->live, &sums->saved, &sums->saved_seq, node->live);
    sums->saved += at_peak(b, node);
    if (node->heap_high > sums->heap_high)
        sums->heap_high = node->heap_high;
    sums->allocated_bytes += node->allocated_bytes;
    sums->allocations += node->allocations;
    sums->temporary += node->temporary;
    sums->freed_bytes += node->freed_bytes;
    sums->frees += node->frees;
}

// What a line or a function no longer sees: the node, and, where it was outermost, all that was folded below
// it.
static void keep_sums(struct builder *b, uint32_t *self, uint32_t *total, uint32_t number, uint32_t child,
                      bool outermost) {
    add_node(b, self, &b->nodes[number]);
    if (outermost)
        add_node(b, total, &b->nodes[number]);
    if (outermost && child)
        add_node(b, total, &b->nodes[child]);
}

static void merge_into(struct builder *b, uint32_t into, uint32_t from) {
    struct record_node *to = &b->nodes[into], *node = &b->nodes[from];
    to->saved = at_peak(b, to) + at_peak(b, node);
    to->saved_seq = b->header.peak_seq;
    to->live += node->live;
    to->allocated_bytes += node->allocated_bytes;
    to->allocations += node->allocations;
    to->temporary += node->temporary;
    to->freed_bytes += node->freed_bytes;
    to->frees += node->frees;
    if (node->heap_high > to->heap_high)
        to->heap_high = node->heap_high;
    // Nobody may look at what a free node holds.
    memset(node, 0x5a, sizeof *node);
    node->flags = RECORD_NODE_FREE;
}

void builder_fold(struct builder *b, uint32_t number) {
    struct record_node *node = &b->nodes[number];
    struct record_frame *frame = &b->frames[node->frame];
    struct record_function *function = &b->functions[frame->function];
    move_to(b, 1);
    uint32_t child = folded_child(b, number), sibling = folded_child(b, node->parent);
    keep_sums(b, &frame->folded_self, &frame->folded_total, number, child,
              node->flags & RECORD_NODE_OUTERMOST_FRAME);
    keep_sums(b, &function->folded_self, &function->folded_total, number, child,
              node->flags & RECORD_NODE_OUTERMOST_FUNCTION);
    if (node->flags >> RECORD_NODE_OTHER_SHIFT) {
        frame = &b->frames[node->flags >> RECORD_NODE_OTHER_SHIFT];
        function = &b->functions[frame->function];
        keep_sums(b, &frame->folded_self, NULL, number, 0, false);
        keep_sums(b, &function->folded_self, NULL, number, 0, false);
    }
    b->header.folded_nodes++;
    if (!sibling) {
        node->frame = 0;
        node->flags = RECORD_NODE_FOLDED;
        sibling = number;
    }
    if (child)
        merge_into(b, sibling, child);
    if (sibling != number)
        merge_into(b, sibling, number);
}

void builder_forget(struct builder *b, uint32_t number) {
    struct record_frame *frame = &b->frames[number];
    b->header.forgotten_lines++;
    if (frame->folded_self)
        b->header.forgotten_bytes += b->folded[frame->folded_self].allocated_bytes;
    if (frame->account.total_peak > b->header.forgotten_peak)
        b->header.forgotten_peak = frame->account.total_peak;
    b->functions[frame->function].forgotten++;
    // Nobody may look at what a free frame holds.
    memset(frame, 0x5a, sizeof *frame);
    frame->flags = RECORD_FRAME_FREE;
}

// ---- files ----

struct table {
    const void *bytes;
    size_t count, record_size;
    uint32_t number;
};

unsigned char *builder_image(const struct builder *b, size_t *size) {
    const struct table tables[] = {
        {b->strings, b->string_bytes, 1, RECORD_STRINGS},
        {b->modules, b->module_count, sizeof *b->modules, RECORD_MODULES},
        {b->functions, b->function_count, sizeof *b->functions, RECORD_FUNCTIONS},
        {b->frames, b->frame_count, sizeof *b->frames, RECORD_FRAMES},
        {b->nodes, b->node_count, sizeof *b->nodes, RECORD_NODES},
        {b->reaped, b->reaped_count, sizeof *b->reaped, RECORD_REAPED},
        {b->folded, b->folded_count, sizeof *b->folded, RECORD_FOLDED},
        {b->journals, b->journal_count, sizeof *b->journals, RECORD_JOURNALS},
        {b->estimates, b->estimate_count, sizeof *b->estimates, RECORD_ESTIMATES},
        {b->sources, b->source_count, sizeof *b->sources, RECORD_SOURCES},
    };
    struct record_header header = b->header;
    struct record_extent extents[RECORD_EXTENTS_MAX] = {0};
    size_t done[RECORD_TABLES] = {0}, end = RECORD_FIRST_EXTENT, largest = end;
    for (size_t i = 0; i < RECORD_TABLES; i++)
        largest += tables[i].count * tables[i].record_size + RECORD_GRAIN;
    unsigned char *image = calloc(1, largest);
    check(image != NULL, "calloc");
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < RECORD_TABLES; i++) {
            size_t left = tables[i].count * tables[i].record_size - done[i];
            if (!left)
                continue;
            size_t take = b->split_extents && left > RECORD_GRAIN ? RECORD_GRAIN : left;
            size_t grains = (take + RECORD_GRAIN - 1) / RECORD_GRAIN;
            check(header.extents < RECORD_EXTENTS_MAX, "too many extents");
            extents[header.extents++] =
                (struct record_extent){.table = tables[i].number, .grains = (uint32_t)grains, .offset = end};
            memcpy(image + end, (const char *)tables[i].bytes + done[i], take);
            done[i] += take;
            end += grains * RECORD_GRAIN;
            more = true;
        }
    }
    for (size_t i = 0; i < RECORD_TABLES; i++)
        header.tables[tables[i].number] = (struct record_table_info){
            .count = tables[i].count, .record_size = (uint32_t)tables[i].record_size};
    memcpy(image, &header, sizeof header);
    memcpy(image + RECORD_EXTENTS_AT, extents, header.extents * sizeof *extents);
    memcpy(image + RECORD_TICKS_AT, b->ticks, header.ticks * sizeof *b->ticks);
    memcpy(image + RECORD_MARKS_AT, b->marks, header.marks * sizeof *b->marks);
    *size = end;
    return image;
}

void builder_write_bytes(const char *directory, const char *name, const void *bytes, size_t size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(fd >= 0, path);
    for (size_t done = 0; done < size;) {
        ssize_t wrote = write(fd, (const char *)bytes + done, size - done);
        check(wrote > 0, path);
        done += (size_t)wrote;
    }
    close(fd);
}

void builder_write(const struct builder *b, const char *directory) {
    char name[64];
    size_t size;
    unsigned char *image = builder_image(b, &size);
    snprintf(name, sizeof name, "%u.%u", b->header.pid, b->header.image);
    builder_write_bytes(directory, name, image, size);
    free(image);
}

char *builder_directory(void) {
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    check(asprintf(&path, "%s/peakline-test-XXXXXX", base && *base ? base : "/tmp") > 0, "asprintf");
    check(mkdtemp(path) != NULL, path);
    return path;
}

void builder_remove_directory(char *path) {
    DIR *directory = opendir(path);
    check(directory != NULL, path);
    for (const struct dirent *entry; (entry = readdir(directory));)
        unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    check(rmdir(path) == 0, path);
    free(path);
}
