// SPDX-License-Identifier: MIT
// cflags: -ldl
//
// A program that opens and closes several libpythons and plugins, in the order that its arguments give:
//
//   python_host STEP...
//
//   open A LIBPYTHON HOME    as A, one letter
//   start A                  Py_InitializeEx
//   script A TEXT            PyRun_SimpleString
//   end A                    Py_FinalizeEx
//   close A
//   call LIBRARY FUNCTION    opens it, calls the function, closes it
//   both LIBRARY FUNCTION LIBRARY
//                            the same with two libraries, which two threads close at once
//   thread MICROSECONDS      allocates as often as that until the program ends
//   again TIMES STEPS        from the STEPS-th argument on, so often
//
// Its exit status is not 0 if any of that fails.

#include "python_api.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static struct {
    void *library;
    const char *home;
} pythons[256];

static atomic_bool ends;

static void *allocate_often(void *microseconds) {
    while (!ends) {
        free(malloc(3001));
        usleep((useconds_t)(size_t)microseconds);
    }
    return NULL;
}

static int call(const char *path, const char *name) {
    void *library = dlopen(path, RTLD_NOW);
    if (!library)
        return 1;
    void (*function)(void) = (void (*)(void))symbol(library, name);
    function();
    return dlclose(library);
}

static void *close_it(void *library) {
    return dlclose(library) ? library : NULL;
}

static int both(const char *path, const char *name, const char *other) {
    void *libraries[] = {dlopen(path, RTLD_NOW), dlopen(other, RTLD_NOW)}, *failed[2];
    pthread_t closers[2];
    if (!libraries[0] || !libraries[1])
        return 1;
    void (*function)(void) = (void (*)(void))symbol(libraries[0], name);
    function();
    for (int i = 0; i < 2; i++)
        pthread_create(&closers[i], NULL, close_it, libraries[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(closers[i], &failed[i]);
    return failed[0] || failed[1];
}

static int script(void *library, const char *text) {
    int (*run)(const char *) = (int (*)(const char *))symbol(library, "PyRun_SimpleString");
    return run(text);
}

static void start(void *library, const char *home) {
    void (*initialize)(int) = (void (*)(int))symbol(library, "Py_InitializeEx");
    setenv("PYTHONHOME", home, 1);
    initialize(0);
}

static int end(void *library) {
    int (*finalize)(void) = (int (*)(void))symbol(library, "Py_FinalizeEx");
    return finalize();
}

int main(int argc, char **argv) {
    int failed = 0, times = 0;
    pthread_t threads[16];
    size_t count = 0;
    for (int i = 1; i < argc;) {
        const char *step = argv[i++];
        if (strcmp(step, "call") == 0) {
            failed |= call(argv[i], argv[i + 1]);
            i += 2;
        } else if (strcmp(step, "both") == 0) {
            failed |= both(argv[i], argv[i + 1], argv[i + 2]);
            i += 3;
        } else if (strcmp(step, "thread") == 0) {
            pthread_create(&threads[count++], NULL, allocate_often, (void *)(size_t)atoi(argv[i++]));
        } else if (strcmp(step, "again") == 0) {
            const bool more = ++times < atoi(argv[i]);
            i = more ? atoi(argv[i + 1]) : i + 2;
        } else {
            const unsigned char which = (unsigned char)*argv[i++];
            if (strcmp(step, "open") == 0) {
                pythons[which].library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
                pythons[which].home = argv[i + 1];
                failed |= !pythons[which].library;
                i += 2;
            } else if (strcmp(step, "start") == 0) {
                start(pythons[which].library, pythons[which].home);
            } else if (strcmp(step, "script") == 0) {
                failed |= script(pythons[which].library, argv[i++]);
            } else if (strcmp(step, "end") == 0) {
                failed |= end(pythons[which].library);
            } else {
                failed |= strcmp(step, "close") != 0 || dlclose(pythons[which].library);
            }
        }
    }
    ends = true;
    while (count)
        pthread_join(threads[--count], NULL);
    return failed != 0;
}
