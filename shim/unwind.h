// SPDX-License-Identifier: MIT
//
// Native stacks by verified incremental unwinding.
//
// A whole walk of the stack at each allocation is what makes profilers slow. So each thread keeps its
// previous stack as a chain of frames, and beside it every word of memory that the chain was derived from:
// the slots that hold return addresses, and the saved frame pointers where an outer frame is found through
// one. A new capture walks from the innermost frame outward until it meets a frame of that chain in the same
// state; when the words of all frames further out still hold what they held, those frames are what a whole
// walk would find again, since each step of a walk is a function of that state and those words alone. If a
// word has changed, the walk goes on from there. Nothing is ever guessed: a stack that cannot be followed to
// its end is cut and says so (`loss`).
//
// Rules (how to get from a frame to its caller) are compiled from .eh_frame, once per return address, into a
// cache of the whole process (unwind_rule.h).
//
// Memory that is read: the code's unwind tables, inside the segments of their module; the stack, aligned
// words between the caller's stack pointer and the top of the thread's own stack. Elsewhere (coroutines,
// alternate signal stacks) each further page is probed by a system call before it is read, so neither
// a table that lies nor a smashed stack makes a capture fault or loop.
//
// Threads: any number at once, each with its own struct unwind_stack. Signals: safe as long as two captures
// never share a struct. No locks; errno is left alone; the only call into the C library is _dl_find_object,
// which takes no lock either. Memory comes from arena.h.
// Children: after fork, unwind_init must have run again before the first capture, on a struct unwind_state
// that is all zero and with stacks that are all zero; a child of vfork or clone(CLONE_VM) counts as a thread
// that borrows its parent's struct.

#ifndef PEAKLINE_UNWIND_H
#define PEAKLINE_UNWIND_H

#include "shim/unwind_find.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Frames kept of one stack: 1 Mi of them are 16 MiB of stack at the least. Deeper ones lose their outermost
// frames.
#define UNWIND_DEPTH_MAX (1u << 20)

enum unwind_flags {
    UNWIND_EXACT_PC = 1 << 0, // `value` is the interrupted instruction itself: a signal handler runs above it
    UNWIND_NEEDS_FP =
        1 << 1, // the module's own: `fp` decides where this frame's caller is, or the caller's caller
};

enum unwind_loss {
    UNWIND_LOST = 1 << 0, // the outermost frame kept is not the first of its stack: no unwind information
    UNWIND_DEEP = 1 << 1, // more than UNWIND_DEPTH_MAX frames, or no memory for them
};

struct unwind_frame {
    uintptr_t slot;  // address of the word that holds `value`
    uintptr_t value; // return address, unless UNWIND_EXACT_PC
    uintptr_t fp;    // rbp in the code that `value` points to
    uint32_t node;   // the caller's; 0 in a frame that is new
    uint32_t flags;  // enum unwind_flags in the low 8 bits; above, how many of unwind_stack.words belong to
                     // this frame and those further out
};

// A word of memory and what it held.
struct unwind_word {
    uintptr_t address;
    uintptr_t value;
};

// The previous stack of a thread. All zero is the empty one. The caller reads `frames`, `depth` and `loss`
// and writes `node`; the rest is the module's own. `frames` moves when it grows.
struct unwind_stack {
    struct unwind_frame *frames; // [0] is the outermost
    struct unwind_word *words;   // in the same order
    uint32_t depth;              // frames in use
    uint32_t capacity;
    uint32_t loss;         // enum unwind_loss
    uint32_t words_beyond; // the first of `words` are why the stack ends with frames[0]
    bool direct;           // all `words` lie on the thread's own stack
    uint64_t generation;   // of the rules that were used
    uintptr_t home_low;    // the thread's own stack, as far down as it is known to be readable,
    uintptr_t home_size;   // and its extent; 0 = not known yet
    uintptr_t foreign_low; // pages known not to belong to it
    uintptr_t foreign_end;
    uint64_t time; // time-stamp counter at the end of the last capture, for deep stacks
};

// The process's; all zero is the initial state. The module's own.
struct unwind_state {
    struct unwind_entry *rules; // NULL until the first is learnt
    uint32_t mask;              // buckets in use, less one
    uint32_t evictions;
    uint64_t generation;            // counts unwind_forget
    struct unwind_modules *modules; // where the loader has no _dl_find_object
};

// At start, and in a forked child. Keeps the pointer.
void unwind_init(struct unwind_state *state);

// Brings `stack` up to date and returns how many of its outermost frames are what they were in the previous
// capture, `node` included. The others are new and have node 0. At least one frame, unless there was no
// memory at all: then depth is 0.
//   pc: return address of the hook, the innermost frame's value; sp: rsp after the hook returns, so pc was
//   loaded from sp - 8; fp: rbp after the hook returns.
// The hook must have a frame on the calling stack and unwind information: where registers other than rsp and
// rbp decide, the walk starts again from its own frame.
unsigned unwind_capture_at(struct unwind_stack *stack, uintptr_t pc, uintptr_t sp, uintptr_t fp);

// The same from the hook's __builtin_frame_address(0), in code compiled with frame pointers.
static inline unsigned unwind_capture(struct unwind_stack *stack, const void *hook_frame) {
    const uintptr_t *frame = hook_frame;
    return unwind_capture_at(stack, frame[1], (uintptr_t)(frame + 2), frame[0]);
}

// The words that the last capture's frames follow from, given its pc, sp and, if *fp_counts, fp; they lie on
// the thread's own stack above sp. *count is 0 where that is not all: a stack that is not the thread's own,
// or deep.
const struct unwind_word *unwind_words(const struct unwind_stack *stack, uint32_t *count, bool *fp_counts);

// The stack belongs to another thread now: keeps its memory, forgets everything else.
void unwind_stack_reset(struct unwind_stack *stack);

// Gives its memory back to the arena; what is left is all zero.
void unwind_stack_release(struct unwind_stack *stack);

// Code at [start, end) has been unloaded: to be called before anything else can be loaded there, or run
// there, if that can be arranged. Rules and cached stacks that are older count for nothing from now on.
void unwind_forget(uintptr_t start, uintptr_t end);

#endif
