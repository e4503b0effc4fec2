// SPDX-License-Identifier: MIT
//
// Finds the shim and makes its path fit for LD_PRELOAD.

#include "reporter/preload.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reporter/message.h"

static const char preload_special[] = " :$\t\n";
static const char preload_name[] = "libpeakline.so";

// A directory in `place` that only this user can change; malloc'd, NULL and errno when there is none.
static char *preload_directory(const char *place) {
    char *path = NULL;
    struct stat info;
    if (asprintf(&path, "%s/peakline-%lu", place, (unsigned long)geteuid()) < 0)
        return NULL;
    if (mkdir(path, 0700) == 0)
        return path;
    if (errno != EEXIST) {
        free(path);
        return NULL;
    }
    // The place itself has to be one where others cannot rename what is ours: sticky, or not theirs to write
    // to.
    if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() &&
        (info.st_mode & (S_IWGRP | S_IWOTH)) == 0)
        return path;
    free(path);
    if (asprintf(&path, "%s/peakline-XXXXXX", place) < 0)
        return NULL;
    if (mkdtemp(path) != NULL)
        return path;
    free(path);
    return NULL;
}

// A link to `shim` in the directory, new or from an earlier run; malloc'd, NULL and errno on failure.
static char *preload_link_in(const char *directory, const char *shim) {
    uint64_t hash = 14695981039346656037u; // FNV-1a
    for (const char *at = shim; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 1099511628211u;
    for (unsigned attempt = 0; attempt < 16; attempt++) {
        char *link = NULL, target[PATH_MAX];
        if (asprintf(&link, "%s/%016lx-%u.so", directory, (unsigned long)hash, attempt) < 0)
            return NULL;
        if (symlink(shim, link) == 0)
            return link;
        ssize_t length = errno == EEXIST ? readlink(link, target, sizeof target) : -1;
        if (length == (ssize_t)strlen(shim) && memcmp(target, shim, (size_t)length) == 0)
            return link;
        free(link);
        if (length < 0)
            return NULL;
    }
    errno = EEXIST;
    return NULL;
}

static char *preload_link(const char *shim) {
    const char *const places[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"};
    int error = ENOENT;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (places[i] == NULL || places[i][0] != '/' || strpbrk(places[i], preload_special) != NULL)
            continue;
        char *directory = preload_directory(places[i]);
        char *link = directory != NULL ? preload_link_in(directory, shim) : NULL;
        error = errno;
        free(directory);
        if (link != NULL)
            return link;
    }
    message_print(
        "%s has a path that LD_PRELOAD cannot hold, and no temporary directory takes a link to it (%s); "
        "set TMPDIR to one that does",
        shim, strerror(error));
    return NULL;
}

char *preload_find(void) {
    static const char *const places[] = {"", "../lib/peakline/"};
    char executable[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", executable, sizeof executable - 1);
    if (length <= 0) {
        message_print("/proc/self/exe cannot be read (%s), so the shim cannot be found; is /proc mounted?",
                      strerror(errno));
        return NULL;
    }
    executable[length] = '\0';
    strrchr(executable, '/')[1] = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s%s%s", executable, places[i], preload_name) < 0)
            return NULL;
        char *shim = realpath(path, NULL);
        free(path);
        if (shim != NULL && access(shim, R_OK) == 0) {
            if (strpbrk(shim, preload_special) == NULL)
                return shim;
            char *link = preload_link(shim);
            free(shim);
            return link;
        }
        free(shim);
    }
    message_print("%s is neither in %s nor in %s../lib/peakline; run `make`, or install peakline again",
                  preload_name, executable, executable);
    return NULL;
}

char *preload_python(const char *shim) {
    static const char name[] = "python";
    char *path = realpath(shim, NULL), *directory = NULL;
    if (path == NULL)
        return NULL;
    strrchr(path, '/')[1] = '\0';
    if (asprintf(&directory, "%s%s", path, name) < 0)
        directory = NULL;
    free(path);
    struct stat info;
    if (directory != NULL && strchr(directory, ':') == NULL && stat(directory, &info) == 0 &&
        S_ISDIR(info.st_mode))
        return directory;
    free(directory);
    return NULL;
}

char *preload_list(const char *entry, const char *old) {
    char *value = NULL;
    size_t length = strlen(entry);
    if (old == NULL || *old == '\0') // an empty entry would mean the current directory
        return strdup(entry);
    if (strncmp(old, entry, length) == 0 && (old[length] == '\0' || old[length] == ':'))
        return strdup(old);
    return asprintf(&value, "%s:%s", entry, old) < 0 ? NULL : value;
}

char *preload_prepend(const char *shim, const char *old) {
    char *value = NULL;
    size_t length = strlen(shim);
    if (old == NULL || *old == '\0')
        return strdup(shim);
    // Under another `peakline run` it is there already.
    if (strncmp(old, shim, length) == 0 && (old[length] == '\0' || old[length] == ':' || old[length] == ' '))
        return strdup(old);
    return asprintf(&value, "%s:%s", shim, old) < 0 ? NULL : value;
}
