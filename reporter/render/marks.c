// SPDX-License-Identifier: MIT
//
// The instants that a program named, in the order of time. See render.h.

#include <stdlib.h>

#include "reporter/render/render.h"
#include "reporter/text.h"

#define MARKS_LISTED 20 // of more, the first and the last half of so many
#define MARKS_COLUMNS 12

static const char *print_time(char out[TEXT_SIZE_MAX], double seconds) {
    if (seconds >= 100)
        return text_seconds(out, seconds);
    snprintf(out, TEXT_SIZE_MAX, "%.3f s", seconds); // marks follow each other quickly
    return out;
}

static void print_row(const struct render_options *options, const struct reader_image *image,
                      const struct record_mark *mark, bool mapped, FILE *out) {
    char text[TEXT_SIZE_MAX];
    size_t length;
    const char *bytes = reader_string(image, mark->name, &length);
    char *name = text_escape(bytes, length, 0);
    fprintf(out, "%18s", print_time(text, (double)mark->time_ns / 1e9));
    fprintf(out, "%*s", MARKS_COLUMNS,
            render_size(options, text, mark->heap_bytes > 0 ? mark->heap_bytes : 0));
    if (mapped)
        fprintf(out, "%*s", MARKS_COLUMNS,
                render_size(options, text, mark->mapped_bytes > 0 ? mark->mapped_bytes : 0));
    fprintf(out, "%*s", MARKS_COLUMNS,
            mark->rss_kib ? render_size(options, text, (int64_t)mark->rss_kib * 1024) : "");
    fprintf(out, "  %s\n", length ? name : "(no name)");
    free(name);
}

void marks_print(const struct model_process *process, const struct render_options *options, FILE *out) {
    const struct reader_image *image = process->image;
    uint32_t count = image->mark_count;
    bool mapped = false;
    if (!count)
        return;
    for (uint32_t i = 0; i < count; i++)
        mapped |= image->marks[i].mapped_bytes > 0;
    fprintf(out, "%18s%*s%s%*s  Mark\n", "Time", MARKS_COLUMNS, "Heap", mapped ? "      Mapped" : "",
            MARKS_COLUMNS, "RSS");
    for (uint32_t i = 0; i < count; i++) {
        if (count > MARKS_LISTED && i == MARKS_LISTED / 2) {
            i = count - MARKS_LISTED / 2;
            fprintf(out, "%18s  %u more marks: --format json has them all\n", "...", count - MARKS_LISTED);
        }
        print_row(options, image, &image->marks[i], mapped, out);
    }
    fputc('\n', out);
}
