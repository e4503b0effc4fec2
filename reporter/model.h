// SPDX-License-Identifier: MIT
//
// The model: what a recording says, in the reporter's terms.
//
//   process   one image of one process, with its end worked out from all files of the recording
//   function  a Python function or a native one (inlined ones included), known by file, first line and name
//   line      a line of a file, in a function
//   scope     a span that the program named; among the functions, with a name and nothing else
//   level     one line on a stack. A Python frame is one level; a native frame is one or more: functions
//             that the compiler inlined at the call site are levels of their own.
//
// Native frames are named by a resolver (symbolize.h is the real one); without one they are module+0xoffset.
// Ownership: the model owns its processes, strings and the recording. Strings are interned: equal ones have
// equal addresses. They hold arbitrary bytes (never NUL). Units: bytes, seconds. Threads: one.

#ifndef PEAKLINE_MODEL_H
#define PEAKLINE_MODEL_H

#include "reporter/memory.h"
#include "reporter/reader.h"

enum model_end { MODEL_UNKNOWN, MODEL_RUNNING, MODEL_EXITED, MODEL_SIGNALLED, MODEL_REPLACED };

struct model_function {
    const char *file;    // NULL = not known
    const char *name;    // never NULL
    const char *module;  // native: path of the module where it was first seen, each once; NULL = none
    uint32_t first_line; // 0 = not known
    uint32_t language;   // enum record_language
    uint32_t chosen;     // not 0: the program wants its table; its number in the recording
    const char *starter; // of the threads that a function started: its name, and its `chosen`; else NULL
    // Native: its other names, the last one NULL; NULL = none, or not asked for.
    const char *const *aliases;
};

struct model_line {
    uint32_t function;
    uint32_t line;    // 0 = not known
    const char *file; // NULL = not known; not always the function's own: code can be included
};

struct model_process {
    struct reader_image *image;
    enum model_end end;
    int exit_code, signal;
    double start_time; // since 1970
    double duration;
    const char **command; // argv
    size_t command_count;
    const char *cwd, *executable, *python_version, *python_note, *shim_version; // NULL = not known
    uint64_t lost_events; // bytes on a wrong line, or nowhere

    // Between model_load and model_unload:
    uint32_t *order; // the nodes in use, the root aside: each after its parent, subtrees together
    uint32_t order_count, context_count; // contexts: in which something happened, but for folded ones
    struct model_function *functions;
    struct model_line *lines;
    uint32_t function_count, line_count;
    // The levels of frame f: lines levels[first_level[f]] .. levels[first_level[f + 1] - 1], outermost first;
    // none where the frame is not in use.
    uint32_t *levels, *first_level;
    bool loaded;
};

struct model {
    struct reader_recording *recording;
    struct pool *pool;
    struct model_process *processes; // highest peak first
    size_t process_count;
    bool complete; // nothing is damaged, lost, running or of unknown end
};

// What is to be named.
struct model_address {
    const char *path; // of the module
    const uint8_t *build_id;
    uint32_t build_id_length; // 0 = none
    uint64_t recorded_ns;     // since 1970: a file without build-id that is newer is another one
    uint64_t address;         // ELF virtual address inside the instruction
    uint64_t function_start;  // 0 = not known
};

struct model_found {
    const char *function;      // NULL = not known
    const char *function_file; // NULL = not known
    const char *file;          // NULL = not known
    uint32_t first_line, line; // 0 = not known
    bool external;             // not static: in its module no other function has this name
    // Other names of the function, the last one NULL; NULL = none.
    const char *const *aliases;
};

#define MODEL_LEVELS_MAX 64

struct model_resolver {
    // Fills in `levels`, innermost first; returns how many, 0 when nothing is known. The strings must stay
    // until the next call.
    size_t (*resolve)(struct model_resolver *resolver, const struct model_address *address,
                      struct model_found levels[MODEL_LEVELS_MAX]);
};

// NULL on failure, as reader_open.
struct model *model_open(const char *path, struct reader_error *error);
void model_close(struct model *model);

// Reads a process's tables, applies what was pending when it was recorded, and names its frames. False when
// the file can no longer be read.
bool model_load(struct model *model, struct model_process *process, struct model_resolver *resolver,
                struct reader_error *error);
void model_unload(struct model_process *process);

// A node's bytes when the process's heap was at its peak.
int64_t model_at_peak(const struct model_process *process, const struct record_node *node);

// What the process was changing when it ended: enum record_updating. While it runs, always nothing.
enum record_updating model_unfinished(const struct model_process *process);

// "exited", "signalled", "replaced", "running", "unknown".
const char *model_end_name(enum model_end end);

// Time that the process spent in the shim: an estimate from samples. False when there is none, and when it is
// more than the time there was: few samples, one of which another process had interrupted.
bool model_hook_seconds(const struct model_process *process, double *seconds);

// Sums that stop at the ends of their range: a damaged file may hold any number.
static inline int64_t model_add(int64_t a, int64_t b) {
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return b < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

static inline int64_t model_signed(uint64_t value) {
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static inline uint64_t model_add_unsigned(uint64_t a, uint64_t b) {
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

#endif
