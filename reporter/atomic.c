// SPDX-License-Identifier: MIT
//
// A file that appears whole or not at all. See atomic.h.

#include "reporter/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reporter/memory.h"

static bool start_beside(struct atomic *atomic, const char *name, mode_t mode) {
    // Through a symbolic link: the file that it points to is replaced, not the link.
    char *real = realpath(name, NULL);
    atomic->target = real ? real : memory_copy(name, strlen(name));
    atomic->temporary = memory_print("%s.XXXXXX", atomic->target);
    int fd = mkostemp(atomic->temporary, O_CLOEXEC);
    if (fd >= 0 && fchmod(fd, mode) == 0 && (atomic->stream = fdopen(fd, "w")))
        return true;
    int error = errno;
    if (fd >= 0) {
        close(fd);
        unlink(atomic->temporary);
    }
    free(atomic->target);
    free(atomic->temporary);
    errno = error;
    return false;
}

bool atomic_start(struct atomic *atomic, const char *name) {
    *atomic = (struct atomic){.stream = stdout};
    if (!name)
        return true;
    struct stat status;
    bool exists = stat(name, &status) == 0;
    if (exists && !S_ISREG(status.st_mode)) {
        atomic->stream = fopen(name, "we");
        return atomic->stream != NULL;
    }
    mode_t mask = umask(0);
    umask(mask);
    return start_beside(atomic, name, exists ? status.st_mode & 0777 : 0666 & ~mask);
}

bool atomic_finish(struct atomic *atomic, bool keep) {
    bool failed = ferror(atomic->stream) != 0;
    int error = failed ? EIO : 0; // errno of the failed write is gone; flushing may tell it again
    if (fflush(atomic->stream) != 0) {
        failed = true;
        error = errno;
    }
    if (atomic->stream != stdout && fclose(atomic->stream) != 0 && !error) {
        failed = true;
        error = errno;
    }
    if (atomic->temporary) {
        if (keep && !failed && rename(atomic->temporary, atomic->target) != 0) {
            failed = true;
            error = errno;
        }
        if (!keep || failed)
            unlink(atomic->temporary);
    }
    free(atomic->target);
    free(atomic->temporary);
    errno = error;
    return !failed;
}
