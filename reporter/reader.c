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
#include "reporter/reader_check.h"
#include "reporter/reader_replay.h"

// Larger than any recording that the shim writes: what claims more is a hole with a header.
#define LARGEST_FILE ((uint64_t)8 << 30)

#define LOOKS 5 // at most, at a process that is running

struct input {
    int fd;
    uint64_t size;
    struct reader_error *error;
    // As last read:
    struct record_header header;
    struct record_extent extents[RECORD_EXTENTS_MAX];
};

static const size_t record_sizes[RECORD_TABLES] = {
    [RECORD_STRINGS] = 1,
    [RECORD_MODULES] = sizeof(struct record_module),
    [RECORD_FUNCTIONS] = sizeof(struct record_function),
    [RECORD_FRAMES] = sizeof(struct record_frame),
    [RECORD_NODES] = sizeof(struct record_node),
    [RECORD_REAPED] = sizeof(struct record_reaped),
    [RECORD_FOLDED] = sizeof(struct record_folded),
    [RECORD_JOURNALS] = sizeof(struct record_journal),
    [RECORD_ESTIMATES] = sizeof(struct record_estimate),
    [RECORD_SOURCES] = sizeof(struct record_source),
};

static const char *const table_names[RECORD_TABLES] = {"string", "module", "function", "frame",    "node",
                                                       "reaped", "folded", "journal",  "estimate", "source"};

__attribute__((format(printf, 3, 4))) static bool refuse(struct input *in, uint64_t offset,
                                                         const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(in->error->what, sizeof in->error->what, format, arguments);
    va_end(arguments);
    in->error->offset = offset;
    return false;
}

static bool refuse_short(struct input *in, uint64_t offset) {
    return refuse(in, offset, "cut short: it has %llu bytes", (unsigned long long)in->size);
}

static bool read_at(struct input *in, uint64_t offset, void *buffer, size_t size) {
    if (offset > in->size || size > in->size - offset)
        return refuse_short(in, in->size);
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

// The magic comes last: its process was killed within its first milliseconds, or is in them.
static bool refuse_other(struct input *in) {
    static const char none[sizeof in->header.magic];
    return refuse(in, 0,
                  memcmp(in->header.magic, none, sizeof none) == 0
                      ? "empty: its process ended before it could record anything"
                      : "not a recording");
}

static bool check_header(struct input *in) {
    const struct record_header *h = &in->header;
    if (memcmp(h->magic, RECORD_MAGIC, sizeof h->magic) != 0)
        return refuse_other(in);
    if (h->byte_order != 0x01020304)
        return refuse(in, offsetof(struct record_header, byte_order),
                      "written on a machine of another byte order");
    if (h->version != RECORD_VERSION)
        return refuse(in, offsetof(struct record_header, version),
                      "format version %u; this peakline reads version %d", h->version, RECORD_VERSION);
    if (h->header_size != sizeof *h || h->grain != RECORD_GRAIN)
        return refuse(in, offsetof(struct record_header, header_size),
                      "damaged: header of %u bytes, grain of %u", h->header_size, h->grain);
    if (h->extents > RECORD_EXTENTS_MAX)
        return refuse(in, offsetof(struct record_header, extents), "damaged: %u extents", h->extents);
    if (h->ticks > RECORD_TICKS_MAX)
        return refuse(in, offsetof(struct record_header, ticks), "damaged: %u ticks", h->ticks);
    if (h->marks > RECORD_MARKS_MAX)
        return refuse(in, offsetof(struct record_header, marks), "damaged: %u marks", h->marks);
    return in->size >= RECORD_FIRST_EXTENT || refuse_short(in, in->size);
}

// Reads the header and the list of extents as they are now.
static bool read_header(struct input *in) {
    struct stat status;
    if (fstat(in->fd, &status) != 0)
        return refuse(in, 0, "%s", strerror(errno));
    in->size = (uint64_t)status.st_size;
    if (in->size > LARGEST_FILE)
        return refuse(in, 0, "too large for a recording: %llu bytes", (unsigned long long)in->size);
    in->header = (struct record_header){0};
    size_t size = in->size < sizeof in->header ? (size_t)in->size : sizeof in->header;
    if (!read_at(in, 0, &in->header, size))
        return false;
    if (size < sizeof in->header)
        return size && memcmp(in->header.magic, RECORD_MAGIC, size < 8 ? size : 8) == 0
                   ? refuse_short(in, in->size)
                   : refuse_other(in);
    if (!check_header(in) ||
        !read_at(in, RECORD_EXTENTS_AT, in->extents, in->header.extents * sizeof *in->extents))
        return false;
    uint32_t bad = 0;
    bool cut;
    if (reader_check_extents(in->extents, in->header.extents, in->size, &bad, &cut))
        return true;
    uint64_t at = RECORD_EXTENTS_AT + bad * sizeof *in->extents;
    if (cut)
        return refuse(in, at, "cut short: extent %u ends behind the file's %llu bytes", bad,
                      (unsigned long long)in->size);
    return refuse(in, at, "damaged: extent %u makes no sense", bad);
}

// Reads one table as it is now.
static bool read_table(struct input *in, enum record_table table, void **records, uint32_t *count) {
    if (!read_header(in))
        return false;
    const struct record_table_info *info = &in->header.tables[table];
    uint64_t info_at = offsetof(struct record_header, tables) + table * sizeof *info;
    if (info->count && info->record_size != record_sizes[table])
        return refuse(in, info_at, "damaged: %s records of %u bytes", table_names[table], info->record_size);
    uint64_t room = 0;
    for (uint32_t i = 0; i < in->header.extents; i++)
        if (in->extents[i].table == table)
            room += (uint64_t)in->extents[i].grains * RECORD_GRAIN;
    if (info->count > room / record_sizes[table] || info->count > UINT32_MAX - 1)
        return refuse(in, info_at, "damaged: %llu entries in a %s table of %llu bytes",
                      (unsigned long long)info->count, table_names[table], (unsigned long long)room);

    uint64_t left = info->count * record_sizes[table];
    char *buffer = memory_alloc(info->count, record_sizes[table]);
    *records = buffer;
    *count = (uint32_t)info->count;
    for (uint32_t i = 0; i < in->header.extents && left; i++) {
        if (in->extents[i].table != table)
            continue;
        uint64_t size = (uint64_t)in->extents[i].grains * RECORD_GRAIN;
        size = size < left ? size : left;
        if (!read_at(in, in->extents[i].offset, buffer, size))
            return false;
        buffer += size;
        left -= size;
    }
    return true;
}

// The process may be running while we read. An entry is published before anything refers to it, so each table
// is read after those that refer to it, and holds whatever they name. The counters of the header are those of
// the first look.
static bool read_tables(struct input *in, struct reader_image *image, struct record_journal **journals,
                        uint32_t *journal_count) {
    const struct {
        enum record_table table;
        void **records;
        uint32_t *count;
    } tables[] = {
        {RECORD_JOURNALS, (void **)journals, journal_count},
        {RECORD_ESTIMATES, (void **)&image->estimates, &image->estimate_count},
        {RECORD_SOURCES, (void **)&image->sources, &image->source_count},
        {RECORD_NODES, (void **)&image->nodes, &image->node_count},
        {RECORD_FRAMES, (void **)&image->frames, &image->frame_count},
        {RECORD_FUNCTIONS, (void **)&image->functions, &image->function_count},
        {RECORD_FOLDED, (void **)&image->folded, &image->folded_count},
        {RECORD_MODULES, (void **)&image->modules, &image->module_count},
        {RECORD_REAPED, (void **)&image->reaped, &image->reaped_count},
        {RECORD_STRINGS, (void **)&image->strings, &image->string_bytes},
    };
    if (!read_header(in))
        return false;
    image->header = in->header;
    image->tick_count = in->header.ticks;
    image->ticks = memory_alloc(in->header.ticks, sizeof *image->ticks);
    image->mark_count = in->header.marks;
    image->marks = memory_alloc(in->header.marks, sizeof *image->marks);
    if (!read_at(in, RECORD_TICKS_AT, image->ticks, in->header.ticks * sizeof *image->ticks) ||
        !read_at(in, RECORD_MARKS_AT, image->marks, in->header.marks * sizeof *image->marks))
        return false;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (!read_table(in, tables[i].table, tables[i].records, tables[i].count))
            return false;
    image->file_size = in->size;
    return true;
}

// Where a record is in the file, for messages.
static uint64_t locate(const struct input *in, enum record_table table, uint64_t offset) {
    for (uint32_t i = 0; i < in->header.extents; i++) {
        if (in->extents[i].table != table)
            continue;
        uint64_t size = (uint64_t)in->extents[i].grains * RECORD_GRAIN;
        if (offset < size)
            return in->extents[i].offset + offset;
        offset -= size;
    }
    return 0;
}

// A frame for what is left of those that were forgotten, in each function that had any.
static void add_rests(struct reader_image *image) {
    uint32_t rests = 0;
    for (uint32_t i = 1; i < image->function_count; i++)
        rests += image->functions[i].forgotten != 0;
    if (!rests || !image->frame_count)
        return;
    image->frames = memory_resize(image->frames, (size_t)image->frame_count + rests, sizeof *image->frames);
    for (uint32_t i = 1; i < image->function_count; i++) {
        const struct record_function *function = &image->functions[i];
        if (!function->forgotten)
            continue;
        image->frames[image->frame_count++] =
            (struct record_frame){.function = i,
                                  .module = function->module,
                                  .offset = function->language == RECORD_NATIVE ? function->offset : 0,
                                  .flags = RECORD_FRAME_EXACT_PC | READER_FRAME_REST};
    }
}

static bool read_image(struct input *in, struct reader_image *image) {
    struct reader_fault fault;
    struct record_journal *journals = NULL;
    uint32_t journal_count = 0;
    // Numbers of frames that were forgotten meanwhile may name other lines now: look again.
    for (int looks = 0; looks < LOOKS; looks++) {
        reader_free_image(image);
        free(journals);
        journals = NULL;
        if (!read_tables(in, image, &journals, &journal_count)) {
            free(journals);
            return false;
        }
        if (in->header.forgotten_lines == image->header.forgotten_lines)
            break;
    }
    bool good = reader_check(image, &fault);
    if (good) {
        reader_replay(image, journals, journal_count);
        add_rests(image);
    }
    free(journals);
    if (good)
        return true;
    if (!fault.record)
        return refuse(in, fault.offset, "damaged: %s", fault.what);
    return refuse(in, locate(in, fault.table, fault.record * record_sizes[fault.table]),
                  "damaged: %s %u makes no sense", table_names[fault.table], fault.record);
}

// O_NONBLOCK: a pipe under a recording's name must not make us wait.
static int open_image(const char *path) {
    return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

bool reader_look_again(struct reader_image *image) {
    struct record_header *known = &image->header, now;
    const int fd = open_image(image->path);
    if (fd < 0)
        return false;
    const bool same = pread(fd, &now, sizeof now, 0) == (ssize_t)sizeof now &&
                      memcmp(now.magic, known->magic, sizeof now.magic) == 0 &&
                      now.version == known->version && now.pid == known->pid &&
                      now.start_ticks == known->start_ticks &&
                      now.start_monotonic_ns == known->start_monotonic_ns;
    close(fd);
    if (!same || now.end == RECORD_RUNNING)
        return false;
    known->end = now.end;
    known->exit_code = now.exit_code;
    known->end_signal = now.end_signal;
    known->end_ns = now.end_ns;
    return true;
}

bool reader_load(struct reader_image *image, struct reader_error *error) {
    if (image->nodes)
        return true;
    struct input *in = memory_alloc(1, sizeof *in);
    struct reader_image fresh = {0};
    struct stat status;
    *error = (struct reader_error){0};
    in->error = error;
    in->fd = open_image(image->path);
    bool ok = false;
    if (in->fd < 0)
        refuse(in, 0, "%s", errno == ELOOP ? "a symbolic link" : strerror(errno));
    else if (fstat(in->fd, &status) != 0 || !S_ISREG(status.st_mode))
        refuse(in, 0, "not a regular file");
    else
        ok = read_image(in, &fresh);
    if (in->fd >= 0)
        close(in->fd);
    free(in);
    if (!ok) {
        reader_free_image(&fresh);
        error->file = memory_copy(image->path, strlen(image->path));
        return false;
    }
    fresh.path = image->path;
    image->path = NULL;
    reader_free_image(image);
    *image = fresh;
    return true;
}

void reader_unload(struct reader_image *image) {
    free(image->modules);
    free(image->functions);
    free(image->frames);
    free(image->nodes);
    free(image->folded);
    free(image->estimates);
    free(image->sources);
    image->modules = NULL;
    image->functions = NULL;
    image->frames = NULL;
    image->nodes = NULL;
    image->folded = NULL;
    image->estimates = NULL;
    image->sources = NULL;
}

void reader_free_image(struct reader_image *image) {
    reader_unload(image);
    free(image->ticks);
    free(image->marks);
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
