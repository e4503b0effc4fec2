// SPDX-License-Identifier: MIT
//
// Stands in front of shim/sys.h in the shim that run.py builds: the system calls by which the shim gets
// memory and files fail when they are told to.
//
// PEAKLINE_FAULTS names a file with a struct fault, which all processes of a run share.

#ifndef PEAKLINE_TESTS_FAULTS_SYS_H
#define PEAKLINE_TESTS_FAULTS_SYS_H

#define sys_mmap fault_free_mmap
#define sys_fallocate fault_free_fallocate
#define sys_open fault_free_open
#define sys_pwrite fault_free_pwrite
#include "../../../shim/sys.h"
#undef sys_mmap
#undef sys_fallocate
#undef sys_open
#undef sys_pwrite

#include <errno.h>
#include <sys/mman.h>

struct fault {
    uint64_t calls; // so far
    uint64_t from;  // those with these numbers fail; the first is 1
    uint64_t until;
};

#define FAULT_SYSTEM 0
#define FAULT_ARENA 1

// One for the whole shim.
#define FAULT_ONE __attribute__((weak, visibility("hidden")))
extern struct fault *fault_shared;
FAULT_ONE struct fault *fault_shared;

// Finds the file by the environment that the process was started with: `environ` is not there yet.
__attribute__((noinline, cold, unused)) static void fault_find(void) {
    static struct fault none[2];
    static const char name[] = "PEAKLINE_FAULTS=";
    static char text[1 << 16];
    fault_shared = none;
    long fd = fault_free_open("/proc/self/environ", O_RDONLY | O_CLOEXEC, 0), got;
    size_t length = 0;
    while (!sys_failed(fd) && (got = sys_read((int)fd, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    sys_close((int)fd);
    for (const char *at = text; at < text + length; at += __builtin_strlen(at) + 1) {
        if (__builtin_strncmp(at, name, sizeof name - 1) != 0)
            continue;
        fd = fault_free_open(at + sizeof name - 1, O_RDWR | O_CLOEXEC, 0);
        if (sys_failed(fd))
            return;
        long shared = fault_free_mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
        sys_close((int)fd);
        if (!sys_failed(shared))
            fault_shared = (struct fault *)shared;
        return;
    }
}

static inline bool fault_due(unsigned which) {
    if (!fault_shared)
        fault_find();
    struct fault *fault = &fault_shared[which];
    uint64_t call = __atomic_add_fetch(&fault->calls, 1, __ATOMIC_RELAXED);
    return call >= fault->from && call <= fault->until;
}

static inline long sys_mmap(void *address, size_t size, int protection, int flags, int fd, uint64_t offset) {
    return fault_due(FAULT_SYSTEM) ? -ENOMEM : fault_free_mmap(address, size, protection, flags, fd, offset);
}

static inline long sys_fallocate(int fd, int mode, uint64_t offset, uint64_t length) {
    return fault_due(FAULT_SYSTEM) ? -ENOSPC : fault_free_fallocate(fd, mode, offset, length);
}

// Of a file system that takes blocks when they are written.
static inline long sys_pwrite(int fd, const void *buffer, size_t size, uint64_t offset) {
    return fault_due(FAULT_SYSTEM) ? -ENOSPC : fault_free_pwrite(fd, buffer, size, offset);
}

static inline long sys_open(const char *path, int flags, int mode) {
    return fault_due(FAULT_SYSTEM) ? -EMFILE : fault_free_open(path, flags, mode);
}

void *__real_arena_alloc(size_t size);
void *__real_arena_reserve(size_t size);
void *__wrap_arena_alloc(size_t size);
void *__wrap_arena_reserve(size_t size);

FAULT_ONE void *__wrap_arena_alloc(size_t size) {
    return fault_due(FAULT_ARENA) ? NULL : __real_arena_alloc(size);
}

FAULT_ONE void *__wrap_arena_reserve(size_t size) {
    return fault_due(FAULT_ARENA) ? NULL : __real_arena_reserve(size);
}

#endif
