// SPDX-License-Identifier: MIT
//
// A recording is valid at every instant: stepped RECORDING COPIES WARM OPERATIONS SPACING SPREAD
//
// WARM operations run as they are, OPERATIONS more one instruction at a time. Every SPACING
// instructions of those that take long, which change the books, the file is copied to the directory
// COPIES/NUMBER. Then what was done is printed: for each operation `+ SIZE LINE` or `- SIZE LINE`, for an
// allocation or a free in the line marked line_LINE, and for each copy `copy BEGUN ENDED`, how many
// operations were begun and ended by then. SPREAD: 0, or in how many contexts line_4 allocates, alone then.

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "levels.h"
#include "single_step.h"
#include "target.h"

enum { OPERATIONS = 100000, COPIES = 20000, SLOTS = 40, SHORT = 600 };

static struct {
    int size; // < 0: freed
    int line;
} operations[OPERATIONS];
static struct { int begun, ended; } copies[COPIES];
static volatile int begun, ended;
static int copied, steps, long_steps, spacing;
static const char *directory;
static char recording[4096]; // the process's file

static void *result;
static size_t wanted;

static void *leaf(uint64_t path) {
    (void)path;
    return result = malloc(wanted); // @line_4
}

LEVELS_0_TO_12

static __attribute__((noinline)) void *make_0(size_t size) {
    return opaque(malloc(size)); // @line_0
}

static __attribute__((noinline)) void *make_1(size_t size) {
    return opaque(malloc(size)); // @line_1
}

static __attribute__((noinline)) void *make_2(size_t size, int depth) {
    void *block = depth ? make_2(size, depth - 1) : malloc(size); // @line_2
    return opaque(block);
}

static __attribute__((noinline)) void *make_3(size_t size) {
    void *block = make_1(size); // @line_3
    return opaque(block);
}

static void copy(void) {
    static char buffer[1 << 16], path[4096];
    snprintf(path, sizeof path, "%s/%d", directory, copied);
    REQUIRE(mkdir(path, 0777) == 0);
    snprintf(path, sizeof path, "%s/%d/%d.0", directory, copied, (int)getpid());
    int from = open(recording, O_RDONLY), to = open(path, O_WRONLY | O_CREAT, 0666);
    REQUIRE(from >= 0 && to >= 0);
    off_t at = 0;
    for (ssize_t got; (got = pread(from, buffer, sizeof buffer, at)) > 0; at += got) {
        static const char nothing[sizeof buffer];
        if (memcmp(buffer, nothing, (size_t)got) != 0)
            REQUIRE(pwrite(to, buffer, (size_t)got, at) == got);
    }
    REQUIRE(ftruncate(to, at) == 0);
    close(from);
    close(to);
    copies[copied].begun = begun;
    copies[copied].ended = ended;
    copied++;
}

static void on_step(int signal) {
    (void)signal;
    if (++steps > SHORT && ++long_steps % spacing == 0 && copied < COPIES)
        copy();
}

static uint32_t any(void) {
    static uint64_t state = 20261128;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static void *make(int line, size_t size, uint32_t spread) {
    switch (line) {
    case 0:
        return make_0(size);
    case 1:
        return make_1(size);
    case 2:
        return make_2(size, 3);
    case 3:
        return make_3(size);
    default:
        wanted = size;
        level_12(any() % spread);
        return result;
    }
}

int main(int argc, char **argv) {
    static struct {
        void *block;
        int line, size;
    } slots[SLOTS + 1];
    REQUIRE(argc == 7);
    snprintf(recording, sizeof recording, "%s/%d.0", argv[1], (int)getpid());
    directory = argv[2];
    const int warm = atoi(argv[3]), all = warm + atoi(argv[4]);
    spacing = atoi(argv[5]);
    const uint32_t spread = (uint32_t)atoi(argv[6]);
    REQUIRE(all <= OPERATIONS && spacing > 0);
    REQUIRE(signal(SIGTRAP, on_step) != SIG_ERR);
    for (int i = 0; i < all; i++) {
        const uint32_t draw = any(), at = i == 0 ? SLOTS : draw % SLOTS; // the first one stays
        // A line at a time, and all of them in turn.
        const uint32_t turn = i / 128 % 2 ? draw / SLOTS : (uint32_t)i / 16;
        const int line = spread ? 4 : (int)(turn % 4);
        const int size = i == 0 ? 50000003 : (int)(17 + draw / 997 % 5000);
        steps = 0;
        if (slots[at].block) {
            operations[i].size = -slots[at].size;
            operations[i].line = slots[at].line;
            begun = i + 1;
            if (i >= warm)
                single_step_begin();
            free(slots[at].block);
        } else {
            operations[i].size = slots[at].size = size;
            operations[i].line = slots[at].line = line;
            begun = i + 1;
            if (i >= warm)
                single_step_begin();
            slots[at].block = make(line, (size_t)size, spread);
        }
        if (i >= warm)
            single_step_end();
        if (operations[i].size < 0)
            slots[at].block = NULL;
        ended = i + 1;
    }
    for (int i = 0; i < all; i++)
        printf("%c %d %d\n", operations[i].size < 0 ? '-' : '+', abs(operations[i].size), operations[i].line);
    for (int i = 0; i < copied; i++)
        printf("copy %d %d\n", copies[i].begun, copies[i].ended);
    return 0;
}
