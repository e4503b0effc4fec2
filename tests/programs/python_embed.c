// SPDX-License-Identifier: MIT
// cflags: -ldl
//
// A program with a plug-in system: opens a libpython that nobody else can see, runs a script in it, closes
// it.
//
//   python_embed LIBPYTHON SCRIPT ROUNDS [ARGUMENT]
//
// From the second round on libpython is loaded anew, where dlclose really unloads it. With EMBED_FORKED in
// the environment, a forked child of a process with two threads does all that.

#include "python_api.h"

#include <pthread.h>
#include <string.h>
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

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    const int status = getenv("EMBED_FORKED") ? in_child() : -1;
    if (status >= 0)
        return status;
    int failed = 0;
    for (int round = 0; round < atoi(argv[3]); round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            fprintf(stderr, "%s\n", dlerror());
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
        dlclose(library);
        free(malloc(7000007));
    }
    return failed != 0;
}
