// SPDX-License-Identifier: MIT
//
// The interpreter that was found: its functions, its layout, and what is still to be done about it.
//
// A struct detect_runtime is written once, then published; a program that unloads libpython and loads it
// again gets another one.

#ifndef PEAKLINE_PYTHON_DETECT_H
#define PEAKLINE_PYTHON_DETECT_H

#include "shim/own.h"
#include "shim/python/getter.h"
#include "shim/python/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// PyMemAllocatorEx and PyObjectArenaAllocator.
struct python_allocator {
    void *ctx;
    void *(*malloc)(void *ctx, size_t size);
    void *(*calloc)(void *ctx, size_t count, size_t size);
    void *(*realloc)(void *ctx, void *block, size_t size);
    void (*free)(void *ctx, void *block);
};

struct python_arenas {
    void *ctx;
    void *(*alloc)(void *ctx, size_t size);
    void (*free)(void *ctx, void *arena, size_t size);
};

// PyRefTracer.
typedef int python_tracer(void *object, int event, void *data);

// Functions of the interpreter. All but the allocators and the tracer only read.
struct detect_functions {
    void *(*own_state)(void);     // PyGILState_GetThisThreadState
    void *(*current_state)(void); // PyThreadState_GetUnchecked; up to 3.11 that of whoever holds the GIL
    int (*is_initialized)(void);
    int (*is_finalizing)(void);
    void *(*interpreters_head)(void); // these two up to 3.11 only
    void *(*interpreters_main)(void);
    const char *(*version_text)(void); // up to 3.10

    // For the self-test; those that the version does not have, or where they allocate, are NULL.
    int (*code_line)(void *code, int offset); // PyCode_Addr2Line, up to 3.11
    int (*frame_line)(void *frame);           // PyUnstable_InterpreterFrame_GetLine, 3.12+
    void *(*innermost)(void);                 // PyEval_GetFrame, up to 3.10

    void (*get_allocator)(int domain, struct python_allocator *allocator);
    void (*set_allocator)(int domain, struct python_allocator *allocator);
    void (*get_arenas)(struct python_arenas *arenas);
    void (*set_arenas)(struct python_arenas *arenas);

    // 3.13+: PyRefTracer_GetTracer, PyRefTracer_SetTracer, PyType_GetFlags.
    python_tracer *(*get_tracer)(void **data);
    int (*set_tracer)(python_tracer *tracer, void *data);
    unsigned long (*type_flags)(const void *type);
};

enum detect_pending {
    DETECT_UNTESTED = 1 << 0, // no capture before a self-test has passed
    DETECT_OBJECTS =
        1 << 1, // the object allocators are to be wrapped, or looked at, by a thread with the GIL
    // It was met while it was not initialised. Should it be started again, its own allocators may be back
    // (3.12).
    DETECT_ENDED = 1 << 2,
};

struct detect_runtime {
    struct detect_functions call;
    struct getter state; // what call.current_state returns
    struct python_layout layout;
    const void *code_type;
    const void *data; // of the interpreter's module, that it writes to
    size_t data_size;
    uintptr_t loop;                   // the evaluation loop's code; 0 = not known
    uintptr_t eval_code;              // PyEval_EvalCode's; likewise
    uintptr_t initializer;            // Py_InitializeFromConfig's
    size_t initializer_size;          // 0 = not known
    uintptr_t finalizer, runner;      // Py_FinalizeEx's, Py_RunMain's; likewise
    void (*code_dealloc)(void *code); // what the type had before we stood in front of it
    uintptr_t code_mask;              // bits of a frame's reference to its code that are the address
    uintptr_t instr_mask;             // bits of a frame's instruction word that count
    bool may_unload;                  // the loader may take the module away
    bool instr_is_code;               // an instruction's address tells the code object, too
    uint32_t pending;                 // enum detect_pending
    uint32_t tests;                   // self-tests made
    uintptr_t map_start, map_end;     // of its module; known where that may be unloaded, as what follows
    const void *handle;               // what dlopen returns for it
    char name[64];                    // by which other modules need it
    uint32_t serial;                  // no other one's, nor that of what had this struct before
    bool superseded;                  // its module is gone: another one is where it was
    uint64_t version;                 // PY_VERSION_HEX
};

#define DETECT_RUNTIMES 8 // how often an interpreter may be loaded anew

// All that were ever found; those not used yet have no functions.
extern struct detect_runtime detect_runtimes[DETECT_RUNTIMES];

// NULL unless python_found() was ever true.
extern SHIM_OWN struct detect_runtime *detect_current;

static inline struct detect_runtime *detect_get(void) {
    return __atomic_load_n(&detect_current, __ATOMIC_ACQUIRE);
}

// Around whatever reads an interpreter that may be unloaded: who unloads it waits until they are released.
// Calls can be nested.
extern SHIM_OWN uint32_t detect_readers; // that are at it; atomic

static inline void detect_hold(void) {
    __atomic_fetch_add(&detect_readers, 1, __ATOMIC_SEQ_CST);
}

static inline void detect_release(void) {
    __atomic_fetch_sub(&detect_readers, 1, __ATOMIC_SEQ_CST);
}

// Whether its module is still there.
bool detect_loaded(const struct detect_runtime *runtime);

// The same for the current one. False: libpython was unloaded; python_found() is false from now on, until
// another is found.
bool detect_still_there(const struct detect_runtime *runtime);

// Python stacks are given up, for this reason: "CPython 3.11.2" + reason is a sentence's beginning.
void detect_refuse(const char *reason);

#endif
