// SPDX-License-Identifier: MIT
// needs: reporter/reader.c reporter/reader_check.c reporter/reader_replay.c reporter/reader_recording.c reporter/memory.c reporter/model.c reporter/ending.c reporter/metrics.c reporter/accounts.c reporter/errors.c reporter/select.c reporter/users.c reporter/source.c reporter/source_extent.c reporter/text.c reporter/message.c reporter/symbolize.c reporter/natives.c reporter/debuginfo.c reporter/render/render.c reporter/render/notes.c reporter/render/json.c reporter/render/emit.c reporter/render/table.c reporter/render/listing.c reporter/render/marks.c tests/unit/recording_builder.c
//
// Damaged recordings, through everything that reads them: reader, model, metrics, JSON and table.
//
// An input is a list of changes to a recording that is well-formed: 4 bytes where, 8 bytes what. The last
// byte of `where` chooses the table (or the header), so that most changes hit something that matters. An
// input that begins with the format's magic is taken for a whole file.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reporter/render/render.h"
#include "tests/unit/recording_builder.h"

static unsigned char *seed;
static size_t seed_size;
static char directory[64];

// Python and native contexts, recursion, folded nodes, forgotten lines, several modules.
static void make_seed(void) {
    struct builder *b = builder_new(7, 0);
    static const char *const argv[] = {"python3", "eval.py", NULL};
    builder_command(b, argv);
    uint32_t module = builder_module(b, "/lib/libx.so"), other = builder_module(b, "/lib/liby.so");
    uint32_t functions[] = {builder_python(b, "a.py", "<module>", 1), builder_python(b, "a.py", "f", 3),
                            builder_native(b, module, 0x1000), builder_native(b, other, 0),
                            builder_native(b, 0, 0x7000)};
    uint32_t scope = builder_line(b, builder_scope(b, "load"), 0);
    b->functions[functions[1]].chosen = 1;
    uint32_t frames[10], nodes[60] = {1};
    for (unsigned i = 0; i < 10; i++)
        frames[i] = i == 9  ? scope
                    : i < 4 ? builder_line(b, functions[i % 2], i + 1)
                            : builder_site(b, functions[2 + i % 3], 16 * i);
    for (unsigned i = 1; i < 60; i++) {
        nodes[i] = builder_node(b, nodes[i * 7 % i / 2], frames[i * 5 % 10]);
        builder_allocate(b, nodes[i], i * 10);
        if (i % 3)
            builder_release(b, nodes[i], i * 4, nodes[i / 2 + 1]);
    }
    for (unsigned i = 59; i > 30; i--) {
        bool leaf = true;
        for (uint32_t n = 2; n < b->node_count; n++)
            leaf &= b->nodes[n].parent != nodes[i] || !b->nodes[n].frame;
        if (leaf && b->nodes[nodes[i]].frame)
            builder_fold(b, nodes[i]);
    }
    for (unsigned i = 0; i < 3; i++) { // one in a function with others, two that are all of theirs
        uint32_t function = i == 0   ? functions[0]
                            : i == 1 ? builder_python(b, "b.py", "gone", 9)
                                     : builder_native(b, module, 0x2000);
        uint32_t frame = i < 2 ? builder_line(b, function, 90 + i) : builder_site(b, function, 0x2010);
        uint32_t node = builder_node(b, nodes[3], frame);
        builder_allocate(b, node, 55);
        builder_fold(b, node);
        builder_forget(b, frame);
    }
    for (unsigned i = 59; i > 50; i--) // folded or not
        builder_release(b, nodes[i], i, nodes[2]);
    b->frames[frames[1]].flags |= RECORD_FRAME_AGAIN;
    builder_allocate(b, nodes[5], 77);
    builder_reaped(b, 7, 9, 5);
    b->header.ticks = 3;
    b->header.marks = 2;
    b->marks[0].name = b->marks[1].name = b->functions[functions[1]].name;
    seed = builder_image(b, &seed_size);
    builder_free(b);
}

// Where the header, the list of extents, the ticks and each table lie.
static size_t region(unsigned char which, size_t *size) {
    static const size_t head[][2] = {{0, sizeof(struct record_header)},
                                     {RECORD_EXTENTS_AT, RECORD_TABLES * 16},
                                     {RECORD_TICKS_AT, 96},
                                     {RECORD_MARKS_AT, 64}};
    const unsigned heads = sizeof head / sizeof *head, index = which % (heads + RECORD_TABLES);
    if (index < heads) {
        *size = head[index][1];
        return head[index][0];
    }
    struct record_extent extent;
    struct record_header header;
    memcpy(&header, seed, sizeof header);
    memcpy(&extent, seed + RECORD_EXTENTS_AT + (index - heads) * sizeof extent, sizeof extent);
    const struct record_table_info *info = &header.tables[extent.table];
    *size = info->count * info->record_size;
    return extent.offset;
}

static void change(unsigned char *file, const uint8_t *data, size_t size) {
    for (; size >= 12; data += 12, size -= 12) {
        uint32_t where;
        size_t length;
        memcpy(&where, data, sizeof where);
        size_t begin = region((unsigned char)(where >> 24), &length);
        size_t at = (where & 0xffffff) % length;
        size_t bytes = (size_t)1 << (where >> 22 & 3); // 1, 2, 4 or 8
        at -= at % bytes;
        memcpy(file + begin + at, data + 4, bytes);
    }
}

static void read_all(const char *format, FILE *out) {
    struct reader_error error;
    struct render_input input = {.model = model_open(directory, &error)};
    if (!input.model) {
        free(error.file);
        return;
    }
    input.options.contexts = true;
    for (const struct render_format *f = render_formats; f->name; f++)
        if (strcmp(f->name, format) == 0 && !f->print(&input, out, &error))
            free(error.file);
    model_close(input.model);
}

static void clean_up(void) {
    char path[80];
    snprintf(path, sizeof path, "%s/7.0", directory);
    unlink(path);
    rmdir(directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static FILE *out;
    if (!seed) {
        make_seed();
        snprintf(directory, sizeof directory, "%s/peakline-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (!mkdtemp(directory) || !(out = fopen("/dev/null", "w")))
            abort();
        atexit(clean_up);
    }
    if (size >= 8 && memcmp(data, RECORD_MAGIC, 8) == 0) {
        builder_write_bytes(directory, "7.0", data, size);
    } else {
        unsigned char *file = malloc(seed_size);
        if (!file)
            abort();
        memcpy(file, seed, seed_size);
        change(file, data, size);
        builder_write_bytes(directory, "7.0", file, seed_size);
        free(file);
    }
    read_all("json", out);
    read_all("table", out);
    return 0;
}
