// SPDX-License-Identifier: MIT
//
// The oracle: preloaded into a program, it captures the stack at every k-th allocation with the shim's
// unwinder and with libunwind's, and counts where they differ. A summary goes to file descriptor 2 when the
// program ends.
//
//   ORACLE_EVERY=k     compare every k-th allocation (default 1; 0: none); the others are captured, but not
//   compared ORACLE_SHOW=n      print the first n differences (default 0) ORACLE_OUT=file    append the
//   summary there instead
//
// Each capture is also checked against itself: a frame said to be unchanged must be what it was.
// libunwind is loaded into a namespace of its own scope (RTLD_LOCAL), as the program may have an unwinder
// too.

#define UNW_LOCAL_ONLY

#include "shim/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libunwind.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define DEPTH 131072
#define BOOT 65536

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    int (*init_local)(unw_cursor_t *, unw_context_t *);
    int (*step)(unw_cursor_t *);
    int (*get_reg)(unw_cursor_t *, unw_regnum_t, unw_word_t *);
    int (*getcontext)(unw_context_t *);
    void (*flush_cache)(unw_addr_space_t, unw_word_t, unw_word_t);
    unw_addr_space_t space;
    pid_t process;
    unsigned every, show;
    bool ready;
} oracle;

static struct {
    uint64_t captures, compared, frames, fresh, lost, deep, different, unchanged_wrong, shorter,
        theirs_shorter, kinds[8];
} counts;

static __thread struct {
    bool busy;
    unsigned until;
    struct unwind_stack stack;
    uint32_t depth; // of the copy
    uintptr_t *values;
    uint32_t *nodes;
    uintptr_t *theirs;
} own;

static struct unwind_state state;
static char boot[BOOT];
static size_t boot_used;

static void oracle_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void oracle_print(const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *path = getenv("ORACLE_OUT");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0644) : 2;
    if (write(file, text, (size_t)length) < 0)
        return;
    if (path)
        close(file);
}

static void oracle_place(uintptr_t address, char *out, size_t size) {
    struct unwind_object object;
    if (unwind_find(address, &object))
        snprintf(out, size, "%s+%#zx", object.path, address - object.bias);
    else
        snprintf(out, size, "%#zx", address);
}

static unsigned oracle_theirs(uintptr_t pc) {
    unw_context_t context;
    unw_cursor_t cursor;
    unsigned count = 0;
    bool inside = true;
    oracle.getcontext(&context);
    if (oracle.init_local(&cursor, &context) < 0)
        return 0;
    do {
        unw_word_t ip = 0;
        oracle.get_reg(&cursor, UNW_REG_IP, &ip);
        if (ip == pc)
            inside = false;
        if (!inside && ip && count < DEPTH)
            own.theirs[count++] = ip;
    } while (oracle.step(&cursor) > 0);
    return count;
}

static void oracle_difference(unsigned mine, unsigned theirs, unsigned at) {
    uint64_t number = __atomic_add_fetch(&counts.different, 1, __ATOMIC_RELAXED);
    if (at == mine)
        __atomic_add_fetch(&counts.shorter, 1, __ATOMIC_RELAXED);
    else if (at == theirs)
        __atomic_add_fetch(&counts.theirs_shorter, 1, __ATOMIC_RELAXED);
    if (number > oracle.show)
        return;
    oracle_print("oracle: difference %lu at frame %u; depth %u, libunwind %u, loss %u\n", number, at, mine,
                 theirs, own.stack.loss);
    for (unsigned i = 0; i < at + 3 && (i < mine || i < theirs); i++) {
        char a[512] = "-", b[512] = "-";
        if (i < mine)
            oracle_place(own.stack.frames[mine - 1 - i].value, a, sizeof a);
        if (i < theirs)
            oracle_place(own.theirs[i], b, sizeof b);
        if (i + 4 > at)
            oracle_print("  %4u %-70s %s\n", i, a, strcmp(a, b) ? b : "=");
    }
}

static void oracle_compare(uintptr_t pc) {
    unsigned theirs = oracle_theirs(pc), mine = own.stack.depth, i = 0;
    __atomic_add_fetch(&counts.compared, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&counts.frames, mine, __ATOMIC_RELAXED);
    while (i < mine && i < theirs && own.stack.frames[mine - 1 - i].value == own.theirs[i])
        i++;
    if (i != mine || i != theirs)
        oracle_difference(mine, theirs, i);
}

// Nodes count up with each new frame, so a node that comes back with another path below it shows.
static void oracle_nodes(unsigned unchanged) {
    static uint32_t next = 1;
    struct unwind_stack *stack = &own.stack;
    bool wrong = unchanged > own.depth;
    for (uint32_t i = 0; i < stack->depth && i < DEPTH; i++) {
        struct unwind_frame *frame = &stack->frames[i];
        if (i < unchanged) {
            wrong |= frame->node != own.nodes[i] || frame->value != own.values[i];
        } else {
            wrong |= frame->node != 0;
            frame->node = __atomic_add_fetch(&next, 1, __ATOMIC_RELAXED);
        }
        own.nodes[i] = frame->node;
        own.values[i] = frame->value;
    }
    own.depth = stack->depth;
    if (wrong)
        __atomic_add_fetch(&counts.unchanged_wrong, 1, __ATOMIC_RELAXED);
}

static void oracle_event(const void *hook_frame) {
    if (!oracle.ready || own.busy)
        return;
    int saved = errno;
    own.busy = true;
    if (!own.values) {
        own.values = oracle.calloc(DEPTH, sizeof *own.values);
        own.nodes = oracle.calloc(DEPTH, sizeof *own.nodes);
        own.theirs = oracle.calloc(DEPTH, sizeof *own.theirs);
    }
    unsigned unchanged = unwind_capture(&own.stack, hook_frame);
    __atomic_add_fetch(&counts.captures, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&counts.fresh, own.stack.depth - unchanged, __ATOMIC_RELAXED);
    if (own.stack.loss & UNWIND_LOST)
        __atomic_add_fetch(&counts.lost, 1, __ATOMIC_RELAXED);
    if (own.stack.loss & UNWIND_DEEP)
        __atomic_add_fetch(&counts.deep, 1, __ATOMIC_RELAXED);
    oracle_nodes(unchanged);
    if (oracle.every && own.until-- == 0) {
        own.until = oracle.every - 1;
        oracle_compare(((const uintptr_t *)hook_frame)[1]);
    }
    own.busy = false;
    errno = saved;
}

static void oracle_resolve(void) {
    own.busy = true;
    oracle.malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    oracle.calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    oracle.realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    own.busy = false;
}

static void *oracle_boot(size_t size) {
    size = (size + 15) & ~(size_t)15;
    if (size > BOOT - boot_used)
        return NULL;
    void *block = boot + boot_used;
    boot_used += size;
    return block;
}

EXPORT void *malloc(size_t size) {
    if (!oracle.malloc) {
        if (own.busy)
            return oracle_boot(size);
        oracle_resolve();
    }
    oracle_event(__builtin_frame_address(0));
    return oracle.malloc(size);
}

EXPORT void *calloc(size_t count, size_t size) {
    if (!oracle.calloc) {
        if (own.busy)
            return oracle_boot(count * size);
        oracle_resolve();
    }
    oracle_event(__builtin_frame_address(0));
    return oracle.calloc(count, size);
}

EXPORT void *realloc(void *block, size_t size) {
    if (!oracle.realloc)
        oracle_resolve();
    oracle_event(__builtin_frame_address(0));
    return oracle.realloc(block, size);
}

EXPORT int dlclose(void *handle) {
    static int (*real)(void *);
    if (!real)
        real = (int (*)(void *))dlsym(RTLD_NEXT, "dlclose");
    int result = real(handle);
    unwind_forget(0, 0);
    // libunwind would go on with the rules of what was there before.
    if (oracle.ready)
        oracle.flush_cache(oracle.space, 0, 0);
    return result;
}

static void oracle_summary(void) {
    // A child of vfork is not the end of it.
    if (!oracle.ready || !counts.captures || getpid() != oracle.process)
        return;
    own.busy = true;
    char program[256] = "";
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    const char *name = strrchr(program, '/');
    oracle_print("oracle: %s: %lu captures, %lu compared, depth %.1f, new frames %.2f, lost %lu, deep %lu, "
                 "different %lu (ours ends first %lu, libunwind's %lu), unchanged wrong %lu\n",
                 name ? name + 1 : program, counts.captures, counts.compared,
                 (double)counts.frames / (double)(counts.compared ? counts.compared : 1),
                 (double)counts.fresh / (double)counts.captures, counts.lost, counts.deep, counts.different,
                 counts.shorter, counts.theirs_shorter, counts.unchanged_wrong);
    own.busy = false;
}

EXPORT void _exit(int status) {
    oracle_summary();
    for (;;)
        syscall(SYS_exit_group, status);
}

__attribute__((destructor)) static void oracle_end(void) {
    oracle_summary();
    oracle.ready = false;
}

static void oracle_child(void) {
    oracle.process = getpid();
    memset(&counts, 0, sizeof counts);
}

#define SYMBOL_TEXT(x) #x
#define SYMBOL(x) SYMBOL_TEXT(x)

static unsigned oracle_option(const char *name, unsigned otherwise) {
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 0) : otherwise;
}

__attribute__((constructor)) static void oracle_begin(void) {
    if (!oracle.malloc)
        oracle_resolve();
    own.busy = true;
    void *library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
    if (library) {
        oracle.init_local = (int (*)(unw_cursor_t *, unw_context_t *))dlsym(library, SYMBOL(unw_init_local));
        oracle.step = (int (*)(unw_cursor_t *))dlsym(library, SYMBOL(unw_step));
        oracle.get_reg =
            (int (*)(unw_cursor_t *, unw_regnum_t, unw_word_t *))dlsym(library, SYMBOL(unw_get_reg));
        oracle.flush_cache =
            (void (*)(unw_addr_space_t, unw_word_t, unw_word_t))dlsym(library, SYMBOL(unw_flush_cache));
        unw_addr_space_t *space = dlsym(library, SYMBOL(unw_local_addr_space));
        oracle.space = space ? *space : NULL;
        oracle.getcontext = (int (*)(unw_context_t *))dlsym(library, "_Ux86_64_getcontext");
    }
    oracle.every = oracle_option("ORACLE_EVERY", 1);
    oracle.show = oracle_option("ORACLE_SHOW", 0);
    unwind_init(&state);
    oracle.process = getpid();
    pthread_atfork(NULL, NULL, oracle_child);
    oracle.ready = oracle.space && oracle.flush_cache && oracle.init_local && oracle.step && oracle.get_reg &&
                   oracle.getcontext;
    if (!oracle.ready)
        oracle_print("oracle: no libunwind: %s\n", dlerror());
    own.busy = false;
}
