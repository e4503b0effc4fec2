// SPDX-License-Identifier: MIT
//
// See apart.h.

#include "reporter/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void __attribute__((noreturn))
apart_child(void (*function)(void *context), void *context, int output) {
    setrlimit(RLIMIT_CORE, &(struct rlimit){0}); // its end is nothing to look into
    dup2(output, STDERR_FILENO);
    function(context);
    fflush(NULL);
    _exit(0);
}

// Everything that comes, malloc'd; NULL without memory, what came is lost then.
static char *apart_read(int fd, size_t *length) {
    char *text = NULL, buffer[4096];
    ssize_t got;
    *length = 0;
    while ((got = read(fd, buffer, sizeof buffer)) > 0 || (got < 0 && errno == EINTR)) {
        char *longer = got > 0 ? realloc(text, *length + (size_t)got) : text;
        if (got < 0 || longer == NULL)
            continue;
        text = longer;
        memcpy(text + *length, buffer, (size_t)got);
        *length += (size_t)got;
    }
    return text;
}

bool apart_run(void (*function)(void *context), void *context) {
    int ends[2], status = 0;
    bool piped = pipe2(ends, O_CLOEXEC) == 0;
    fflush(NULL);
    pid_t pid = piped ? fork() : -1;
    if (pid == 0)
        apart_child(function, context, ends[1]);
    if (piped)
        close(ends[1]);
    if (pid < 0) {
        if (piped)
            close(ends[0]);
        function(context);
        return true;
    }
    size_t length;
    char *text = apart_read(ends[0], &length);
    close(ends[0]);
    pid_t ended;
    while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    bool done = ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (done && length)
        fwrite(text, 1, length, stderr);
    free(text);
    return done;
}
