// SPDX-License-Identifier: MIT
//
// Finds and reads the files of a recording. See reader.h.

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reporter/memory.h"
#include "reporter/reader.h"

// Tables beyond this many bytes are dropped after they were checked, and read again when they are needed: so
// a recording of a thousand processes does not need a thousand times the memory of one.
#define KEEP_BYTES ((uint64_t)512 << 20)

// `<pid>.<n>`: decimal numbers without leading zeros.
static bool parse_number(const char **text, uint32_t *number) {
    const char *at = *text;
    if (*at < '0' || *at > '9' || (*at == '0' && at[1] >= '0' && at[1] <= '9'))
        return false;
    uint64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        if ((value = value * 10 + (uint64_t)(*at - '0')) > UINT32_MAX)
            return false;
    *text = at;
    *number = (uint32_t)value;
    return true;
}

static bool is_image_name(const char *name) {
    uint32_t pid, image;
    if (!parse_number(&name, &pid) || !pid || *name++ != '.')
        return false;
    return parse_number(&name, &image) && !*name;
}

static void add_file(struct reader_recording *recording, char *path, uint64_t *kept) {
    struct reader_image image = {.path = path};
    struct reader_error error;
    if (!reader_load(&image, &error)) {
        recording->errors =
            memory_resize(recording->errors, recording->error_count + 1, sizeof *recording->errors);
        recording->errors[recording->error_count++] = error;
        free(path);
        return;
    }
    *kept += image.file_size;
    if (*kept > KEEP_BYTES)
        reader_unload(&image);
    recording->images = memory_resize(recording->images, recording->image_count + 1, sizeof image);
    recording->images[recording->image_count++] = image;
}

static int compare_images(const void *a, const void *b) {
    const struct record_header *x = &((const struct reader_image *)a)->header;
    const struct record_header *y = &((const struct reader_image *)b)->header;
    if (x->pid != y->pid)
        return x->pid < y->pid ? -1 : 1;
    return (x->image > y->image) - (x->image < y->image);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool fail(struct reader_error *error, const char *path, const char *what) {
    *error = (struct reader_error){.file = memory_copy(path, strlen(path))};
    snprintf(error->what, sizeof error->what, "%s", what);
    return false;
}

static bool read_directory(struct reader_recording *recording, struct reader_error *error) {
    DIR *directory = opendir(recording->path);
    if (!directory)
        return fail(error, recording->path, strerror(errno));
    char **names = NULL;
    size_t count = 0, capacity = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (!is_image_name(entry->d_name))
            continue;
        names = memory_grow(names, count, &capacity, sizeof *names);
        names[count++] = memory_copy(entry->d_name, strlen(entry->d_name));
    }
    closedir(directory);
    if (count)
        qsort(names, count, sizeof *names, compare_names);
    uint64_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        add_file(recording, memory_print("%s/%s", recording->path, names[i]), &kept);
        free(names[i]);
    }
    free(names);
    if (!count)
        return fail(error, recording->path, "not a recording: no file in it is named PID.N");
    return true;
}

struct reader_recording *reader_open(const char *path, struct reader_error *error) {
    struct reader_recording *recording = memory_alloc(1, sizeof *recording);
    struct stat status;
    uint64_t kept = 0;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    recording->path = memory_copy(path, length);
    *error = (struct reader_error){0};
    bool ok = true;
    if (stat(recording->path, &status) != 0)
        ok = fail(error, path, strerror(errno));
    else if (S_ISDIR(status.st_mode))
        ok = read_directory(recording, error);
    else {
        // The user may name a file through a symbolic link.
        char *real = realpath(recording->path, NULL);
        add_file(recording, real ? real : memory_copy(recording->path, length), &kept);
    }

    if (ok && !recording->image_count) {
        // Nothing is left: the first damaged file tells why.
        *error = recording->errors[0];
        recording->errors[0].file = NULL;
        ok = false;
    }
    if (!ok) {
        reader_close(recording);
        return NULL;
    }
    qsort(recording->images, recording->image_count, sizeof *recording->images, compare_images);
    return recording;
}

void reader_close(struct reader_recording *recording) {
    if (!recording)
        return;
    for (size_t i = 0; i < recording->image_count; i++)
        reader_free_image(&recording->images[i]);
    for (size_t i = 0; i < recording->error_count; i++)
        free(recording->errors[i].file);
    free(recording->images);
    free(recording->errors);
    free(recording->path);
    free(recording);
}
