// SPDX-License-Identifier: MIT
//
// Reads one file of a recording. See reader.h; directories are in reader_recording.c.

#include "reporter/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reporter/memory.h"

// Larger than any recording that the shim writes: what claims more is a hole with a header.
#define LARGEST_FILE ((uint64_t)8 << 30)

struct input {
    int fd;
    uint64_t size;
    struct reader_error *error;
};

static const size_t record_sizes[RECORD_TABLES] = {
    [RECORD_STRINGS] = 1,
    [RECORD_MODULES] = sizeof(struct record_module),
    [RECORD_FUNCTIONS] = sizeof(struct record_function),
    [RECORD_FRAMES] = sizeof(struct record_frame),
    [RECORD_NODES] = sizeof(struct record_node),
    [RECORD_REAPED] = sizeof(struct record_reaped),
};

static const char *const table_names[RECORD_TABLES] = {"string", "module", "function",
                                                       "frame",  "node",   "reaped"};

__attribute__((format(printf, 3, 4))) static bool refuse(struct input *in, uint64_t offset,
                                                         const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(in->error->what, sizeof in->error->what, format, arguments);
    va_end(arguments);
    in->error->offset = offset;
    return false;
}

static bool read_at(struct input *in, uint64_t offset, void *buffer, size_t size) {
    if (offset > in->size || size > in->size - offset)
        return refuse(in, offset, "cut short: it has %llu bytes", (unsigned long long)in->size);
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(in->fd, (char *)buffer + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return refuse(in, offset + done, "cannot be read: %s", strerror(errno));
        if (got == 0)
            return refuse(in, offset + done, "became shorter while it was read");
        done += (size_t)got;
    }
    return true;
}

static bool read_header(struct input *in, struct record_header *header) {
    if (in->size == 0)
        return refuse(in, 0, "empty: its process ended before it could record anything");
    char magic[8];
    if (!read_at(in, 0, magic, sizeof magic))
        return false;
    if (memcmp(magic, RECORD_MAGIC, sizeof magic) != 0)
        return refuse(in, 0, "not a recording");
    if (!read_at(in, 0, header, sizeof *header))
        return false;
    if (header->byte_order != 0x01020304)
        return refuse(in, offsetof(struct record_header, byte_order),
                      "written on a machine of another byte order");
    if (header->version != RECORD_VERSION)
        return refuse(in, offsetof(struct record_header, version),
                      "format version %u; this peakline reads version %d", header->version, RECORD_VERSION);
    if (header->header_size != sizeof *header || header->grain != RECORD_GRAIN)
        return refuse(in, offsetof(struct record_header, header_size),
                      "damaged: header of %u bytes, grain of %u", header->header_size, header->grain);
    if (in->size < RECORD_FIRST_EXTENT)
        return refuse(in, in->size, "cut short: it has %llu bytes", (unsigned long long)in->size);
    return true;
}

// The header of a process that may be running while we read. Counts are published after what they count, and
// entries refer to older entries of other tables: so reading the referring tables' counts first, and those of
// the tables that they refer to from a later look, gives a consistent set.
static bool read_snapshot(struct input *in, struct record_header *header) {
    struct record_header later;
    if (!read_header(in, header) || !read_header(in, &later))
        return false;
    header->tables[RECORD_NODES] = later.tables[RECORD_NODES]; // after current_node
    header->tables[RECORD_REAPED] = later.tables[RECORD_REAPED];
    static const enum record_table order[] = {RECORD_FRAMES, RECORD_FUNCTIONS, RECORD_MODULES,
                                              RECORD_STRINGS};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (!read_header(in, &later))
            return false;
        header->tables[order[i]] = later.tables[order[i]];
    }
    if (!read_header(in, &later))
        return false;
    header->extents = later.extents;
    return true;
}

static int compare_extents(const void *a, const void *b) {
    const struct record_extent *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

// Extents within the file, and none over another: then the tables together are no larger than the file.
static bool check_extents(struct input *in, const struct record_extent *extents, uint32_t count) {
    struct record_extent sorted[RECORD_EXTENTS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        const struct record_extent *e = &extents[i];
        uint64_t at = RECORD_EXTENTS_AT + i * sizeof *e;
        if (e->table >= RECORD_TABLES || !e->grains || e->offset % RECORD_GRAIN ||
            e->offset < RECORD_FIRST_EXTENT)
            return refuse(in, at, "damaged: extent %u makes no sense", i);
        if (e->offset > in->size || (uint64_t)e->grains * RECORD_GRAIN > in->size - e->offset)
            return refuse(in, at, "cut short: extent %u ends beyond the file's %llu bytes", i,
                          (unsigned long long)in->size);
        sorted[i] = *e;
    }
    qsort(sorted, count, sizeof *sorted, compare_extents);
    for (uint32_t i = 1; i < count; i++)
        if (sorted[i].offset - sorted[i - 1].offset < (uint64_t)sorted[i - 1].grains * RECORD_GRAIN)
            return refuse(in, RECORD_EXTENTS_AT, "damaged: extents overlap");
    return true;
}

static bool read_table(struct input *in, const struct record_header *header,
                       const struct record_extent *extents, enum record_table table, void **records,
                       uint64_t *count) {
    const struct record_table_info *info = &header->tables[table];
    uint64_t info_at = offsetof(struct record_header, tables) + table * sizeof *info;
    if (info->count && info->record_size != record_sizes[table])
        return refuse(in, info_at, "damaged: %s records of %u bytes", table_names[table], info->record_size);
    uint64_t room = 0;
    for (uint32_t i = 0; i < header->extents; i++)
        if (extents[i].table == table)
            room += (uint64_t)extents[i].grains * RECORD_GRAIN;
    if (info->count > room / record_sizes[table] || info->count > UINT32_MAX)
        return refuse(in, info_at, "damaged: %llu entries in a %s table of %llu bytes",
                      (unsigned long long)info->count, table_names[table], (unsigned long long)room);

    uint64_t left = info->count * record_sizes[table];
    char *buffer = memory_alloc(info->count, record_sizes[table]);
    *records = buffer;
    *count = info->count;
    for (uint32_t i = 0; i < header->extents && left; i++) {
        if (extents[i].table != table)
            continue;
        uint64_t size = (uint64_t)extents[i].grains * RECORD_GRAIN;
        size = size < left ? size : left;
        if (!read_at(in, extents[i].offset, buffer, size))
            return false;
        buffer += size;
        left -= size;
    }
    return true;
}

// Where a record is in the file, for messages.
static uint64_t locate(const struct record_extent *extents, uint32_t extent_count, enum record_table table,
                       uint64_t offset) {
    for (uint32_t i = 0; i < extent_count; i++) {
        if (extents[i].table != table)
            continue;
        uint64_t size = (uint64_t)extents[i].grains * RECORD_GRAIN;
        if (offset < size)
            return extents[i].offset + offset;
        offset -= size;
    }
    return 0;
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

static bool function_ok(const struct reader_image *image, uint32_t i) {
    const struct record_function *f = &image->functions[i];
    return (f->language == RECORD_PYTHON || f->language == RECORD_NATIVE) &&
           (!f->module || f->module < image->module_count) && string_ok(image, f->file) &&
           string_ok(image, f->name);
}

static bool frame_ok(const struct reader_image *image, uint32_t i) {
    const struct record_frame *f = &image->frames[i];
    return f->function && f->function < image->function_count &&
           (!f->module || f->module < image->module_count);
}

static bool node_ok(const struct reader_image *image, uint32_t i) {
    const struct record_node *n = &image->nodes[i];
    if (i == 1)
        return !n->parent && !n->frame;
    return n->parent && n->parent < i && n->frame && n->frame < image->frame_count;
}

static bool check_table(struct input *in, const struct reader_image *image,
                        const struct record_extent *extents, enum record_table table, uint32_t count,
                        bool (*ok)(const struct reader_image *, uint32_t)) {
    for (uint32_t i = 1; i < count; i++)
        if (!ok(image, i))
            return refuse(in, locate(extents, image->header.extents, table, i * record_sizes[table]),
                          "damaged: %s %u makes no sense", table_names[table], i);
    return true;
}

static bool check_header_strings(struct input *in, const struct reader_image *image) {
    const struct record_header *h = &image->header;
    const uint32_t *strings[] = {&h->command,        &h->cwd,         &h->executable,
                                 &h->python_version, &h->python_note, &h->shim_version};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        if (!string_ok(image, *strings[i]))
            return refuse(in, (uint64_t)((const char *)strings[i] - (const char *)h),
                          "damaged: a string outside the string table");
    return true;
}

static bool read_tables(struct input *in, struct reader_image *image, const struct record_extent *extents) {
    struct {
        enum record_table table;
        void **records;
        uint32_t *count;
    } tables[] = {
        {RECORD_MODULES, (void **)&image->modules, &image->module_count},
        {RECORD_FUNCTIONS, (void **)&image->functions, &image->function_count},
        {RECORD_FRAMES, (void **)&image->frames, &image->frame_count},
        {RECORD_NODES, (void **)&image->nodes, &image->node_count},
        {RECORD_REAPED, (void **)&image->reaped, &image->reaped_count},
    };
    if (!read_table(in, &image->header, extents, RECORD_STRINGS, (void **)&image->strings,
                    &image->string_bytes))
        return false;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        uint64_t count = 0;
        if (!read_table(in, &image->header, extents, tables[i].table, tables[i].records, &count))
            return false;
        *tables[i].count = (uint32_t)count;
    }
    return true;
}

static bool read_image(struct input *in, struct reader_image *image) {
    if (in->size > LARGEST_FILE)
        return refuse(in, 0, "too large for a recording: %llu bytes", (unsigned long long)in->size);
    if (!read_snapshot(in, &image->header))
        return false;
    struct record_header *h = &image->header;
    image->file_size = in->size;
    if (h->extents > RECORD_EXTENTS_MAX)
        return refuse(in, offsetof(struct record_header, extents), "damaged: %u extents", h->extents);
    if (h->ticks > RECORD_TICKS_MAX)
        return refuse(in, offsetof(struct record_header, ticks), "damaged: %u ticks", h->ticks);

    struct record_extent extents[RECORD_EXTENTS_MAX];
    image->tick_count = h->ticks;
    image->ticks = memory_alloc(h->ticks, sizeof *image->ticks);
    if (!read_at(in, RECORD_EXTENTS_AT, extents, h->extents * sizeof *extents) ||
        !check_extents(in, extents, h->extents) ||
        !read_at(in, RECORD_TICKS_AT, image->ticks, h->ticks * sizeof *image->ticks) ||
        !read_tables(in, image, extents))
        return false;

    if (h->current_node && h->current_node >= image->node_count)
        return refuse(in, offsetof(struct record_header, current_node), "damaged: current node %u of %u",
                      h->current_node, image->node_count);
    return check_header_strings(in, image) &&
           check_table(in, image, extents, RECORD_MODULES, image->module_count, module_ok) &&
           check_table(in, image, extents, RECORD_FUNCTIONS, image->function_count, function_ok) &&
           check_table(in, image, extents, RECORD_FRAMES, image->frame_count, frame_ok) &&
           check_table(in, image, extents, RECORD_NODES, image->node_count, node_ok);
}

bool reader_load(struct reader_image *image, struct reader_error *error) {
    if (image->nodes)
        return true;
    // O_NONBLOCK: a pipe under a recording's name must not make us wait.
    int fd = open(image->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    struct input in = {.fd = fd, .error = error};
    bool ok = false;
    struct reader_image fresh = {.path = image->path};
    *error = (struct reader_error){0};
    if (fd < 0)
        refuse(&in, 0, "%s", errno == ELOOP ? "is a symbolic link" : strerror(errno));
    else if (fstat(fd, &status) != 0)
        refuse(&in, 0, "%s", strerror(errno));
    else if (!S_ISREG(status.st_mode))
        refuse(&in, 0, "not a regular file");
    else {
        in.size = (uint64_t)status.st_size;
        ok = read_image(&in, &fresh);
    }
    if (fd >= 0)
        close(fd);
    if (ok) {
        image->path = NULL;
        reader_free_image(image);
        *image = fresh;
        return true;
    }
    fresh.path = NULL;
    reader_free_image(&fresh);
    error->file = memory_copy(image->path, strlen(image->path));
    return false;
}

void reader_unload(struct reader_image *image) {
    free(image->modules);
    free(image->functions);
    free(image->frames);
    free(image->nodes);
    image->modules = NULL;
    image->functions = NULL;
    image->frames = NULL;
    image->nodes = NULL;
}

void reader_free_image(struct reader_image *image) {
    reader_unload(image);
    free(image->ticks);
    free(image->strings);
    free(image->reaped);
    free(image->path);
    *image = (struct reader_image){0};
}

const char *reader_string(const struct reader_image *image, uint32_t offset, size_t *length) {
    *length = 0;
    if (!offset || !image->strings)
        return "";
    uint32_t stored;
    memcpy(&stored, image->strings + offset, sizeof stored);
    *length = stored;
    return image->strings + offset + sizeof stored;
}
