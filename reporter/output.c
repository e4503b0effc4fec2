// SPDX-License-Identifier: MIT
//
// Makes, replaces and takes back the directory of a recording.

#include "reporter/output.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reporter/message.h"
#include "shim/record_format.h"

// What a process's file takes at its start, roughly. Less room than that records nothing.
enum { OUTPUT_ROOM = 256 * 1024 };

// Whether `name` can be the name of a process's file: `<pid>.<n>`.
static bool output_is_file_name(const char *name) {
    size_t pid = strspn(name, "0123456789");
    if (pid == 0 || name[pid] != '.')
        return false;
    size_t n = strspn(name + pid + 1, "0123456789");
    return n > 0 && name[pid + 1 + n] == '\0';
}

static bool output_is_recorded_file(int directory, const char *name) {
    char magic[sizeof RECORD_MAGIC - 1];
    struct stat info;
    if (!output_is_file_name(name))
        return false;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    // A file that its process never came to fill in is empty or all zero.
    bool yes = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    if (yes && info.st_size > 0)
        yes = read(fd, magic, sizeof magic) == sizeof magic &&
              (memcmp(magic, RECORD_MAGIC, sizeof magic) == 0 || memcmp(magic, "\0\0\0\0\0\0\0", 8) == 0);
    close(fd);
    return yes;
}

// The first entry of the directory that does not belong to a recording, malloc'd; NULL when all do. With
// `remove`, each that does is unlinked.
static char *output_foreign(const char *path, bool remove) {
    DIR *stream = opendir(path);
    char *foreign = NULL;
    if (stream == NULL)
        return strdup("(unreadable)");
    for (struct dirent *entry; foreign == NULL && (entry = readdir(stream)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!output_is_recorded_file(dirfd(stream), entry->d_name))
            foreign = strdup(entry->d_name);
        else if (remove)
            unlinkat(dirfd(stream), entry->d_name, 0);
    }
    closedir(stream);
    return foreign;
}

char *output_absolute(const char *name) {
    char *path = NULL, *cwd = NULL;
    size_t length = strlen(name);
    while (length > 1 && name[length - 1] == '/')
        length--;
    if (name[0] != '/' && (cwd = getcwd(NULL, 0)) == NULL)
        return NULL;
    if (asprintf(&path, "%s%s%.*s", cwd != NULL ? cwd : "", cwd != NULL ? "/" : "", (int)length, name) < 0)
        path = NULL;
    free(cwd);
    return path;
}

// Puts an older recording aside. True when the name is free now.
static bool output_make_way(struct output *output, const char *name, bool force) {
    struct stat info;
    if (lstat(output->path, &info) != 0)
        return true; // mkdir will tell
    if (!S_ISDIR(info.st_mode)) {
        message_print("%s exists and is not a directory; name another one with -o", name);
        return false;
    }
    char *foreign = output_foreign(output->path, false);
    if (foreign != NULL) {
        message_print(
            "%s exists and holds more than a recording (%s): not replaced; name another one with -o", name,
            foreign);
        free(foreign);
        return false;
    }
    if (!force) {
        message_print("%s exists; name another one with -o, or replace it with --force", name);
        return false;
    }
    if (asprintf(&output->aside, "%s.old-%ld", output->path, (long)getpid()) < 0)
        output->aside = NULL;
    if (output->aside != NULL && rename(output->path, output->aside) == 0)
        return true;
    message_print("%s cannot be replaced: %s; name another one with -o", name, strerror(errno));
    free(output->aside);
    output->aside = NULL;
    return false;
}

// Whether a file of OUTPUT_ROOM bytes can be made: permissions, free space and quotas in one.
static bool output_has_room(const struct output *output, const char *name) {
    struct rlimit limit;
    char probe[] = "0.0"; // a name that belongs to a recording, should this process be killed right now
    int directory = open(output->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = directory < 0 ? -1 : openat(directory, probe, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int error = fd < 0 ? errno : posix_fallocate(fd, 0, OUTPUT_ROOM);
    if (fd >= 0) {
        unlinkat(directory, probe, 0);
        close(fd);
    }
    if (directory >= 0)
        close(directory);
    if (error == ENOSPC || error == EDQUOT)
        message_print("no room for a recording in %s: %s; free some, or name another place with -o", name,
                      strerror(error));
    else if (error == EFBIG && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < OUTPUT_ROOM)
        message_print(
            "no room for a recording: files may not be larger than %llu bytes (RLIMIT_FSIZE); raise that "
            "with `ulimit -f`",
            (unsigned long long)limit.rlim_cur);
    else if (error != 0)
        message_print("no file can be made in %s: %s; name another place with -o", name, strerror(error));
    return error == 0;
}

bool output_create(struct output *output, const char *name, bool force) {
    output->aside = NULL;
    output->path = output_absolute(name);
    if (output->path == NULL) {
        message_print(
            "the current directory has no path (%s); change to another, or give an absolute one with -o",
            strerror(errno));
        return false;
    }
    if (!output_make_way(output, name, force))
        return false;
    if (mkdir(output->path, 0700) != 0) {
        int error = errno;
        char *slash = strrchr(output->path, '/');
        *slash = '\0'; // the parent, for the message
        const char *parent = slash == output->path ? "/" : output->path;
        if (error == ENOENT && access(parent, F_OK) == 0)
            message_print("%s cannot be made: %s takes no new directories; name another place with -o", name,
                          parent);
        else if (error == ENOENT)
            message_print("%s cannot be made: there is no directory %s; create it first", name, parent);
        else if (error == ENOTDIR)
            message_print("%s cannot be made: %s is not a directory; name another place with -o", name,
                          parent);
        else if (error == ENOSPC || error == EDQUOT)
            message_print("no room for a recording in %s: %s; free some, or name another place with -o",
                          parent, strerror(error));
        else if (error == EACCES || error == EPERM || error == EROFS)
            message_print("%s cannot be made: %s is not writable (%s); name another place with -o", name,
                          parent, strerror(error));
        else
            message_print("%s cannot be made: %s; name another place with -o", name, strerror(error));
        *slash = '/';
    } else if (output_has_room(output, name)) {
        return true;
    } else {
        rmdir(output->path);
    }
    if (output->aside != NULL)
        rename(output->aside, output->path);
    return false;
}

void output_commit(struct output *output) {
    if (output->aside == NULL)
        return;
    free(output_foreign(output->aside, true));
    if (rmdir(output->aside) != 0)
        message_print("the recording that was replaced could not be deleted (%s): it is %s now",
                      strerror(errno), output->aside);
    free(output->aside);
    output->aside = NULL;
}

void output_rollback(struct output *output) {
    rmdir(output->path);
    if (output->aside != NULL)
        rename(output->aside, output->path);
    free(output->aside);
    output->aside = NULL;
}

bool output_drop_if_empty(const struct output *output) {
    return rmdir(output->path) == 0;
}

void output_free(struct output *output) {
    free(output->path);
    free(output->aside);
}
