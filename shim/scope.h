// SPDX-License-Identifier: MIT
//
// Which scopes are open: a table of named spans, each of which belongs to a thread, to a frame of Python, or
// to a Python function.
//
// A scope that is begun natively lasts until its thread ends it, so it lies outside of all frames of that
// thread's stack. A scope that is begun in Python belongs to the frame whose `with` block it is: it is open
// whenever that frame is on a stack, and a coroutine or generator that is suspended takes its scope with it.
// A scope of a function is open whenever a frame of that function is. What was started within a block, with a
// copy of its context (contextvars), is in the block's scope as well. What a stack's nodes are with them is
// scope_path.h's.
//
// The memory, taken when the first scope is opened, is copied by fork: a child inherits the scopes it was
// forked in. Callers hold shim.lock. Errors: a scope that finds no room is refused, and its allocations are
// counted outside of it.

#ifndef PEAKLINE_SCOPE_H
#define PEAKLINE_SCOPE_H

#include "shim/own.h"

#include <stdbool.h>
#include <stdint.h>

#define SCOPE_MOST 65536 // open at one time, in the process
#define SCOPE_NESTED 64  // of these, in one thread or in one Python frame
#define SCOPE_NAME_MOST                                                                                      \
    240 // bytes of a name that are kept; longer ones are told apart by a hash at their end

struct scope {
    const void *frame, *code; // Python's; a thread's scope has neither, a function's has its code as both
    const void *context; // Python's, that the frame's block was entered in; NULL: no other one can be in it
    uint32_t outer;      // the next one outside of it in the same thread or frame; of a free entry the next
    uint32_t serial;     // tells those apart that use this entry one after the other; 0 = free
    uint32_t number;     // its frame in the recording, for scope_path.c; 0 = not known
    uint32_t generation; // of the process, for which `number` holds
    uint16_t length;     // of the name
    char name[SCOPE_NAME_MOST];
};

// Names an open scope; 0 = none.
typedef uint64_t scope_handle;

extern SHIM_OWN uint32_t scope_of_python;   // how many are open in frames or functions of Python
extern SHIM_OWN uint32_t scope_of_contexts; // those of them that contexts can carry on

// The handle of a new innermost scope of a thread; `*innermost` is that thread's, 0 at first. 0: no room.
// Names are any bytes; what is too long is cut between characters of UTF-8, and ends with a hash.
scope_handle scope_open(uint32_t *innermost, const char *name);

// The same in a frame of Python that runs `code`; for all frames of a function, `frame` is its code, too.
// `context` as in struct scope.
scope_handle scope_open_python(const void *frame, const void *code, const void *context, const char *name);

// Closes a scope; one of a thread, only if it is one of those of `innermost`, and then, with `inside`, also
// those that were opened inside of it. False: it is not open (any more).
bool scope_close(uint32_t *innermost, scope_handle handle, bool inside);

// The innermost scope of a thread, 0 = none.
scope_handle scope_innermost(uint32_t innermost);

// The thread ends.
void scope_close_all(uint32_t *innermost);

// The scopes of a thread, and those that belong to a frame of Python or to its function; the innermost first.
// Returns how many.
unsigned scope_list(uint32_t innermost, struct scope *scopes[SCOPE_NESTED]);
unsigned scope_list_python(const void *frame, const void *code, struct scope *scopes[SCOPE_NESTED]);

// The open scope that a context names by this handle, unless it is the very context that the scope was
// entered in: there its frame tells. NULL: none.
struct scope *scope_in_context(scope_handle handle, const void *context);

#endif
