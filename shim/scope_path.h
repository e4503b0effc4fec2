// SPDX-License-Identifier: MIT
//
// Scopes on the way from the root to a stack's node. A scope is a frame of its own (RECORD_SCOPE), so that
// its peak comes about like that of any function.
//
// Where: the line that started a thread comes first (RECORD_THREADS), then the thread's scopes, outside of
// all frames; a scope of a Python frame comes just outside of that frame. Then the innermost frame is a line
// of the program whatever is open, and the scope holds all that the frame and those inside it do. What
// Python's contexts carry on comes between: all that runs in a context that was copied within a scope, frames
// of an event loop included, is in it. Callers hold shim.lock.

#ifndef PEAKLINE_SCOPE_PATH_H
#define PEAKLINE_SCOPE_PATH_H

#include "shim/scope.h"
#include "shim/shim.h"
#include "shim/tree.h"

// The frame of the line that started the calling thread; 0: it is not known.
static inline uint32_t scope_path_origin(void) {
    return shim_likely(!thread_self.origin) || thread_self.origin_generation != shim.generation
               ? 0
               : thread_self.origin;
}

// Out of line: with scopes, or in a thread that a line started.
uint32_t scope_path_begin(void);
uint32_t scope_path_around(uint32_t node, const struct python_frame *frame);

// Whether a Python frame, or its function, has a scope.
bool scope_path_is_around(const struct python_frame *frame);

// The node that the outermost frame comes under which is in these contexts; `node` is what it would be
// without.
uint32_t scope_path_contexts(uint32_t node, const struct python_mark *marks, unsigned count);

// The node that the outermost frame of the calling thread's stack comes under.
static inline uint32_t scope_path_root(void) {
    return shim_likely(!thread_self.scopes && !thread_self.origin) ? TREE_ROOT : scope_path_begin();
}

// The node that a Python frame comes under whose caller has `node`.
static inline uint32_t scope_path_frame(uint32_t node, const struct python_frame *frame) {
    return shim_likely(!scope_of_python) ? node : scope_path_around(node, frame);
}

// Nodes that scopes may need beside those of the frames.
static inline uint32_t scope_path_nodes(void) {
    uint32_t python = scope_of_python < 2 * SCOPE_NESTED ? scope_of_python : 2 * SCOPE_NESTED;
    if (shim_unlikely(thread_self.origin))
        python++;
    return shim_likely(!thread_self.scopes) ? python : python + SCOPE_NESTED;
}

#endif
