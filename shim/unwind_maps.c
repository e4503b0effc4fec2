// SPDX-License-Identifier: MIT
//
// A table of modules under a sequence lock: odd while it is being rewritten. Paths are kept for good, since
// callers hold on to them.

#include "shim/unwind_maps.h"
#include "shim/arena.h"
#include "shim/sys.h"

#define MAPS_MODULES 1024
#define MAPS_PATHS 131072
#define MAPS_BUFFER 8192 // a line is a path of 4096 bytes and a hundred more
#define MAPS_PAUSE                                                                                           \
    (1 << 24) // ticks of the time-stamp counter between two readings for addresses of no module

struct maps_module {
    uintptr_t start, end, bias, frame_header;
    const char *path;
};

struct unwind_modules {
    uint32_t sequence;
    uint32_t stale;
    uint32_t count;
    uint32_t paths_used;
    uint64_t read_at;
    struct maps_module modules[MAPS_MODULES];
    char paths[MAPS_PATHS];
    char buffer[MAPS_BUFFER];
};

static struct unwind_modules **maps_table;

void unwind_maps_init(struct unwind_modules **table) {
    maps_table = table;
}

// One line of the file, as far as it matters here.
struct maps_line {
    uintptr_t start, end, offset, inode;
    bool readable, executable;
    const char *path;
    size_t length;
};

static uintptr_t maps_number(const char **at, const char *end, unsigned base) {
    uintptr_t value = 0;
    for (; *at < end; ++*at) {
        unsigned digit = (unsigned char)**at;
        digit = digit >= 'a' ? digit - 'a' + 10 : digit - '0';
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    return value;
}

static void maps_skip(const char **at, const char *end, char separator) {
    while (*at < end && **at != separator)
        ++*at;
    while (*at < end && **at == separator)
        ++*at;
}

// "start-end rwxp offset device inode      path"
static struct maps_line maps_parse(const char *at, const char *end) {
    struct maps_line line = {0};
    line.start = maps_number(&at, end, 16);
    maps_skip(&at, end, '-');
    line.end = maps_number(&at, end, 16);
    maps_skip(&at, end, ' ');
    if (end - at >= 4) {
        line.readable = at[0] == 'r';
        line.executable = at[2] == 'x';
    }
    maps_skip(&at, end, ' ');
    line.offset = maps_number(&at, end, 16);
    maps_skip(&at, end, ' ');
    maps_skip(&at, end, ' ');
    line.inode = maps_number(&at, end, 10);
    maps_skip(&at, end, ' ');
    line.path = at;
    line.length = (size_t)(end - at);
    return line;
}

static const char *maps_keep(struct unwind_modules *table, const char *path, size_t length) {
    for (uint32_t at = 0; at < table->paths_used;) {
        size_t kept = __builtin_strlen(table->paths + at);
        if (kept == length && __builtin_memcmp(table->paths + at, path, length) == 0)
            return table->paths + at;
        at += (uint32_t)kept + 1;
    }
    if (length >= MAPS_PATHS - table->paths_used)
        return "";
    char *kept = table->paths + table->paths_used;
    __builtin_memcpy(kept, path, length);
    table->paths_used += (uint32_t)length + 1;
    return kept;
}

// What readers may see is stored after the sequence number was made odd, and loaded before it is looked at
// again.
static void maps_store(uintptr_t *place, uintptr_t value) {
    __atomic_store_n(place, value, __ATOMIC_RELEASE);
}

static uintptr_t maps_load(const uintptr_t *place) {
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

// A module is a file whose beginning is mapped and which has code mapped behind it; a library that is only
// being read as a file has no code.
static void maps_line(struct unwind_modules *table, const struct maps_line *line, struct maps_line *head) {
    if (line->inode == 0)
        return;
    if (line->offset == 0 && line->readable)
        *head = *line;
    if (!line->executable || head->inode != line->inode || table->count == MAPS_MODULES)
        return;
    struct unwind_object object;
    if (unwind_find_image(head->start, &object) && line->end <= object.end) {
        struct maps_module *module = &table->modules[table->count];
        maps_store(&module->start, object.start);
        maps_store(&module->end, object.end);
        maps_store(&module->bias, object.bias);
        maps_store(&module->frame_header, object.frame_header);
        __atomic_store_n(&module->path, maps_keep(table, line->path, line->length), __ATOMIC_RELEASE);
        __atomic_store_n(&table->count, table->count + 1, __ATOMIC_RELEASE);
    }
    head->inode = 0;
}

static void maps_read(struct unwind_modules *table) {
    __atomic_store_n(&table->count, 0, __ATOMIC_RELEASE);
    long file = sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (sys_failed(file))
        return;
    size_t filled = 0;
    struct maps_line head = {0};
    for (;;) {
        long got = sys_read((int)file, table->buffer + filled, MAPS_BUFFER - filled);
        if (got <= 0)
            break;
        filled += (size_t)got;
        const char *at = table->buffer, *end = table->buffer + filled;
        for (;;) {
            const char *newline = __builtin_memchr(at, '\n', (size_t)(end - at));
            if (!newline)
                break;
            struct maps_line line = maps_parse(at, newline);
            maps_line(table, &line, &head);
            at = newline + 1;
        }
        filled = (size_t)(end - at);
        if (filled == MAPS_BUFFER)
            break;
        __builtin_memmove(table->buffer, at, filled);
    }
    sys_close((int)file);
}

// One thread reads the file; the others go on without. Reading is for changes, and once in a while for
// addresses that nobody knows: code may have come without our being told.
static void maps_refresh(struct unwind_modules *table) {
    uint64_t read_at = __atomic_load_n(&table->read_at, __ATOMIC_RELAXED);
    if (!__atomic_load_n(&table->stale, __ATOMIC_ACQUIRE) && __builtin_ia32_rdtsc() - read_at < MAPS_PAUSE)
        return;
    uint32_t sequence = __atomic_load_n(&table->sequence, __ATOMIC_RELAXED);
    if ((sequence & 1) || !__atomic_compare_exchange_n(&table->sequence, &sequence, sequence + 1, false,
                                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&table->stale, 0, __ATOMIC_RELEASE);
    maps_read(table);
    __atomic_store_n(&table->read_at, __builtin_ia32_rdtsc(), __ATOMIC_RELAXED);
    __atomic_store_n(&table->sequence, sequence + 2, __ATOMIC_RELEASE);
}

static bool maps_search(struct unwind_modules *table, uintptr_t address, struct unwind_object *out) {
    uint32_t before = __atomic_load_n(&table->sequence, __ATOMIC_ACQUIRE);
    if ((before & 1) || __atomic_load_n(&table->stale, __ATOMIC_RELAXED))
        return false;
    bool found = false;
    uint32_t count = __atomic_load_n(&table->count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count && !found; i++) {
        const struct maps_module *module = &table->modules[i];
        uintptr_t start = maps_load(&module->start), end = maps_load(&module->end);
        if (address - start >= end - start)
            continue;
        out->start = start;
        out->end = end;
        out->bias = maps_load(&module->bias);
        out->frame_header = maps_load(&module->frame_header);
        out->path = __atomic_load_n(&module->path, __ATOMIC_ACQUIRE);
        found = true;
    }
    return found && __atomic_load_n(&table->sequence, __ATOMIC_RELAXED) == before;
}

bool unwind_maps_find(uintptr_t address, struct unwind_object *out) {
    if (!maps_table)
        return false;
    struct unwind_modules *table = __atomic_load_n(maps_table, __ATOMIC_ACQUIRE);
    if (!table) {
        struct unwind_modules *mine = arena_alloc(sizeof *mine);
        if (!mine)
            return false;
        mine->stale = 1;
        if (__atomic_compare_exchange_n(maps_table, &table, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            table = mine;
        else
            arena_free(mine, sizeof *mine);
    }
    if (maps_search(table, address, out))
        return true;
    maps_refresh(table);
    return maps_search(table, address, out);
}

void unwind_maps_forget(void) {
    struct unwind_modules *table = maps_table ? __atomic_load_n(maps_table, __ATOMIC_ACQUIRE) : NULL;
    if (table)
        __atomic_store_n(&table->stale, 1, __ATOMIC_RELEASE);
}
