// SPDX-License-Identifier: MIT
// needs: reporter/program.c
//
// Hostile programs: whatever a file holds, looking at it before its start must not harm us.

#include "reporter/program.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64], why[1024] = "";
    int fd = memfd_create("program", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int status = program_check(path, why, sizeof why);
    close(fd);
    // A reason when it is refused, and only then.
    if ((status == 0) != (why[0] == '\0') ||
        (status != 0 && (status < PROGRAM_FAILED || status > PROGRAM_NOT_FOUND)))
        abort();
    return 0;
}
