// SPDX-License-Identifier: MIT
//
// What a recording's tables must fulfil. See reader_check.h.

#include "reporter/reader_check.h"

#include <stdlib.h>
#include <string.h>

static int compare_extents(const void *a, const void *b) {
    const struct record_extent *const *x = a, *const *y = b;
    return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

bool reader_check_extents(const struct record_extent *extents, uint32_t count, uint64_t size, uint32_t *bad,
                          bool *cut) {
    const struct record_extent *sorted[RECORD_EXTENTS_MAX];
    *cut = false;
    if (!count)
        return true;
    for (uint32_t i = 0; i < count; i++) {
        const struct record_extent *e = &extents[i];
        *bad = i;
        if (e->table >= RECORD_TABLES || !e->grains || e->offset % RECORD_GRAIN ||
            e->offset < RECORD_FIRST_EXTENT)
            return false;
        *cut = e->offset > size || (uint64_t)e->grains * RECORD_GRAIN > size - e->offset;
        if (*cut)
            return false;
        sorted[i] = e;
    }
    qsort(sorted, count, sizeof *sorted, compare_extents);
    for (uint32_t i = 1; i < count; i++) {
        *bad = (uint32_t)(sorted[i] - extents);
        if (sorted[i]->offset - sorted[i - 1]->offset < (uint64_t)sorted[i - 1]->grains * RECORD_GRAIN)
            return false;
    }
    return true;
}

static bool string_ok(const struct reader_image *image, uint32_t offset) {
    if (!offset)
        return true;
    if (offset % 8 || offset > image->string_bytes || image->string_bytes - offset < sizeof(uint32_t))
        return false;
    uint32_t length;
    memcpy(&length, image->strings + offset, sizeof length);
    return length <= image->string_bytes - offset - sizeof length;
}

static bool module_ok(const struct reader_image *image, uint32_t i) {
    return string_ok(image, image->modules[i].path);
}

static bool folded_ok(const struct reader_image *image, uint32_t folded) {
    return !folded || folded < image->folded_count;
}

static bool function_ok(const struct reader_image *image, uint32_t i) {
    const struct record_function *f = &image->functions[i];
    bool named = f->language == RECORD_PYTHON || f->language == RECORD_SCOPE || f->language == RECORD_THREADS;
    return (f->language == RECORD_NATIVE ||
            (named && string_ok(image, f->file) && string_ok(image, f->name))) &&
           (!f->module || f->module < image->module_count) && folded_ok(image, f->folded_self) &&
           folded_ok(image, f->folded_total);
}

static bool frame_ok(const struct reader_image *image, uint32_t i) {
    const struct record_frame *f = &image->frames[i];
    if (f->flags & RECORD_FRAME_FREE)
        return true;
    return f->function && f->function < image->function_count && !(f->flags & READER_FRAME_REST) &&
           (!f->module || f->module < image->module_count) && folded_ok(image, f->folded_self) &&
           folded_ok(image, f->folded_total);
}

static bool node_ok(const struct reader_image *image, uint32_t i) {
    const struct record_node *n = &image->nodes[i];
    if (i == 1)
        return !n->parent && !n->frame && !n->depth && !(n->flags & RECORD_NODE_FREE);
    return n->flags & RECORD_NODE_FREE ||
           (n->parent && n->parent < image->node_count && n->frame < image->frame_count &&
            n->flags >> RECORD_NODE_OTHER_SHIFT < image->frame_count);
}

static bool estimate_ok(const struct reader_image *image, uint32_t i) {
    const struct record_estimate *e = &image->estimates[i];
    if (e->kind == RECORD_OF_FRAME)
        return e->number && e->number < image->frame_count;
    if (e->kind == RECORD_OF_FUNCTION)
        return e->number && e->number < image->function_count;
    return e->kind == RECORD_OF_NOTHING || e->kind == RECORD_OF_PROCESS;
}

static bool source_ok(const struct reader_image *image, uint32_t i) {
    return string_ok(image, image->sources[i].file) && string_ok(image, image->sources[i].text);
}

// A process can be killed, or read, while it folds nodes or uses one again. Then a node's parent may not be
// the one that it had: its depth tells. Depths also prove that there is no circle.
static void adopt_orphans(struct reader_image *image) {
    for (uint32_t i = 2; i < image->node_count; i++) {
        struct record_node *node = &image->nodes[i];
        if (node->flags & RECORD_NODE_FREE)
            continue;
        const struct record_node *parent = &image->nodes[node->parent];
        if (parent->flags & RECORD_NODE_FREE || !node->depth || parent->depth != node->depth - 1) {
            node->parent = 1;
            image->orphan_count++;
        }
        if (node->frame && image->frames[node->frame].flags & RECORD_FRAME_FREE) {
            node->frame = 0;
            image->orphan_count++;
        }
        if (image->frames[node->flags >> RECORD_NODE_OTHER_SHIFT].flags & RECORD_FRAME_FREE)
            node->flags &= (1u << RECORD_NODE_OTHER_SHIFT) - 1;
    }
}

// A process may end while it merges neighbours: behind those that are merged are some that are in them
// already.
static void drop_merged_ticks(struct reader_image *image) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < image->tick_count; i++)
        if (!kept || image->ticks[i].time_ns > image->ticks[kept - 1].time_ns)
            image->ticks[kept++] = image->ticks[i];
    image->tick_count = kept;
}

static bool check_header(const struct reader_image *image, struct reader_fault *fault) {
    const struct record_header *h = &image->header;
    const uint32_t *strings[] = {&h->command,        &h->cwd,         &h->executable,
                                 &h->python_version, &h->python_note, &h->shim_version};
    *fault = (struct reader_fault){.what = "a string outside the string table"};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        fault->offset = (uint64_t)((const char *)strings[i] - (const char *)h);
        if (!string_ok(image, *strings[i]))
            return false;
    }
    fault->offset = offsetof(struct record_header, current_node);
    fault->what = "a current node outside the node table";
    return !h->current_node || h->current_node < image->node_count;
}

static bool check_marks(const struct reader_image *image, struct reader_fault *fault) {
    for (uint32_t i = 0; i < image->mark_count; i++)
        if (!string_ok(image, image->marks[i].name)) {
            fault->offset = RECORD_MARKS_AT + i * sizeof *image->marks;
            fault->what = "a mark whose name is outside the string table";
            return false;
        }
    return true;
}

bool reader_check(struct reader_image *image, struct reader_fault *fault) {
    const struct {
        enum record_table table;
        uint32_t count;
        bool (*ok)(const struct reader_image *, uint32_t);
    } tables[] = {{RECORD_MODULES, image->module_count, module_ok},
                  {RECORD_FUNCTIONS, image->function_count, function_ok},
                  {RECORD_FRAMES, image->frame_count, frame_ok},
                  {RECORD_NODES, image->node_count, node_ok},
                  {RECORD_ESTIMATES, image->estimate_count, estimate_ok},
                  {RECORD_SOURCES, image->source_count, source_ok}};
    if (!check_header(image, fault) || !check_marks(image, fault))
        return false;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (uint32_t i = 1; i < tables[t].count; i++)
            if (!tables[t].ok(image, i)) {
                *fault = (struct reader_fault){.table = tables[t].table, .record = i};
                return false;
            }
    adopt_orphans(image);
    drop_merged_ticks(image);
    return true;
}
