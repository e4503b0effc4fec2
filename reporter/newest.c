// SPDX-License-Identifier: MIT
//
// The newest recording in the current directory. See newest.h.

#include "reporter/newest.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reporter/memory.h"

// Whether the directory holds at least one file named like a process's, PID.N.
static bool is_recording(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    bool found = false;
    if (!directory)
        return false;
    for (const struct dirent *entry; !found && (entry = readdir(directory));) {
        size_t digits = strspn(entry->d_name, "0123456789");
        const char *rest = entry->d_name + digits;
        found = digits && rest[0] == '.' && rest[1] && !rest[1 + strspn(rest + 1, "0123456789")];
    }
    closedir(directory);
    return found;
}

static bool is_later(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

char *newest_find(void) {
    DIR *directory = opendir(".");
    char *newest = NULL;
    struct timespec changed = {0};
    if (!directory)
        return NULL;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        struct stat status;
        if (strncmp(entry->d_name, "peakline-", 9) != 0 ||
            fstatat(dirfd(directory), entry->d_name, &status, 0) != 0 || !S_ISDIR(status.st_mode) ||
            (newest && !is_later(&status.st_mtim, &changed)) ||
            !is_recording(dirfd(directory), entry->d_name))
            continue;
        free(newest);
        newest = memory_copy(entry->d_name, strlen(entry->d_name));
        changed = status.st_mtim;
    }
    closedir(directory);
    return newest;
}
