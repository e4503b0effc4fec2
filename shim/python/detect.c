// SPDX-License-Identifier: MIT
//
// Finds the interpreter: in the program itself (Debian, conda), in a libpython it is linked to, or in one
// that was opened later, visibly or not.
//
// One thread at a time looks (python_phase says BUSY); the others go on as if there were no Python, and
// nobody waits but who closes an interpreter's module, or one that needs it: for those that are reading it.

#include "shim/python/detect.h"
#include "shim/python/code.h"
#include "shim/python/elf.h"
#include "shim/python/objects.h"
#include "shim/python/python.h"
#include "shim/shim.h"
#include "shim/sys.h"
#include "shim/unwind_cfi.h"
#include "shim/unwind_find.h"

#include <dlfcn.h>
#include <linux/futex.h>
#include <time.h>

// Not in every C library; where it is, it knows a module only once that has been relocated, and takes no
// lock.
extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));

#define DETECT_TEXT 160
#define DETECT_PATIENCE 200 // milliseconds; a reader that needs more has been stopped
#define DETECT_LEAVES 1u    // nobody looks any more: BUSY ends with the last closing
#define DETECT_CLOSING 2u   // one closing

uint32_t python_phase;
uint32_t detect_readers;
struct detect_runtime *detect_current;

struct detect_runtime detect_runtimes[DETECT_RUNTIMES];
static unsigned detect_runtimes_used; // by the thread that looks; where it goes on
static bool detect_looked;            // python_poll has run before: modules found now may be unloaded one day
static unsigned long long detect_adds, detect_subs;
static uint32_t
    detect_state;            // DETECT_LEAVES, and how many closings of the current one's module are under way
static uint32_t detect_next; // enum python_phase, for who leaves BUSY
static char detect_version[32], detect_note[DETECT_TEXT];
static bool detect_has_version, detect_has_note;

void python_init(struct python_state *state) {
    code_init(state);
    // A fork may have come while another thread was looking, or closing; that thread is not here.
    __atomic_store_n(&detect_readers, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&detect_state, 0, __ATOMIC_RELAXED);
    uint32_t busy = PYTHON_BUSY;
    __atomic_compare_exchange_n(&python_phase, &busy, PYTHON_NONE, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

const char *python_version(void) {
    return __atomic_load_n(&detect_has_version, __ATOMIC_ACQUIRE) ? detect_version : NULL;
}

const char *python_note(void) {
    return __atomic_load_n(&detect_has_note, __ATOMIC_ACQUIRE) ? detect_note : NULL;
}

static char *detect_append(char *at, const char *end, const char *text) {
    while (*text && at + 1 < end)
        *at++ = *text++;
    *at = 0;
    return at;
}

static char *detect_append_number(char *at, const char *end, unsigned number) {
    char digits[12], *digit = digits + sizeof digits;
    *--digit = 0;
    do {
        *--digit = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return detect_append(at, end, digit);
}

static void detect_say(const char *subject, const char *version, const char *reason) {
    if (python_note())
        return; // the first reason stays
    const char *end = detect_note + sizeof detect_note;
    char *at = detect_append(detect_note, end, subject);
    at = detect_append(at, end, version);
    at = detect_append(at, end, reason);
    detect_append(at, end, "; native stacks are shown instead");
    __atomic_store_n(&detect_has_note, true, __ATOMIC_RELEASE);
}

static void detect_name_version(uint64_t hex) {
    const char *end = detect_version + sizeof detect_version;
    char *at = detect_append_number(detect_version, end, hex >> 24 & 0xff);
    at = detect_append(at, end, ".");
    at = detect_append_number(at, end, hex >> 16 & 0xff);
    at = detect_append(at, end, ".");
    at = detect_append_number(at, end, hex >> 8 & 0xff);
    unsigned level = hex >> 4 & 0xf;
    if (level != 0xf) {
        at = detect_append(at, end, level == 0xa ? "a" : level == 0xb ? "b" : "rc");
        detect_append_number(at, end, hex & 0xf);
    }
    __atomic_store_n(&detect_has_version, true, __ATOMIC_RELEASE);
}

void detect_refuse(const char *reason) {
    detect_say("CPython ", detect_version, reason);
    __atomic_store_n(&python_phase, PYTHON_REFUSED, __ATOMIC_RELEASE);
    code_doubt();
    __atomic_store_n(&shim.modules_new, true, __ATOMIC_RELAXED); // process_poll has something to write down
}

// "3.8.18 (default, ...": interpreters before 3.11 have no Py_Version.
static uint64_t detect_parse_version(const char *text) {
    unsigned part[3] = {0}, level = 0xf;
    for (int i = 0; i < 3; i++) {
        while (*text >= '0' && *text <= '9')
            part[i] = (part[i] * 10 + (unsigned)(*text++ - '0')) & 0xff;
        if (i < 2 && *text++ != '.')
            return 0;
    }
    if (*text == 'a' || *text == 'b')
        level = *text == 'a' ? 0xa : 0xb;
    return (uint64_t)part[0] << 24 | part[1] << 16 | part[2] << 8 | level << 4;
}

static void *detect_either(const struct elf_module *module, const char *name, const char *older) {
    void *address = elf_symbol(module, name);
    return address ? address : elf_symbol(module, older);
}

// A function's address as a function pointer: what ISO C has no cast for.
#define DETECT_BIND(target, address)                                                                         \
    do {                                                                                                     \
        void *address_ = (address);                                                                          \
        __builtin_memcpy(&(target), &address_, sizeof address_);                                             \
    } while (0)

static void detect_bind(struct detect_functions *call, const struct elf_module *module) {
    DETECT_BIND(call->own_state, elf_symbol(module, PYTHON_EXPORT));
    DETECT_BIND(call->current_state,
                detect_either(module, "PyThreadState_GetUnchecked", "_PyThreadState_UncheckedGet"));
    DETECT_BIND(call->is_initialized, elf_symbol(module, "Py_IsInitialized"));
    DETECT_BIND(call->is_finalizing, detect_either(module, "Py_IsFinalizing", "_Py_IsFinalizing"));
    DETECT_BIND(call->interpreters_head, elf_symbol(module, "PyInterpreterState_Head"));
    DETECT_BIND(call->interpreters_main, elf_symbol(module, "PyInterpreterState_Main"));
    DETECT_BIND(call->version_text, elf_symbol(module, "Py_GetVersion"));
    DETECT_BIND(call->code_line, elf_symbol(module, "PyCode_Addr2Line"));
    DETECT_BIND(call->frame_line, elf_symbol(module, "PyUnstable_InterpreterFrame_GetLine"));
    DETECT_BIND(call->innermost, elf_symbol(module, "PyEval_GetFrame"));
    DETECT_BIND(call->get_allocator, elf_symbol(module, "PyMem_GetAllocator"));
    DETECT_BIND(call->set_allocator, elf_symbol(module, "PyMem_SetAllocator"));
    DETECT_BIND(call->get_arenas, elf_symbol(module, "PyObject_GetArenaAllocator"));
    DETECT_BIND(call->set_arenas, elf_symbol(module, "PyObject_SetArenaAllocator"));
    DETECT_BIND(call->get_tracer, elf_symbol(module, "PyRefTracer_GetTracer"));
    DETECT_BIND(call->set_tracer, elf_symbol(module, "PyRefTracer_SetTracer"));
    DETECT_BIND(call->type_flags, elf_symbol(module, "PyType_GetFlags"));
}

static uint64_t detect_version_of(const struct elf_module *module, const struct detect_functions *call) {
    const unsigned long *number = elf_symbol(module, "Py_Version");
    if (number && elf_holds(module, number, sizeof *number, false))
        return *number;
    return call->version_text ? detect_parse_version(call->version_text()) : 0;
}

// Whether PyCode_Type is what the layout says a type looks like.
static bool detect_code_type(struct detect_runtime *runtime, const struct elf_module *module) {
    const struct python_layout *layout = &runtime->layout;
    const char *type = runtime->code_type, *name;
    if (!elf_holds(module, type, 256, true))
        return false;
    __builtin_memcpy(&name, type + layout->type_name, sizeof name);
    __builtin_memcpy(&runtime->code_dealloc, type + layout->type_dealloc, sizeof runtime->code_dealloc);
    void *dealloc;
    __builtin_memcpy(&dealloc, &runtime->code_dealloc, sizeof dealloc);
    return elf_holds(module, name, 5, false) && __builtin_memcmp(name, "code", 5) == 0 &&
           (elf_holds(module, dealloc, 1, false) || code_watches(runtime));
}

static void detect_initializer(struct detect_runtime *runtime, const void *function) {
    struct unwind_fde fde;
    runtime->initializer = (uintptr_t)function;
    if (unwind_find_fde(runtime->initializer, &fde) == UNWIND_FOUND && fde.start == runtime->initializer)
        runtime->initializer_size = fde.end - fde.start;
}

// NULL: all is well; else why this interpreter cannot be read.
static const char *detect_describe(struct detect_runtime *runtime, const struct elf_module *module) {
    static const char unknown[] = " is not known to this peakline";
    static const char strange[] = " does not look like that version inside";
    struct detect_functions *call = &runtime->call;
    runtime->version = detect_version_of(module, call);
    if (!runtime->version)
        return strange;
    detect_name_version(runtime->version);
    unsigned minor = runtime->version >> 16 & 0xff, level = runtime->version >> 4 & 0xf;
    if (runtime->version >> 24 != 3 || minor < 8 || minor > LAYOUT_LAST || level < 0xc)
        return unknown;
    bool free_threaded = false;
    const void *offsets = NULL;
    if (minor >= 13) {
        offsets = elf_symbol(module, "_PyRuntime");
        if (!offsets || !elf_holds(module, offsets, 1024, false) ||
            !layout_identify(offsets, runtime->version, &free_threaded))
            return strange;
    }
    struct python_layout *layout = &runtime->layout;
    if (!layout_choose(layout, minor, free_threaded) || (offsets && !layout_refine(layout, offsets)))
        return unknown;
    runtime->code_type = elf_symbol(module, "PyCode_Type");
    runtime->data = elf_segment(module, runtime->code_type, &runtime->data_size);
    runtime->loop = (uintptr_t)elf_symbol(module, "_PyEval_EvalFrameDefault");
    runtime->eval_code = (uintptr_t)elf_symbol(module, "PyEval_EvalCode");
    detect_initializer(runtime, elf_symbol(module, "Py_InitializeFromConfig"));
    runtime->finalizer = (uintptr_t)elf_symbol(module, "Py_FinalizeEx");
    runtime->runner = (uintptr_t)elf_symbol(module, "Py_RunMain");
    if (!call->current_state || !call->is_finalizing || !runtime->code_type ||
        !detect_code_type(runtime, module))
        return strange;
    if (minor <= 11 && (!call->interpreters_head || !call->interpreters_main))
        return strange;
    const void *accessor;
    __builtin_memcpy(&accessor, &call->current_state, sizeof accessor);
    if (elf_holds(module, accessor, GETTER_BYTES, false))
        runtime->state = getter_decode(accessor);
    if (minor >= 12)
        call->code_line = NULL;
    if (minor >= 11)
        call->innermost = NULL;
    runtime->code_mask = minor >= 14 ? ~(uintptr_t)3 : ~(uintptr_t)0;
    runtime->instr_mask = minor <= 10 ? UINT32_MAX : UINTPTR_MAX;
    runtime->instr_is_code = minor >= 11 && !free_threaded;
    return NULL;
}

struct detect_search {
    struct detect_runtime found;
    const char *refusal;
    bool any, initialized;
};

static int detect_module(struct dl_phdr_info *info, size_t size, void *data) {
    struct detect_search *search = data;
    (void)size;
    struct elf_module module;
    if (!elf_open(&module, info))
        return 0;
    struct detect_runtime runtime = {.may_unload = detect_looked, .pending = DETECT_UNTESTED};
    DETECT_BIND(runtime.call.own_state, elf_symbol(&module, PYTHON_EXPORT));
    if (!runtime.call.own_state) {
        if (elf_symbol(&module, PYTHON_EXPORT_PYPY))
            detect_say("PyPy", "", "'s frames are not read");
        return 0;
    }
    // In a module that another thread is just opening, functions cannot run yet.
    struct dl_find_object object = {.dlfo_flags = 0};
    if (detect_looked && _dl_find_object && _dl_find_object((void *)module.symbols, &object) != 0) {
        __atomic_store_n(&detect_adds, 0, __ATOMIC_RELAXED); // look again
        return 0;
    }
    runtime.map_start = (uintptr_t)object.dlfo_map_start;
    runtime.map_end = (uintptr_t)object.dlfo_map_end;
    runtime.handle = object.dlfo_link_map;
    if (runtime.handle)
        elf_name(runtime.handle, runtime.name, sizeof runtime.name);
    detect_bind(&runtime.call, &module);
    if (!runtime.call.is_initialized)
        return 0;
    // An extension module may have brought a second, idle interpreter.
    bool initialized = runtime.call.is_initialized() != 0;
    if (search->any && (search->initialized || !initialized))
        return 0;
    search->refusal = detect_describe(&runtime, &module);
    search->found = runtime;
    search->initialized = initialized;
    search->any = true;
    return 0;
}

// Whether modules have come or gone since the last look.
static int detect_changes(struct dl_phdr_info *info, size_t size, void *data) {
    bool *changed = data;
    if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs) {
        *changed = info->dlpi_adds != detect_adds || info->dlpi_subs != detect_subs;
        detect_adds = info->dlpi_adds;
        detect_subs = info->dlpi_subs;
    }
    return 1;
}

// A new one, or the one whose module has gone first: nobody has any more business with that.
static struct detect_runtime *detect_free_runtime(void) {
    for (unsigned i = 0; i < DETECT_RUNTIMES; i++) {
        struct detect_runtime *runtime = &detect_runtimes[detect_runtimes_used++ % DETECT_RUNTIMES];
        if (!runtime->code_type || (runtime != detect_current && !detect_loaded(runtime)))
            return runtime;
    }
    return NULL;
}

// What was met where this one is now is gone; that its code type is watched says nothing any more.
static void detect_supersede(const struct detect_runtime *runtime) {
    for (unsigned i = 0; i < DETECT_RUNTIMES; i++)
        if (&detect_runtimes[i] != runtime && detect_runtimes[i].code_type == runtime->code_type)
            __atomic_store_n(&detect_runtimes[i].superseded, true, __ATOMIC_RELEASE);
}

// Whose module was never gone: it was idle, and another one the current one meanwhile. Its allocators are
// as we left them.
static struct detect_runtime *detect_known(const void *code_type) {
    for (unsigned i = 0; i < DETECT_RUNTIMES; i++)
        if (detect_runtimes[i].code_type == code_type && !detect_runtimes[i].superseded)
            return &detect_runtimes[i];
    return NULL;
}

static struct detect_runtime *detect_register(const struct detect_runtime *found) {
    static uint32_t registered;
    if (code_watches(found))
        return detect_known(found->code_type);
    struct detect_runtime *runtime = detect_free_runtime();
    if (runtime) {
        *runtime = *found;
        runtime->serial = ++registered;
        detect_supersede(runtime);
    }
    return runtime;
}

// `current` is an interpreter that is still there but idle, or NULL.
static uint32_t detect_look(const struct detect_runtime *current, python_modules *modules) {
    struct detect_search search = {.any = false};
    modules(detect_module, &search);
    bool first = !detect_looked;
    detect_looked = true;
    if (current && (!search.initialized || search.found.call.own_state == current->call.own_state))
        return PYTHON_FOUND;
    if (!search.any)
        return PYTHON_NONE;
    struct detect_runtime *runtime = search.refusal ? NULL : detect_register(&search.found);
    if (!runtime) {
        detect_say("CPython ", detect_version, search.refusal ? search.refusal : " is loaded too often");
        return PYTHON_REFUSED;
    }
    code_watch(runtime);
    objects_prepare(runtime, first && !search.initialized);
    __atomic_store_n(&detect_current, runtime, __ATOMIC_RELEASE);
    return PYTHON_FOUND;
}

// BUSY ends as soon as nobody looks and nothing is being closed.
static void detect_leave(void) {
    uint32_t last = DETECT_LEAVES;
    if (!__atomic_compare_exchange_n(&detect_state, &last, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return;
    if (detect_next == PYTHON_FOUND && !detect_loaded(detect_current))
        detect_next = PYTHON_NONE;
    __atomic_store_n(&python_phase, detect_next, __ATOMIC_RELEASE);
    code_doubt();
}

static void detect_done(uint32_t next) {
    detect_next = next;
    __atomic_fetch_or(&detect_state, DETECT_LEAVES, __ATOMIC_SEQ_CST);
    detect_leave();
}

// Nobody begins any more: the phase is BUSY.
static void detect_await_readers(void) {
    const struct timespec slice = {.tv_nsec = 1000000};
    uint32_t readers;
    for (int i = 0; i < DETECT_PATIENCE && (readers = __atomic_load_n(&detect_readers, __ATOMIC_SEQ_CST));
         i++)
        sys_call_always(SYS_futex, (long)&detect_readers, FUTEX_WAIT_PRIVATE, readers, (long)&slice, 0, 0);
}

// Whether what dlclose was given is a module that needs the interpreter's.
static bool detect_needs(const void *handle, const char *name) {
    const struct link_map *module = handle;
    uintptr_t dynamic;
    struct dl_find_object object;
    return sys_read_word((uintptr_t)&module->l_ld, &dynamic) == sizeof dynamic &&
           _dl_find_object((void *)dynamic, &object) == 0 && object.dlfo_link_map == handle &&
           elf_needs(module, name);
}

// Whether the current interpreter's module may go when the handle is closed: its own, while it is idle, or
// that of a module which is linked with it, whose destructors may even end it. While another thread looks, or
// closes, it is not asked: of two that close, the later one may be the one that takes it away.
static bool detect_goes(const void *handle) {
    detect_hold();
    const uint32_t phase = __atomic_load_n(&python_phase, __ATOMIC_SEQ_CST);
    const bool busy = phase == PYTHON_BUSY;
    const struct detect_runtime *current = detect_get();
    bool goes = current && current->may_unload && current->handle &&
                (busy || (phase == PYTHON_FOUND && detect_loaded(current)));
    if (goes)
        goes = current->handle == handle ? busy || !current->call.is_initialized()
                                         : detect_needs(handle, current->name);
    detect_release();
    return goes;
}

// With a closing counted: nobody may begin to look any more.
static void detect_keep_out(void) {
    const struct timespec slice = {.tv_nsec = 1000000};
    for (int i = 0; i < DETECT_PATIENCE; i++) {
        uint32_t phase = PYTHON_FOUND;
        if (__atomic_compare_exchange_n(&python_phase, &phase, PYTHON_BUSY, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            detect_done(PYTHON_FOUND);
            return;
        }
        // Who is just leaving did not know of us; who is looking waits for us when it is done.
        if (phase != PYTHON_BUSY || __atomic_load_n(&detect_state, __ATOMIC_SEQ_CST) & DETECT_LEAVES)
            return;
        sys_call_always(SYS_futex, (long)&python_phase, FUTEX_WAIT_PRIVATE, PYTHON_BUSY, (long)&slice, 0, 0);
    }
}

bool python_closing(const void *handle) {
    if (!detect_goes(handle))
        return false;
    __atomic_fetch_add(&detect_state, DETECT_CLOSING, __ATOMIC_SEQ_CST);
    detect_keep_out();
    detect_await_readers();
    return true;
}

void python_closed(void) {
    if (__atomic_load_n(&detect_state, __ATOMIC_SEQ_CST) >= DETECT_CLOSING) // else: forked in between
        __atomic_fetch_sub(&detect_state, DETECT_CLOSING, __ATOMIC_SEQ_CST);
    __atomic_store_n(&detect_adds, 0, __ATOMIC_RELAXED); // what came meanwhile was not looked at
    detect_leave();
}

static void detect_poll(python_modules *modules) {
    uint32_t phase = __atomic_load_n(&python_phase, __ATOMIC_ACQUIRE);
    const struct detect_runtime *current = NULL;
    if (phase == PYTHON_FOUND) {
        // As long as it is idle, another one may be the one that runs in the end.
        current = detect_get();
        if (!detect_still_there(current)) {
            phase = PYTHON_NONE;
            current = NULL;
        } else if (current->call.is_initialized()) {
            return;
        }
    } else if (phase != PYTHON_NONE) {
        return;
    }
    if (!__atomic_compare_exchange_n(&python_phase, &phase, PYTHON_BUSY, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    bool changed = true;
    modules(detect_changes, &changed);
    uint32_t next = phase;
    if (changed || current)
        next = detect_look(current, modules);
    detect_done(next);
}

void python_poll(python_modules *modules) {
    detect_hold();
    detect_poll(modules);
    detect_release();
}

__attribute__((noinline)) bool detect_loaded(const struct detect_runtime *runtime) {
    if (__atomic_load_n(&runtime->superseded, __ATOMIC_ACQUIRE))
        return false;
    if (!runtime->may_unload || !_dl_find_object)
        return true;
    struct dl_find_object object;
    void *function;
    __builtin_memcpy(&function, &runtime->call.own_state, sizeof function);
    // Another one may be there, which is not to be read as this one; or it may have been loaded again, at the
    // same place: then its data are as in the file.
    return _dl_find_object(function, &object) == 0 &&
           (uintptr_t)object.dlfo_map_start == runtime->map_start &&
           (uintptr_t)object.dlfo_map_end == runtime->map_end && code_watched(runtime);
}

bool detect_still_there(const struct detect_runtime *runtime) {
    if (detect_loaded(runtime))
        return true;
    uint32_t found = PYTHON_FOUND;
    __atomic_store_n(&detect_adds, 0, __ATOMIC_RELAXED); // there may be another one already
    __atomic_compare_exchange_n(&python_phase, &found, PYTHON_NONE, false, __ATOMIC_ACQ_REL,
                                __ATOMIC_RELAXED);
    return false;
}

const void *python_landmark(void) {
    const struct detect_runtime *runtime = detect_get();
    return runtime ? runtime->code_type : NULL;
}
