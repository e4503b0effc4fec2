// SPDX-License-Identifier: MIT
//
// Completes the header of a dead process's file.

#include "reporter/closing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/record_format.h"

// Opens a process's file and reads its header. -1 when it is not one.
static int closing_open(int directory, const char *name, int flags, struct record_header *header) {
    struct stat info;
    // Nothing but a regular file, and no link: the directory may be one that others can write to.
    int fd = openat(directory, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
        pread(fd, header, sizeof *header, 0) == (ssize_t)sizeof *header &&
        memcmp(header->magic, RECORD_MAGIC, sizeof header->magic) == 0 && header->version == RECORD_VERSION &&
        header->header_size == sizeof *header)
        return fd;
    close(fd);
    return -1;
}

// "<pid>.<n>" taken apart.
static bool closing_parse_name(const char *name, unsigned long *pid, unsigned long *image) {
    char *rest;
    if (*name < '0' || *name > '9')
        return false;
    *pid = strtoul(name, &rest, 10);
    if (*rest != '.' || rest[1] < '0' || rest[1] > '9')
        return false;
    *image = strtoul(rest + 1, &rest, 10);
    return *rest == '\0';
}

#define CLOSING_PUT(fd, header, field)                                                                       \
    (pwrite(fd, &(header)->field, sizeof(header)->field, offsetof(struct record_header, field)) ==           \
     (ssize_t)sizeof(header)->field)

static void closing_fill(int fd, struct record_header *header, int status, uint64_t monotonic_ns) {
    uint32_t end = WIFSIGNALED(status) ? RECORD_SIGNALLED : RECORD_EXITED;
    header->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    header->end_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    // A process that said itself when it exited knows better than we, who may have been stopped since.
    if (header->end != RECORD_EXITED || end != RECORD_EXITED)
        header->end_ns =
            monotonic_ns > header->start_monotonic_ns ? monotonic_ns - header->start_monotonic_ns : 0;
    header->end = end;
    // `end` last: it is what says that the others hold.
    if (CLOSING_PUT(fd, header, exit_code) && CLOSING_PUT(fd, header, end_signal) &&
        CLOSING_PUT(fd, header, end_ns))
        (void)CLOSING_PUT(fd, header, end);
}

enum closing closing_write(const char *recording, pid_t pid, int status, uint64_t rss_peak_bytes,
                           uint64_t monotonic_ns) {
    DIR *stream = opendir(recording);
    unsigned long newest = 0, files = 0, name_pid, image;
    bool found = false;
    if (stream == NULL)
        return CLOSING_NOTHING;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (!closing_parse_name(entry->d_name, &name_pid, &image))
            continue;
        files++;
        if (name_pid == (unsigned long)pid && (!found || image > newest)) {
            found = true;
            newest = image;
        }
    }
    enum closing result = CLOSING_NOTHING;
    char name[64];
    struct record_header header;
    snprintf(name, sizeof name, "%lu.%lu", (unsigned long)pid, newest);
    int fd = found ? closing_open(dirfd(stream), name, O_RDWR, &header) : -1;
    if (fd >= 0) {
        result = header.end == RECORD_REPLACED ? CLOSING_REPLACED : CLOSING_WRITTEN;
        if (files == 1 && result == CLOSING_WRITTEN && rss_peak_bytes > header.rss_peak_bytes) {
            header.rss_peak_bytes = rss_peak_bytes;
            (void)CLOSING_PUT(fd, &header, rss_peak_bytes);
        }
        if (result == CLOSING_WRITTEN)
            closing_fill(fd, &header, status, monotonic_ns);
        close(fd);
    }
    closedir(stream);
    return result;
}
