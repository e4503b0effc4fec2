// SPDX-License-Identifier: MIT
// cflags: -ldl
//
// A program with a plug-in system: opens a libpython that nobody else can see, runs a script in it, closes
// it.
//
//   python_embed LIBPYTHON SCRIPT ROUNDS [ARGUMENT]
//
// From the second round on libpython is loaded anew, where dlclose really unloads it; with EMBED_WHERE=same
// or EMBED_WHERE=other in the environment, at the same address, or at another one. With EMBED_FORKED, a
// forked child of a process with two threads does all that.

#include "python_api.h"

#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void *allocate(void *size) {
    return malloc((size_t)size);
}

static void *wait_for_ever(void *block) {
    free(block);
    pause();
    return NULL;
}

// In the child: -1. In its parent, when the child has ended: what it returned.
static int in_child(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for_ever, malloc(7000009));
    pid_t child = fork();
    if (child == 0)
        return -1;
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 3;
}

#define PAGE ((size_t)4096)
#define ROOM ((size_t)64 << 20)
#define NICHE ((size_t)2 << 20) // smaller than any libpython
#define NICHES ((size_t)16)

// The highest place that is large enough for libpython; free only while that is opened. What else is mapped
// then finds place in the niches above it. NULL: not made.
static char *room;
static bool room_taken[ROOM / PAGE];

static bool take(char *page) {
    return mmap(page, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == page;
}

static void take_room(void) {
    for (size_t i = 0; room && i < ROOM / PAGE; i++)
        room_taken[i] |= take(room + i * PAGE);
}

static void leave_room(void) {
    for (size_t i = 0; room && i < ROOM / PAGE; i++)
        if (room_taken[i] && munmap(room + i * PAGE, PAGE) == 0)
            room_taken[i] = false;
}

static void make_room(void) {
    room = mmap(NULL, ROOM + NICHES * NICHE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(room_taken, true, sizeof room_taken);
    for (size_t i = 0; i < NICHES; i++)
        munmap(room + ROOM + i * NICHE + PAGE, NICHE - PAGE);
    for (char *higher = room + 1; higher > room && higher != MAP_FAILED;)
        higher = mmap(NULL, NICHE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    dlopen("libm.so.6", RTLD_NOW); // libpython needs it: not beside that
}

// NULL: `*why` says why.
static void *open_library(const char *path, const char **why) {
    static uintptr_t last;
    const char *where = getenv("EMBED_WHERE");
    if (where && strcmp(where, "same") == 0 && !room)
        make_room();
    if (where && last && !room)
        take((char *)last);
    leave_room();
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    take_room();
    struct link_map *map;
    if (!library || dlinfo(library, RTLD_DI_LINKMAP, &map) != 0) {
        *why = dlerror();
        return NULL;
    }
    const bool expected = !where || !last || (map->l_addr == last) == (room != NULL);
    last = map->l_addr;
    *why = "it is not where it is to be";
    return expected ? library : NULL;
}

static void close_library(void *library) {
    dlclose(library);
    take_room();
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    const int status = getenv("EMBED_FORKED") ? in_child() : -1;
    if (status >= 0)
        return status;
    int failed = 0;
    for (int round = 0; round < atoi(argv[3]); round++) {
        const char *why;
        void *library = open_library(argv[1], &why);
        if (!library) {
            fprintf(stderr, "%s\n", why);
            return 2;
        }
        void (*initialize)(int) = (void (*)(int))symbol(library, "Py_InitializeEx");
        int (*finalize)(void) = (int (*)(void))symbol(library, "Py_FinalizeEx");
        int (*run)(const char *) = (int (*)(const char *))symbol(library, "PyRun_SimpleString");
        free(malloc(7000001));
        initialize(0);
        char text[8192];
        snprintf(
            text, sizeof text,
            "import sys\nsys.argv = ['%s', '%s']\n"
            "exec(compile(open('%s', encoding='utf-8').read(), '%s', 'exec'), {'__name__': '__main__'})\n",
            argv[2], argc > 4 ? argv[4] : "", argv[2], argv[2]);
        failed |= run(text);
        failed |= finalize();
        // A thread that Python has never seen, and one more call when it is gone.
        pthread_t thread;
        void *block = NULL;
        if (pthread_create(&thread, NULL, allocate, (void *)(size_t)7000003) == 0)
            pthread_join(thread, &block);
        free(block);
        free(malloc(7000005));
        close_library(library);
        free(malloc(7000007));
    }
    return failed != 0;
}
