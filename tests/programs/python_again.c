// SPDX-License-Identifier: MIT
// cflags: -ldl
//
// Starts and ends one interpreter several times without closing its library.
//
//   python_again LIBPYTHON SCRIPT ROUNDS        the script's argument is the round

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    void (*initialize)(int) = (void (*)(int))dlsym(library, "Py_InitializeEx");
    int (*finalize)(void) = (int (*)(void))dlsym(library, "Py_FinalizeEx");
    int (*run)(const char *) = (int (*)(const char *))dlsym(library, "PyRun_SimpleString");
    int failed = !initialize || !finalize || !run;

    for (int round = 0; !failed && round < atoi(argv[3]); round++) {
        char text[8192];
        initialize(0);
        snprintf(text, sizeof text,
                 "exec(compile(open('%s', encoding='utf-8').read(), '%s', 'exec'), {'__name__': '__main__', "
                 "'number': %d})\n",
                 argv[2], argv[2], round);
        failed = run(text) || finalize();
    }
    return failed;
}
