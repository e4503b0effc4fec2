// SPDX-License-Identifier: MIT
//
// Python's part of "who is allocating": the frames of a running CPython (3.8 to 3.15), read in place.
//
// Nothing here calls into the interpreter but for a handful of functions that only read (detect.h), takes a
// reference, allocates in the host or runs bytecode; so all of it is safe inside a hook, with or without the
// GIL. All functions are called with the guard held. errno is preserved.
//
// Threads: any number at once, each with a struct python_stack of its own; python_slot and python_locate
// under the caller's lock. No lock of the loader is taken but, in python_poll, that of dl_iterate_phdr: call
// it without holding a lock. Fork: what was learnt about the interpreter stays valid in a child and is
// kept; what hangs from struct python_state is private memory of the parent, so the child hands in a zeroed
// one. Failure: a stack that cannot be read is "no Python stack", and python_note says why.

#ifndef PEAKLINE_PYTHON_H
#define PEAKLINE_PYTHON_H

#include "shim/own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PYTHON_DEPTH 16384 // frames kept of a stack, and the most that one capture walks
#define PYTHON_INDEX 512   // power of two
#define PYTHON_PLACES 4    // interpreters of a process that a thread remembers
#define PYTHON_ANCHORS 64  // imports within imports; further in, the innermost of these ends a comparison

// One Python function that is being executed.
struct python_frame {
    const void *frame; // the interpreter's frame
    const void *outer; // what that says is the next one further out, which may be the interpreter's own
    const void *code;  // its code object, alive as long as the frame is
    uintptr_t instr; // where it is: 3.11+ address of the instruction, before that the offset in the bytecode
    uint32_t node;   // the caller's; 0 in a frame that is new
    uint32_t life : 31;     // tells code objects apart that follow each other at one address (code.h)
    uint32_t importing : 1; // it runs code of Python's import system; the caller may take that back
};

struct detect_runtime;

// The stack of a thread at its last capture, outermost frame first. All zero is the empty one.
// The caller reads frames, depth, outer_node, cut, and writes `node` of the new frames; the rest is
// frames.c's own.
struct python_stack {
    uint32_t depth;
    uint32_t
        outer_node; // the node above frames[0]: 0 = it is the stack's first, or what is above is not known
    bool cut;       // the stack was deeper than PYTHON_DEPTH, its outermost frames were not seen
    uint32_t epoch;
    uint32_t captures;
    uint64_t time;                        // time-stamp counter at the end of the last capture; 0 = not known
    uint32_t reach;                       // of a deep stack: frames that can have been exchanged since
    const void *outer;                    // the interpreter's frame above frames[0]
    const void *state;                    // the thread's, when it was looked up last
    const void *const *state_place;       // where the interpreter keeps it; NULL: not known
    const struct detect_runtime *runtime; // whose frames these are; NULL: none yet
    uint32_t serial;                      // its serial
    // The same of those that it has been in before; the oldest gives way.
    struct python_place {
        const struct detect_runtime *runtime;
        uint32_t serial;
        const void *const *state_place;
    } places[PYTHON_PLACES];
    uint32_t places_next;
    // Frames that no other one can have taken the place of since the last capture: see frames.c. Which ones,
    // from the outermost inward, among the first `examined`.
    struct python_anchor {
        const void *function; // what its interpreter frame says that it was made for
        uint32_t at;          // in `frames`
    } anchors[PYTHON_ANCHORS];
    uint32_t anchors_count, examined;
    uint32_t wraps; // objects_wraps when they were found
    uint16_t index[PYTHON_INDEX];
    const void *fresh[PYTHON_DEPTH];
    struct python_frame frames[PYTHON_DEPTH];
};

// What must not survive fork. All zero at first.
struct python_state {
    struct python_slots *slots; // code.c
    struct code_known *known;   // likewise
};

// At start, and in a forked child. Keeps the pointer. Cheap; does not look for an interpreter yet.
void python_init(struct python_state *state);

// What a module exports that is looked for: CPython's and PyPy's.
#define PYTHON_EXPORT "PyGILState_GetThisThreadState"
#define PYTHON_EXPORT_PYPY "rpython_startup_code"

struct dl_phdr_info;

// dl_iterate_phdr, or what stands in for it.
typedef int python_modules(int (*each)(struct dl_phdr_info *info, size_t size, void *data), void *data);

// Looks for an interpreter among the modules that are loaded now. Once at start, before any thread but the
// first; later whenever modules may have been added: where there are none, it costs about 100 ns, else some
// 50 ns a module.
void python_poll(python_modules *modules);

// Before dlclose. True: an interpreter may be unloaded with the handle, which is its own, and it is idle, or
// that of a module that is linked with it. It is not looked at until python_closed is called: its memory goes
// before the loader forgets it. Waits for those that are looking at it just now, 200 ms at most. Any number
// of threads at once.
bool python_closing(const void *handle);
void python_closed(void);

enum python_phase { PYTHON_NONE = 0, PYTHON_BUSY, PYTHON_FOUND, PYTHON_REFUSED };
extern SHIM_OWN uint32_t python_phase; // enum python_phase; atomic

// Whether python_capture is worth a call.
static inline bool python_found(void) {
    return __atomic_load_n(&python_phase, __ATOMIC_ACQUIRE) == PYTHON_FOUND;
}

// "3.11.2"; NULL as long as no interpreter was seen. Static storage; stays once it is there.
const char *python_version(void);

// One sentence on why an interpreter's frames are not read; NULL when there is nothing to say. Static
// storage.
const char *python_note(void);

// An address within the interpreter's module; NULL unless python_found() was ever true.
const void *python_landmark(void);

// Brings `stack` up to date. -1: the thread has no Python stack now; `stack` is as it was. Else how many of
// the outermost frames are what they were in the previous capture, `node` included; the others are new and
// have node 0. depth >= 1 then. The node above the new frames is that of the innermost unchanged one, or
// outer_node. All allocations in the interpreter's OBJ domain must be captured, but for those of which
// python_overlooked is told.
int python_capture(struct python_stack *stack);

// Where the interpreter keeps its OBJ domain's malloc, and which one is ours (objects.c). NULL: not known.
extern SHIM_OWN const void *const *python_objects_place;
extern SHIM_OWN const void *python_objects_malloc;

// Whether all events of that domain come to us now.
static inline bool python_sees_objects(void) {
    const void *const *place = __atomic_load_n(&python_objects_place, __ATOMIC_ACQUIRE);
    return place && __atomic_load_n(place, __ATOMIC_RELAXED) == python_objects_malloc;
}

// An object of the OBJ domain was allocated, and the thread's stack not looked at.
static inline void python_overlooked(struct python_stack *stack) {
    stack->anchors_count = stack->examined = 0;
}

struct python_sure;

// Fills in what same.h compares the next stacks of this thread with: the one just captured.
// False: it takes more to know this one.
bool python_rely(struct python_sure *sure, const struct python_stack *stack);

// A frame that looks like an anchor (frames.c). It is one if PyEval_EvalCode, or a function that this has
// called, is the caller of the evaluation loop in whose C frame `place` is.
struct python_candidate {
    uint32_t at;
    uintptr_t place;
};

// Right after a capture: how many of the frames that have come since the last call look so; the innermost
// first.
unsigned python_candidates(struct python_stack *stack, struct python_candidate found[PYTHON_ANCHORS]);

// The code of PyEval_EvalCode; 0 = not known.
uintptr_t python_eval_code(void);

// It is one; the outermost first.
void python_anchor_found(struct python_stack *stack, uint32_t at);

// Right after python_capture has said -1: whether the calling thread is in the interpreter's Py_FinalizeEx,
// and no Python function runs; then python_same_ending tells whether that is still so.
bool python_ending(struct python_sure *sure, const struct python_stack *stack);

// Whether the function whose code begins there is that one (0), or calls it, or from 3.13 on a part of it
// (1); else -1.
int python_finalizer(uintptr_t start);

// Whether the interpreter has not been initialised yet, or not again.
bool python_beginning(void);

// Whether its Py_InitializeFromConfig has code there.
bool python_in_initializer(uintptr_t address);

// The nodes of `stack` mean nothing any more: the next capture finds every frame new.
void python_forget(struct python_stack *stack);

// `stack` has been another thread's, which is gone; after python_forget.
void python_begin(struct python_stack *stack);

// One entry of the interpreter's evaluation loop, and with it one C frame. The Python frames that it runs
// follow each other in the stack; up to 3.10 there is one, later there may be many.
struct python_run {
    uint32_t first;  // the outermost of them; they end where the next run inside begins, maybe at once
    uintptr_t place; // an address in that C frame; 0 = not known
};

// The runs of the stack that this thread has just captured, innermost first; with `from`, only those that
// begin with frame `from` or further in. False: the stack is not known to its beginning, or there are more
// than `most`.
bool python_runs(struct python_stack *stack, uint32_t from, struct python_run *runs, unsigned most,
                 unsigned *count);

// Whether the code at `address` is the evaluation loop's. False also where the loop is not known.
bool python_in_loop(uintptr_t address);

// A word that one of the program's contexts (contextvars) holds.
struct python_mark {
    const void *context;
    uint64_t word;
};

#define PYTHON_MARKS 64 // words; further out, they are not seen

// The context that the calling thread is in; NULL: none yet, or python_marks looks for nothing.
const void *python_context(struct python_stack *stack);

// From now on python_marks looks for this variable (a ContextVar; `hash` is what Python says it is), whose
// values are bytes of such words. `value` is what it has in the present context. False: that was not found,
// so contexts cannot be read here.
bool python_marks_start(struct python_stack *stack, const void *variable, int64_t hash, const void *value);

// Tells the times apart at which a thread was in different contexts: equal ones mean that it has entered and
// left none in between, so that python_marks says the same unless the program has set the variable.
struct python_moment {
    const void *state; // NULL: nothing is known
    uint64_t id, version;
};
struct python_moment python_moment(struct python_stack *stack);

// The words in the contexts that the calling thread has entered and not left: the innermost context first, in
// each the last word first. Returns how many.
unsigned python_marks(struct python_stack *stack, struct python_mark *marks);

// Text is UTF-8, with surrogateescape's bytes as they were and U+FFFD for other lone surrogates; not
// terminated.
struct python_location {
    const char *file; // co_filename
    size_t file_length;
    const char *name; // co_qualname; co_name before 3.11
    size_t name_length;
    uint32_t first_line; // co_firstlineno
    uint32_t line;
};

// Where a frame of the latest capture of the calling thread is. Under the caller's lock. `buffer` receives
// the text; what does not fit is cut between characters, so give it 1 KiB at least. False: not readable.
bool python_locate(const struct python_frame *frame, struct python_location *location, char *buffer,
                   size_t size);

// The same for a code object, whose line is its first. False also for what is no code object.
bool python_locate_code(const void *code, struct python_location *location, char *buffer, size_t size);

// A word of the caller's for the frame's function, 0 at first and again when it had to be forgotten; and the
// line that it is on. Valid until the next call, under the caller's lock. NULL: not readable, or no memory.
uint32_t *python_function(const struct python_frame *frame, uint32_t *line);

// A word of the caller's for this place in the code: 0 at first, and again when it had to be forgotten. Valid
// until the next call, under the caller's lock. NULL: no memory.
uint32_t *python_slot(const struct python_frame *frame);

// Has the processor fetch what python_slot will look at. Without a lock.
void python_slot_fetch(const struct python_frame *frame);

// Makes the words that `gone` says so of 0 again.
void python_slots_forget(bool (*gone)(uint32_t word));

// Objects of Python's own allocator are to be tracked (objects.c), as soon as that can be arranged safely:
// all of them, or samples (`seed` of the random numbers that choose; 0 = another one each time).
void python_objects_start(bool sampled, uint64_t seed);

// At the end of the process. True: the program has put allocators of its own in front of ours, or in their
// place, as far as was noticed: small objects that they did not pass on are not known.
bool python_objects_replaced(void);

#endif
