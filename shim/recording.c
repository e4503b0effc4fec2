// SPDX-License-Identifier: MIT
//
// The recording file. It is opened again for each growth instead of being kept open: a descriptor of ours
// would be visible to the host, and after the host's closefrom() its number could be somebody else's file.

#include "shim/recording.h"
#include "shim/arena.h"
#include "shim/budget.h"
#include "shim/clock.h"
#include "shim/config.h"
#include "shim/disk.h"
#include "shim/shim.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define RECORDING_IMAGES_MAX 100000 // files per pid that are tried
#define RECORDING_STEP 16384        // bytes: the least that a table grows by
#define RECORDING_PAGE 4096

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 // Linux 5.14
#endif

static const uint32_t recording_sizes[RECORD_TABLES] = {
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

// Most of the cap that a table may take, in sixteenths. Nodes and frames can be forgotten, so they and what
// is kept of them leave a quarter for what cannot.
static const unsigned recording_share[RECORD_TABLES] = {
    [RECORD_STRINGS] = 4,   [RECORD_MODULES] = 1, [RECORD_FUNCTIONS] = 3, [RECORD_FRAMES] = 3,
    [RECORD_NODES] = 5,     [RECORD_REAPED] = 1,  [RECORD_FOLDED] = 4,    [RECORD_JOURNALS] = 1,
    [RECORD_ESTIMATES] = 4, [RECORD_SOURCES] = 1,
};

// Grains at first, for some hundred contexts. Processes can be many, and small: what most of them never need
// has none.
static const uint32_t recording_first[RECORD_TABLES] = {
    [RECORD_STRINGS] = 2, [RECORD_MODULES] = 1, [RECORD_FUNCTIONS] = 2, [RECORD_FRAMES] = 2,
    [RECORD_NODES] = 4,   [RECORD_FOLDED] = 2,  [RECORD_JOURNALS] = 2,
};

static struct record_extent *recording_extents(void) {
    return (struct record_extent *)((char *)shim.header + RECORD_EXTENTS_AT);
}

static struct record_header *recording_noted; // not wiped by fork: a child's parent's, until it has its own

static void recording_no_room(uint32_t error) {
    if (!shim.room_error)
        shim.room_error = error;
    if (shim.header && !shim.header->room_error)
        shim.header->room_error = error;
}

int recording_reopen(void) {
    long fd = sys_open(shim.file_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    if (sys_failed(fd)) {
        recording_no_room((uint32_t)-fd);
        return -1;
    }
    struct stat status;
    if (sys_failed(sys_call(SYS_fstat, fd, (long)&status, 0, 0, 0, 0)) || status.st_dev != shim.file_device ||
        status.st_ino != shim.file_inode) {
        recording_no_room(RECORD_ROOM_MOVED);
        sys_close((int)fd);
        return -1;
    }
    return (int)fd;
}

static bool recording_write(int fd, const char *bytes, uint64_t length, uint64_t at) {
    while (length) {
        const long written = sys_pwrite(fd, bytes, length, at);
        if (written == -EINTR)
            continue;
        if (written <= 0) {
            recording_no_room(written < 0 ? (uint32_t)-written : ENOSPC);
            return false;
        }
        bytes += written;
        at += (uint64_t)written;
        length -= (uint64_t)written;
    }
    return true;
}

// The page cache has the pages then. To touch one that it has not takes five to ten times as long: it is
// read, with its neighbours, though the disk has nothing there.
static bool recording_write_zeros(int fd, uint64_t from, uint64_t length) {
    static char zeros[1u << 16]; // never written: it takes no memory
    for (uint64_t part; length; from += part, length -= part) {
        part = length < sizeof zeros ? length : sizeof zeros;
        if (!recording_write(fd, zeros, part, from))
            return false;
    }
    return true;
}

static bool recording_within_limit(uint64_t end) {
    struct rlimit limit;
    return sys_failed(sys_call(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0, 0)) ||
           end <= limit.rlim_cur;
}

// Writing past RLIMIT_FSIZE would send the host a signal.
static bool recording_may_write(uint64_t end) {
    if (recording_within_limit(end))
        return true;
    recording_no_room(RECORD_ROOM_LIMIT);
    return false;
}

// Disk blocks for [from, from + length), so that touching them cannot fault (but see disk.h).
static bool recording_allocate(int fd, uint64_t from, uint64_t length) {
    if (!recording_may_write(from + length))
        return false;
    long result;
    do {
        result = sys_fallocate(fd, 0, from, length);
    } while (result == -EINTR);
    if (sys_failed(result) && result != -EOPNOTSUPP && result != -ENOSYS) {
        recording_no_room((uint32_t)-result);
        return false;
    }
    return recording_write_zeros(fd, from, length);
}

// The pages of the header, and of the lists behind it, that are always needed: their first ones.
#define RECORDING_HEAD_PAGE(offset) (1u << (offset) / RECORDING_PAGE)
_Static_assert(RECORD_EXTENTS_AT == RECORDING_PAGE, "the list of extents follows the header's page");

static bool recording_allocate_head(int fd) {
    if (!recording_allocate(fd, 0, 2 * RECORDING_PAGE) ||
        !recording_allocate(fd, RECORD_TICKS_AT, RECORDING_PAGE))
        return false;
    shim.head_pages = RECORDING_HEAD_PAGE(0) | RECORDING_HEAD_PAGE(RECORD_EXTENTS_AT) |
                      RECORDING_HEAD_PAGE(RECORD_TICKS_AT);
    return true;
}

// Whether the file has to have blocks for what is written to the tables.
static bool recording_needs_blocks(void) {
    return !shim.file_private || shim.file_left; // then for what is written at the end
}

// `fd`: of the file, where that needs blocks.
static bool recording_reserve_page(int fd, size_t offset) {
    const uint32_t page = RECORDING_HEAD_PAGE(offset);
    if (shim_likely(shim.head_pages & page))
        return true;
    if (fd >= 0 && !recording_allocate(fd, offset & ~(size_t)(RECORDING_PAGE - 1), RECORDING_PAGE))
        return false;
    shim.head_pages |= page;
    return true;
}

bool recording_reserve_head(size_t offset) {
    if (shim_likely(shim.head_pages & RECORDING_HEAD_PAGE(offset)))
        return true;
    int fd = -1;
    if (recording_needs_blocks() && (shim.file_full || (fd = recording_reopen()) < 0))
        return false;
    const bool reserved = recording_reserve_page(fd, offset);
    if (fd >= 0)
        sys_close(fd);
    return reserved;
}

static bool recording_map(int fd, char *address, uint64_t offset, size_t length) {
    int flags = shim.file_private ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED : MAP_SHARED | MAP_FIXED;
    long result = sys_mmap(address, length, PROT_READ | PROT_WRITE, flags, shim.file_private ? -1 : fd,
                           shim.file_private ? 0 : offset);
    if (sys_failed(result))
        return false;
    sys_madvise(address, length, MADV_DONTFORK);
    return true;
}

static void recording_add_extent(enum record_table which, uint64_t offset, uint64_t length) {
    struct record_header *header = shim.header;
    recording_extents()[header->extents] =
        (struct record_extent){.table = which, .grains = (uint32_t)(length / RECORD_GRAIN), .offset = offset};
    __atomic_store_n(&header->extents, header->extents + 1, __ATOMIC_RELEASE);
}

// Blocks for what is mapped already.
static bool recording_populate(struct table *table, uint64_t length) {
    long result;
    do {
        result = sys_madvise(table->base + table->mapped, length, MADV_POPULATE_WRITE);
    } while (result == -EINTR);
    if (sys_failed(result)) {
        recording_no_room(result == -EFAULT ? ENOSPC : (uint32_t)-result);
        shim.file_full = true;
        shim_lose(RECORD_LOST_NO_SPACE);
        return false;
    }
    table->mapped += length;
    shim.file_size += length;
    return true;
}

void recording_map_ahead(void) {
    const struct record_header *header = shim.header;
    uint64_t at = shim.file_size, end = at;
    if (shim.file_private || shim.file_full || shim.file_ahead || shim.disk_watched ||
        header->extents + RECORD_TABLES > RECORD_EXTENTS_MAX ||
        sys_failed(sys_madvise(shim.header, 0, MADV_POPULATE_WRITE))) // before Linux 5.14
        return;
    for (int i = 0; i < RECORD_TABLES; i++)
        end += shim.tables[i].reserved - shim.tables[i].mapped;
    const int fd = recording_within_limit(end) ? recording_reopen() : -1;
    if (fd < 0)
        return;
    bool good = !sys_failed(sys_call(SYS_ftruncate, fd, (long)end, 0, 0, 0, 0));
    for (size_t page = 0; good && page < RECORD_FIRST_EXTENT; page += RECORDING_PAGE)
        good = recording_reserve_page(fd, page);
    for (uint32_t i = 0; good && i < RECORD_TABLES; i++) {
        struct table *table = &shim.tables[i];
        const size_t length = table->reserved - table->mapped;
        if (!length)
            continue;
        if (!recording_map(fd, table->base + table->mapped, at, length)) {
            shim.file_full = true; // its place in the file may be taken
            break;
        }
        recording_add_extent(i, at, length);
        table->ahead = table->reserved;
        at += length;
        shim.file_ahead = true;
    }
    sys_close(fd);
}

// The table gets an eighth of its size more, but not less than a step.
static bool recording_grow(enum record_table which) {
    struct table *table = &shim.tables[which];
    struct record_header *header = shim.header;
    if (shim.file_full || (header->extents >= RECORD_EXTENTS_MAX && table->ahead <= table->mapped))
        return false;
    uint64_t length = (table->mapped / 8 + RECORD_GRAIN - 1) & ~(uint64_t)(RECORD_GRAIN - 1);
    if (length < RECORDING_STEP)
        length = RECORDING_STEP;
    uint64_t room = config.max_size - shim.file_size;
    if (room > table->reserved - table->mapped)
        room = table->reserved - table->mapped;
    if (length > room)
        length = room & ~(uint64_t)(RECORD_GRAIN - 1);
    if (length == 0)
        return false;
    if (table->ahead > table->mapped)
        return recording_populate(table, length);
    const size_t entry = RECORD_EXTENTS_AT + header->extents * sizeof(struct record_extent);
    int fd = -1;
    if (recording_needs_blocks()) {
        fd = recording_reopen();
        if (fd < 0) {
            shim_lose(RECORD_LOST_NO_SPACE);
            return false;
        }
        if (!recording_reserve_page(fd, entry) || !recording_allocate(fd, shim.file_size, length)) {
            // Asking again with every new context would be slow, and a disk that is full stays so for long.
            shim.file_full = true;
            shim_lose(RECORD_LOST_NO_SPACE);
            sys_close(fd);
            return false;
        }
    }
    bool mapped = recording_map(fd, table->base + table->mapped, shim.file_size, length);
    if (fd >= 0)
        sys_close(fd);
    if (!mapped)
        return false;
    recording_add_extent(which, shim.file_size, length);
    table->mapped += length;
    shim.file_size += length;
    return true;
}

// The number of the table's next record.
static inline uint64_t recording_next(enum record_table which) {
    const uint64_t count = shim.header->tables[which].count;
    return count ? count : 1; // record 0 is "none"
}

bool recording_reserve(enum record_table which, uint32_t records) {
    struct table *table = &shim.tables[which];
    uint64_t end = (recording_next(which) + records) * recording_sizes[which];
    while (end > table->mapped)
        if (!recording_grow(which))
            return false;
    return true;
}

void recording_stock(void) {
    static const uint32_t records[RECORD_TABLES] = {
        [RECORD_STRINGS] = 64u << 10, [RECORD_MODULES] = 32,  [RECORD_FUNCTIONS] = 1024,
        [RECORD_FRAMES] = 2048,       [RECORD_NODES] = 3072,  [RECORD_REAPED] = 64,
        [RECORD_FOLDED] = 2048,       [RECORD_JOURNALS] = 16,
    };
    for (uint32_t i = 0; i < RECORD_TABLES; i++)
        recording_reserve(i, records[i]);
    for (size_t page = 0; page < RECORD_FIRST_EXTENT; page += RECORDING_PAGE)
        recording_reserve_head(page);
    shim.file_full = true;
    recording_no_room(EPERM);
}

void recording_unstock(void) {
    shim.file_full = false;
    shim.room_error = shim.header->room_error = 0;
}

void recording_put(enum record_table which, uint32_t number, const void *entry) {
    const size_t size = recording_sizes[which];
    volatile uint64_t *to = (uint64_t *)(shim.tables[which].base + number * size); // or it becomes a memcpy
    const uint64_t *from = entry;
    for (size_t word = 0; word < size / sizeof *to; word++)
        to[word] = from[word];
}

uint32_t recording_append(enum record_table which, const void *entry) {
    struct table *table = &shim.tables[which];
    struct record_table_info *info = &shim.header->tables[which];
    size_t size = recording_sizes[which];
    const uint64_t next = recording_next(which);
    if (next >= UINT32_MAX || ((next + 1) * size > table->mapped && !recording_grow(which)))
        return 0;
    uint32_t number = (uint32_t)next;
    recording_put(which, number, entry);
    __atomic_store_n(&info->count, number + 1, __ATOMIC_RELEASE);
    return number;
}

uint32_t recording_string(const char *bytes, size_t length) {
    struct table *table = &shim.tables[RECORD_STRINGS];
    struct record_table_info *info = &shim.header->tables[RECORD_STRINGS];
    if (length > UINT16_MAX)
        length = UINT16_MAX; // longer than any path; a name cut here is still a name
    uint64_t need = (sizeof(struct record_string) + length + 7) & ~(uint64_t)7;
    while (info->count + need > table->mapped) {
        if (info->count + need > UINT32_MAX || !recording_grow(RECORD_STRINGS))
            return 0;
    }
    struct record_string *string = (struct record_string *)(table->base + info->count);
    uint32_t offset = (uint32_t)info->count;
    string->length = (uint32_t)length;
    char *to = string->bytes;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(bytes), "+c"(length) : : "memory"); // recording_put
    __atomic_store_n(&info->count, info->count + need, __ATOMIC_RELEASE);
    return offset;
}

// Opens <output>/<pid>.<n> with the first n that is free.
static int recording_create(uint32_t *image) {
    size_t length = __builtin_strlen(config.output);
    char *path = shim.file_path;
    __builtin_memcpy(path, config.output, length);
    path[length++] = '/';
    length += sys_decimal(path + length, shim.pid);
    path[length++] = '.';
    for (uint32_t n = 0; n < RECORDING_IMAGES_MAX; n++) {
        sys_decimal(path + length, n);
        long fd = sys_open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd == -EEXIST)
            continue;
        *image = n;
        if (!sys_failed(fd))
            return (int)fd;
        recording_no_room((uint32_t)-fd);
        return -1;
    }
    recording_no_room(EEXIST);
    return -1;
}

static uint32_t recording_file_string(const char *path, size_t most) {
    long fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (sys_failed(fd))
        return 0;
    char *buffer = arena_alloc(most);
    size_t length = 0;
    long got;
    while (buffer && length < most && (got = sys_read((int)fd, buffer + length, most - length)) > 0)
        length += (size_t)got;
    sys_close((int)fd);
    uint32_t string = length ? recording_string(buffer, length) : 0;
    arena_free(buffer, most);
    return string;
}

static uint32_t recording_link_string(const char *path) {
    char target[4096];
    long length = sys_call(SYS_readlink, (long)path, (long)target, sizeof target, 0, 0, 0);
    return length > 0 ? recording_string(target, (size_t)length) : 0;
}

// Field 22 of /proc/self/stat: the process's start, in clock ticks since boot. The command name may hold
// anything, so fields are counted from its last ')'.
static uint64_t recording_start_ticks(void) {
    char text[1024];
    sys_read_text("/proc/self/stat", text, sizeof text);
    char *at = __builtin_strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) {
        at++;
        while (*at && *at != ' ')
            at++;
    }
    uint64_t value = 0;
    if (at && *at == ' ')
        for (at++; *at >= '0' && *at <= '9'; at++)
            value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

static void recording_boot_id(uint8_t out[16]) {
    char text[64];
    sys_read_text("/proc/sys/kernel/random/boot_id", text, sizeof text);
    unsigned nibble = 0;
    for (const char *c = text; *c && nibble < 32; c++) {
        unsigned value;
        if (*c >= '0' && *c <= '9')
            value = (unsigned)(*c - '0');
        else if (*c >= 'a' && *c <= 'f')
            value = (unsigned)(*c - 'a' + 10);
        else
            continue;
        out[nibble / 2] = (uint8_t)(out[nibble / 2] | value << (nibble % 2 ? 0 : 4));
        nibble++;
    }
}

void recording_abandon(void) {
    for (int i = 0; i < RECORD_TABLES; i++)
        if (shim.tables[i].base)
            sys_munmap(shim.tables[i].base, shim.tables[i].reserved);
    if (shim.header)
        sys_munmap(shim.header, RECORD_FIRST_EXTENT);
    __builtin_memset(shim.tables, 0, sizeof shim.tables);
    shim.header = NULL;
    shim.ticks = NULL;
    shim.marks = NULL;
    sys_call(SYS_unlink, (long)shim.file_path, 0, 0, 0, 0, 0);
}

static bool recording_map_all(int fd) {
    uint32_t grains = 0;
    for (uint32_t i = 0; i < RECORD_TABLES; i++)
        grains += recording_first[i];
    if (!recording_allocate_head(fd) ||
        !recording_allocate(fd, RECORD_FIRST_EXTENT, (uint64_t)grains * RECORD_GRAIN))
        return false;
    long header = sys_mmap(NULL, RECORD_FIRST_EXTENT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (sys_failed(header)) {
        shim.file_private = true;
        header =
            sys_mmap(NULL, RECORD_FIRST_EXTENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (sys_failed(header))
            return false;
    }
    shim.header = (struct record_header *)header;
    // The header's own page is inherited, for a child that can have no file: recording_missing.
    sys_madvise((char *)shim.header + RECORDING_PAGE, RECORD_FIRST_EXTENT - RECORDING_PAGE, MADV_DONTFORK);
    shim.ticks = (struct record_tick *)((char *)shim.header + RECORD_TICKS_AT);
    shim.marks = (struct record_mark *)((char *)shim.header + RECORD_MARKS_AT);
    shim.file_size = RECORD_FIRST_EXTENT;
    for (uint32_t i = 0; i < RECORD_TABLES; i++) {
        struct table *table = &shim.tables[i];
        size_t reserved = (size_t)(config.max_size / 16 * recording_share[i]) & ~(size_t)(RECORD_GRAIN - 1);
        long base = sys_mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (sys_failed(base))
            return false;
        sys_madvise((void *)base, reserved, MADV_DONTFORK);
        table->base = (char *)base;
        table->reserved = reserved;
        shim.header->tables[i].record_size = recording_sizes[i];
        if (!recording_first[i])
            continue;
        const size_t length = recording_first[i] * (size_t)RECORD_GRAIN;
        if (!recording_map(fd, table->base, shim.file_size, length))
            return false;
        table->mapped = length;
        recording_add_extent(i, shim.file_size, length);
        shim.file_size += length;
        shim.header->tables[i].count = i == RECORD_STRINGS ? 8 : 1; // entry 0 is "none"
    }
    budget_open();
    return true;
}

bool recording_open(void) {
    uint32_t image = 0;
    int fd = recording_create(&image);
    if (fd < 0)
        return false;
    struct stat status = {.st_dev = 0};
    bool good = !sys_failed(sys_call(SYS_fstat, fd, (long)&status, 0, 0, 0, 0));
    if (good) {
        shim.file_device = status.st_dev;
        shim.file_inode = status.st_ino;
        disk_open(fd);
        good = recording_map_all(fd);
    }
    sys_close(fd);
    if (!good) {
        recording_abandon();
        return false;
    }
    struct record_header *header = shim.header;
    header->version = RECORD_VERSION;
    header->header_size = sizeof *header;
    header->byte_order = 0x01020304;
    header->grain = RECORD_GRAIN;
    header->pid = shim.pid;
    header->parent_pid = (uint32_t)sys_call(SYS_getppid, 0, 0, 0, 0, 0, 0);
    header->image = image;
    header->objects = RECORD_OBJECTS_OFF;
    header->start_realtime_ns = clock_realtime();
    header->start_monotonic_ns = clock_monotonic();
    header->start_ticks = recording_start_ticks();
    recording_boot_id(header->boot_id);
    header->command = recording_file_string("/proc/self/cmdline", 1 << 16);
    char cwd[4096];
    long length = sys_call(SYS_getcwd, (long)cwd, sizeof cwd, 0, 0, 0, 0);
    header->cwd = length > 1 ? recording_string(cwd, (size_t)length - 1) : 0; // counts its NUL
    header->executable = recording_link_string("/proc/self/exe");
    header->shim_version = recording_string(PEAKLINE_VERSION, sizeof PEAKLINE_VERSION - 1);
    if (shim.file_private)
        header->flags |= RECORD_FLAG_PRIVATE;
    if (config.lowered)
        header->flags |= RECORD_FLAG_SCARCE;
    if (config.lowered_data)
        header->flags |= RECORD_FLAG_SCARCE_DATA;
    // The magic comes last: before it, the file is nothing.
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __builtin_memcpy(header->magic, RECORD_MAGIC, sizeof header->magic);
    recording_flush(); // a process that is killed leaves at least its name, where tables are private
    return true;
}

void recording_ready(void) {
    if (recording_noted)
        sys_munmap(recording_noted, RECORDING_PAGE);
    recording_noted = shim.header;
}

void recording_missing(void) {
    struct record_header *parent = recording_noted;
    uint32_t none = 0;
    if (!parent)
        return;
    __atomic_fetch_add(&parent->lost[RECORD_LOST_CHILDREN], 1, __ATOMIC_RELAXED);
    __atomic_compare_exchange_n(&parent->room_error, &none, shim.room_error, false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
}

void recording_end(enum record_end end, int exit_code) {
    struct record_header *header = shim.header;
    uint64_t now = clock_monotonic() - header->start_monotonic_ns;
    header->exit_code = exit_code & 0xff;
    header->end_ns = now;
    __atomic_store_n(&header->end, (uint32_t)end, __ATOMIC_RELEASE);
    if (shim.file_left)
        __atomic_fetch_and(&header->flags, ~(uint32_t)RECORD_FLAG_DISK_SHORT, __ATOMIC_RELAXED);
    recording_flush();
}

void recording_go_on(void) {
    __atomic_store_n(&shim.header->end, (uint32_t)RECORD_RUNNING, __ATOMIC_RELEASE);
    if (shim.file_left)
        __atomic_fetch_or(&shim.header->flags, RECORD_FLAG_DISK_SHORT, __ATOMIC_RELAXED);
    const int fd = shim.file_private ? recording_reopen() : -1;
    if (fd >= 0) {
        recording_write(fd, (const char *)shim.header, sizeof *shim.header, 0);
        sys_close(fd);
    }
}

void recording_flush(void) {
    if (!shim.file_private)
        return;
    int fd = recording_reopen();
    if (fd < 0)
        return;
    const struct record_extent *extents = recording_extents();
    size_t done[RECORD_TABLES] = {0};
    // Zeros would be all that remains on a full disk of a file that has its blocks.
    bool good =
        shim.file_left ? recording_may_write(shim.file_size) : recording_allocate(fd, 0, shim.file_size);
    for (uint32_t i = 0; good && i < shim.header->extents; i++) {
        size_t length = (size_t)extents[i].grains * RECORD_GRAIN;
        good = recording_write(fd, shim.tables[extents[i].table].base + done[extents[i].table], length,
                               extents[i].offset);
        done[extents[i].table] += length;
    }
    // Only what has blocks: on a full disk there would be none for the others.
    for (uint64_t at = 0; good && at < RECORD_FIRST_EXTENT; at += RECORDING_PAGE)
        if (shim.head_pages & RECORDING_HEAD_PAGE(at))
            good = recording_write(fd, (const char *)shim.header + at, RECORDING_PAGE, at);
    sys_close(fd);
}
