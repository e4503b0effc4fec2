// SPDX-License-Identifier: MIT

#include "shim/disk.h"
#include "shim/clock.h"
#include "shim/journal.h"
#include "shim/recording.h"
#include "shim/shim.h"

#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/statfs.h>

#define DISK_LOOK_NS 50000000u         // 50 ms
#define DISK_ROOM ((uint64_t)32 << 20) // less is little, in a file system of more than
#define DISK_ROOM_PART 8               // times that; in a smaller one this part of it

void disk_open(int fd) {
    struct statfs system;
    if (sys_failed(sys_call(SYS_fstatfs, fd, (long)&system, 0, 0, 0, 0)))
        return;
    // An overlay passes the mark on to what is below it, which can be anything.
    const bool overlay = system.f_type == OVERLAYFS_SUPER_MAGIC;
    if (system.f_type != BTRFS_SUPER_MAGIC && !overlay)
        return;
    int flags = 0; // the requests' names say long, and mean int
    bool marked = !sys_failed(sys_call(SYS_ioctl, fd, FS_IOC_GETFLAGS, (long)&flags, 0, 0, 0));
    flags |= FS_NOCOW_FL;
    marked = marked && !sys_failed(sys_call(SYS_ioctl, fd, FS_IOC_SETFLAGS, (long)&flags, 0, 0, 0));
    shim.disk_watched = marked || !overlay;
}

static bool disk_is_short(void) {
    struct statfs system;
    if (sys_failed(sys_call(SYS_statfs, (long)shim.file_path, (long)&system, 0, 0, 0, 0)))
        return false;
    const uint64_t part = (uint64_t)system.f_blocks * (uint64_t)system.f_bsize / DISK_ROOM_PART;
    return (uint64_t)system.f_bavail * (uint64_t)system.f_bsize < (part < DISK_ROOM ? part : DISK_ROOM);
}

// `address` becomes plain memory with the same content; `room` is used for it.
static void disk_take(char *room, void *address, size_t length) {
    if (!length)
        return;
    __builtin_memcpy(room, address, length);
    sys_madvise(room, length, MADV_DONTFORK);
    sys_call(SYS_mremap, (long)room, (long)length, (long)length, MREMAP_MAYMOVE | MREMAP_FIXED, (long)address,
             0);
}

// What other threads have put down in the header without a lock while it was copied is in the file.
static void disk_take_late(int fd) {
    struct record_header late;
    if (sys_call(SYS_pread64, fd, (long)&late, sizeof late, 0, 0, 0) != sizeof late)
        return;
    __atomic_fetch_or(&shim.header->flags, late.flags, __ATOMIC_RELAXED);
    if (shim.header->unknown_frees < late.unknown_frees)
        shim.header->unknown_frees = late.unknown_frees;
    for (int i = 0; i < RECORD_LOSSES; i++)
        if (shim.header->lost[i] < late.lost[i])
            shim.header->lost[i] = late.lost[i];
}

static void disk_leave(void) {
    const int fd = recording_reopen();
    if (fd < 0)
        return;
    long memory = sys_mmap(NULL, shim.file_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!sys_failed(memory) && journal_stop_all(NULL)) {
        char *room = (char *)memory;
        for (int i = 0; i < RECORD_TABLES; i++) {
            disk_take(room, shim.tables[i].base, shim.tables[i].mapped);
            room += shim.tables[i].mapped;
        }
        disk_take(room, shim.header, RECORD_FIRST_EXTENT);
        disk_take_late(fd);
        // So it is until the rest is written.
        __atomic_fetch_or(&shim.header->flags, RECORD_FLAG_DISK_SHORT, __ATOMIC_RELAXED);
        sys_pwrite(fd, shim.header, sizeof *shim.header, 0);
        shim.file_private = shim.file_left = true;
        shim.disk_watched = false;
        journal_release_all(NULL);
    } else if (!sys_failed(memory)) {
        sys_munmap((void *)memory, shim.file_size);
    }
    sys_close(fd);
}

void disk_look(void) {
    const uint64_t now = clock_coarse();
    if (now < shim.disk_next)
        return;
    shim.disk_next = now + DISK_LOOK_NS;
    if (disk_is_short())
        disk_leave();
}
