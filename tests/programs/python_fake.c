// SPDX-License-Identifier: MIT
// cflags: -rdynamic
//
// An interpreter that is not what it says: exports what CPython exports, with structures of its own.
//
//   python_fake VERSION STATE [kill]      VERSION: PY_VERSION_HEX, like 0x030b02f0
//
// STATE is what its thread state looks like: `garbage` (words that are no addresses), `wild` (addresses of
// nothing), `zero`, or `frames` (as in 3.11, but the code's type is another). It allocates, and exits with 0,
// or is killed.

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    intptr_t references;
    void *type;
    intptr_t size;
    const char *name;
    intptr_t basic_size, item_size;
    void (*dealloc)(void *);
    char rest[400];
} fake_type;

static void fake_dealloc(void *object) {
    (void)object;
}

unsigned long Py_Version = 0x030b02f0;
fake_type PyCode_Type = {.references = 1, .name = "code", .dealloc = fake_dealloc};
static uintptr_t state[64], frame[64], code[64];
uintptr_t _PyRuntime[512];

void *PyGILState_GetThisThreadState(void) {
    return state;
}

void *PyThreadState_GetUnchecked(void) {
    return state;
}

void *_PyThreadState_UncheckedGet(void) {
    return state;
}

int Py_IsInitialized(void) {
    return 1;
}

int Py_IsFinalizing(void) {
    return 0;
}

int _Py_IsFinalizing(void) {
    return 0;
}

void *PyInterpreterState_Head(void) {
    return state;
}

void *PyInterpreterState_Main(void) {
    return state;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    Py_Version = strtoul(argv[1], NULL, 0);
    memcpy(_PyRuntime, "xdebugpy", 8);
    _PyRuntime[1] = Py_Version;
    for (size_t i = 3; i < 512; i++)
        _PyRuntime[i] = 8 * (i % 12);
    for (size_t i = 0; i < 64; i++)
        state[i] = strcmp(argv[2], "garbage") == 0 ? 0x5a5a5a5a5a5a5a5a + i
                   : strcmp(argv[2], "wild") == 0  ? 0x7ff000000000 - 4096 * i
                                                   : 0;
    if (strcmp(argv[2], "frames") == 0) {
        state[7] = (uintptr_t)frame;
        frame[1] = (uintptr_t)frame;
        frame[4] = (uintptr_t)code;
        code[0] = 1;
        code[1] = (uintptr_t)state;
    }
    // The interpreter is looked for again now that it says what it is.
    size_t total = 0;
    for (int i = 0; i < 2000; i++) {
        char *block = malloc(1000 + (size_t)i);
        total += block != NULL;
        free(block);
    }
    free(malloc(7000009));
    printf("%zu\n", total);
    fflush(stdout);
    if (argc > 3)
        raise(SIGKILL);
    return 0;
}
