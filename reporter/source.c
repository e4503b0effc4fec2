// SPDX-License-Identifier: MIT
//
// Source files. See source.h; where functions end is in source_extent.c.

#include "reporter/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reporter/memory.h"

#define LARGEST_SOURCE (32 << 20)
#define LARGEST_TEXTS (16 << 20) // all texts that are not in files: several records may name the same bytes

struct source {
    bool found, packed;
    const char *text; // somebody else's, `text_size` bytes; NULL = it is a file
    size_t text_size;
    uint64_t changed_ns; // since 1970
    char *bytes;
    size_t *line_at; // where each line begins; one more entry for the end
    uint32_t line_count;
};

struct source_cache {
    struct pool *pool;
    struct map *numbers; // by path
    struct source **sources;
    size_t capacity;
    size_t texts; // bytes
};

struct source_cache *source_cache_new(void) {
    struct source_cache *cache = memory_alloc(1, sizeof *cache);
    cache->pool = pool_new();
    cache->numbers = map_new();
    return cache;
}

void source_cache_free(struct source_cache *cache) {
    if (!cache)
        return;
    for (uint32_t i = 0; i < map_count(cache->numbers); i++) {
        free(cache->sources[i]->bytes);
        free(cache->sources[i]->line_at);
        free(cache->sources[i]);
    }
    free(cache->sources);
    map_free(cache->numbers);
    pool_free(cache->pool);
    free(cache);
}

// Lines end at \n, \r\n or \r, as Python counts them.
static void split_lines(struct source *source, size_t size) {
    size_t count = 0, capacity = 0;
    for (size_t at = 0; at < size;) {
        source->line_at = memory_grow(source->line_at, count + 1, &capacity, sizeof *source->line_at);
        source->line_at[count++] = at;
        while (at < size && source->bytes[at] != '\n' && source->bytes[at] != '\r')
            at++;
        if (at + 1 < size && source->bytes[at] == '\r' && source->bytes[at + 1] == '\n')
            at++;
        at++;
    }
    source->line_at = memory_resize(source->line_at, count + 1, sizeof *source->line_at);
    source->line_at[count] = size;
    source->line_count = (uint32_t)count;
}

static void read_source(struct source *source, const char *path) {
    // O_NONBLOCK: the name comes out of the recording, and might be a pipe's.
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    source->packed = fd < 0 && errno == ENOTDIR;
    if (fd < 0)
        return;
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > LARGEST_SOURCE) {
        close(fd);
        return;
    }
    size_t size = (size_t)status.st_size, done = 0;
    source->bytes = memory_alloc(size, 1);
    while (done < size) {
        ssize_t got = read(fd, source->bytes + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    close(fd);
    if (done < size)
        return;
    source->found = true;
    source->changed_ns = (uint64_t)status.st_mtim.tv_sec * 1000000000u + (uint64_t)status.st_mtim.tv_nsec;
    split_lines(source, size);
}

// Where a file is, or its name, where it is none; NULL = not known. The caller frees it.
static char *find_path(const char *file, const char *cwd) {
    if (!file || !file[0])
        return NULL;
    if (file[0] == '/' || file[0] == '<')
        return memory_copy(file, strlen(file));
    return cwd && cwd[0] == '/' ? memory_print("%s/%s", cwd, file) : NULL;
}

// *added: it is new, and empty.
static struct source *find_source(struct source_cache *cache, const char *path, bool *added) {
    const char *key = path ? pool_intern_string(cache->pool, path) : NULL;
    uint32_t number = map_number(cache->numbers, (struct map_key){{(uintptr_t)key}}, added);
    if (*added) {
        cache->sources = memory_grow(cache->sources, number, &cache->capacity, sizeof *cache->sources);
        cache->sources[number] = memory_alloc(1, sizeof **cache->sources);
    }
    return cache->sources[number];
}

void source_add(struct source_cache *cache, const char *file, const char *cwd, const char *text,
                size_t length) {
    char *path = find_path(file, cwd);
    bool added;
    struct source *source = find_source(cache, path, &added);
    if (path && added) {
        source->text = text;
        source->text_size = length;
    }
    free(path);
}

const struct source *source_open(struct source_cache *cache, const char *file, const char *cwd) {
    char *path = find_path(file, cwd);
    bool added;
    struct source *source = find_source(cache, path, &added);
    if (added && path && path[0] == '/')
        read_source(source, path);
    if (source->text && !source->found && source->text_size <= LARGEST_TEXTS - cache->texts) {
        cache->texts += source->text_size;
        source->bytes = memory_copy(source->text, source->text_size);
        source->found = true;
        split_lines(source, source->text_size);
    }
    free(path);
    return source;
}

bool source_is_text(const struct source *source) {
    return source->text != NULL;
}

enum source_state source_state(const struct source *source, uint64_t recorded_ns) {
    if (!source->found)
        return source->packed ? SOURCE_PACKED : SOURCE_MISSING;
    return source->changed_ns > recorded_ns ? SOURCE_NEWER : SOURCE_GOOD;
}

uint32_t source_line_count(const struct source *source) {
    return source->line_count;
}

const char *source_line(const struct source *source, uint32_t line, size_t *length) {
    *length = 0;
    if (!line || line > source->line_count)
        return "";
    const char *begin = source->bytes + source->line_at[line - 1];
    size_t size = source->line_at[line] - source->line_at[line - 1];
    while (size && (begin[size - 1] == '\n' || begin[size - 1] == '\r'))
        size--;
    *length = size;
    return begin;
}
