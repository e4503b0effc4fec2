// SPDX-License-Identifier: MIT
// cflags: -ldl
//
// An interpreter within a program that puts a head of 16 bytes before each of its objects, from before it
// starts.
//
//   python_heads LIBPYTHON inner|malloc SCRIPT
//
// "inner": out of the allocators that were there before, which so may be called late, or never.

#include "python_api.h"

#include <string.h>

#define HEAD 16
#define MAGIC 0x70656b6c696e65ull

static void *plain_malloc(void *ctx, size_t size) {
    (void)ctx;
    return malloc(size);
}

static void *plain_realloc(void *ctx, void *block, size_t size) {
    (void)ctx;
    return realloc(block, size);
}

static void plain_free(void *ctx, void *block) {
    (void)ctx;
    free(block);
}

static struct allocator inner[3]; // by domain

static void *head_write(char *block) {
    if (!block)
        return NULL;
    *(unsigned long long *)block = MAGIC;
    return block + HEAD;
}

static char *head_check(void *object) {
    char *block = (char *)object - HEAD;
    if (*(unsigned long long *)block != MAGIC)
        abort(); // none of ours
    return block;
}

// Which domain it is, they know without a context.
#define DOMAIN(number)                                                                                       \
    static void *malloc_##number(void *ctx, size_t size) {                                                   \
        (void)ctx;                                                                                           \
        return head_write(inner[number].malloc(inner[number].ctx, size + HEAD));                             \
    }                                                                                                        \
    static void *calloc_##number(void *ctx, size_t count, size_t size) {                                     \
        void *object = malloc_##number(ctx, count * size);                                                   \
        return object ? memset(object, 0, count * size) : NULL;                                              \
    }                                                                                                        \
    static void *realloc_##number(void *ctx, void *object, size_t size) {                                    \
        if (!object)                                                                                         \
            return malloc_##number(ctx, size);                                                               \
        return head_write(inner[number].realloc(inner[number].ctx, head_check(object), size + HEAD));        \
    }                                                                                                        \
    static void free_##number(void *ctx, void *object) {                                                     \
        (void)ctx;                                                                                           \
        if (object)                                                                                          \
            inner[number].free(inner[number].ctx, head_check(object));                                       \
    }

DOMAIN(1)
DOMAIN(2)

int main(int argc, char **argv) {
    static _Alignas(16) char config[1024]; // PyPreConfig, and room
    void *library = argc == 4 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
    if (!library)
        return 2;
    ((void (*)(void *))symbol(library, "PyPreConfig_InitPythonConfig"))(config);
    struct {
        void *words[4];
    } (*preinitialize)(const void *);
    *(void **)&preinitialize = symbol(library, "Py_PreInitialize");
    preinitialize(config);
    void (*get)(int, struct allocator *), (*set)(int, struct allocator *);
    *(void **)&get = symbol(library, "PyMem_GetAllocator");
    *(void **)&set = symbol(library, "PyMem_SetAllocator");
    struct allocator heads[3] = {{.ctx = NULL},
                                 {NULL, malloc_1, calloc_1, realloc_1, free_1},
                                 {NULL, malloc_2, calloc_2, realloc_2, free_2}};
    for (int domain = 1; domain < 3; domain++) {
        get(domain, &inner[domain]);
        if (strcmp(argv[2], "malloc") == 0)
            inner[domain] = (struct allocator){NULL, plain_malloc, NULL, plain_realloc, plain_free};
        set(domain, &heads[domain]);
    }
    return ((int (*)(int, char **))symbol(library, "Py_BytesMain"))(2, (char *[]){argv[0], argv[3], NULL});
}
