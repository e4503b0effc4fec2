// SPDX-License-Identifier: MIT
//
// A walk in progress: what unwind.c and unwind_row.c share. Not for others.
//
// Frames are met innermost first, but kept outermost first: so a walk fills the arrays from their far ends
// downward, and when it is over, its frames are moved down behind those that stay.
//
//   frames:  | kept from the last capture ... |      free      | outermost ... new ... innermost |
//            0                                depth            frame                     capacity
//
// The words that a frame is derived from are noted while it is looked for, and become its own when it is
// pushed.

#ifndef PEAKLINE_UNWIND_WALK_H
#define PEAKLINE_UNWIND_WALK_H

#include "shim/unwind.h"

// In `flags` of a frame on its way: what its rule does with its fp.
enum unwind_walk_flags {
    UNWIND_USES_FP = 1 << 2,  // finds the caller through it
    UNWIND_KEEPS_FP = 1 << 3, // hands it on to the caller
};

// Added to the address of a word that holds a frame's fp, and matters only where that does. Addresses are
// multiples of 8.
#define UNWIND_WORD_OF_FP 1u

#define UNWIND_FRAME_WORDS 8 // noted for one frame at the most

// In `flags` of a frame: how many words it has; of a frame that is kept, with those of all frames further
// out.
#define UNWIND_WORDS_SHIFT 8

static inline uint32_t unwind_words_until(const struct unwind_frame *frame) {
    return frame->flags >> UNWIND_WORDS_SHIFT;
}

struct unwind_walk {
    struct unwind_stack *stack;
    uintptr_t low, readable, high; // words in [low, readable) may be read; up to `high` after a probe
    uint32_t frame, word;          // the lowest new ones
    uint32_t noted;                // words that belong to no frame yet
    uint32_t frames_kept;          // of the last capture, not to be overwritten yet
    uint32_t words_kept;
    uint32_t probes; // how many more are allowed
    uint32_t loss;
    bool direct; // as in struct unwind_stack
};

// How many words go with so many frames.
static inline uint32_t unwind_walk_words(uint32_t capacity) {
    return capacity * 2 + 2 * UNWIND_FRAME_WORDS;
}

#define UNWIND_PROBES 1024 // pages, in one walk

static inline void unwind_walk_begin(struct unwind_walk *walk, struct unwind_stack *stack) {
    walk->stack = stack;
    walk->frame = stack->capacity;
    walk->word = stack->capacity ? unwind_walk_words(stack->capacity) : 0;
    walk->noted = 0;
    walk->frames_kept = stack->depth;
    walk->words_kept = stack->depth ? unwind_words_until(&stack->frames[stack->depth - 1]) : 0;
    walk->probes = UNWIND_PROBES;
    walk->loss = 0;
    walk->direct = true;
}

// `sp` is not on the known part of the thread's own stack: finds out whether it is on the unknown one.
void unwind_walk_learn(struct unwind_stack *stack, uintptr_t sp);

// Bounds for any other stack.
void unwind_walk_abroad(struct unwind_walk *walk, uintptr_t sp, bool running);

// Bounds for the stack that `sp` points into. `running`: we are on it, so the word below sp is known to
// exist; otherwise sp may be anything.
static inline void unwind_walk_enter(struct unwind_walk *walk, uintptr_t sp, bool running) {
    struct unwind_stack *stack = walk->stack;
    if (__builtin_expect(running && sp - stack->home_low >= stack->home_size, 0))
        unwind_walk_learn(stack, sp);
    if (__builtin_expect(sp - stack->home_low >= stack->home_size, 0)) {
        unwind_walk_abroad(walk, sp, running);
        return;
    }
    walk->low = sp;
    walk->readable = walk->high = stack->home_low + stack->home_size;
}

// Before each push, for it and the notes that follow it: room for a frame and UNWIND_FRAME_WORDS words.
// False: none to be had (`loss`).
bool unwind_walk_grow(struct unwind_walk *walk);

static inline bool unwind_walk_room(struct unwind_walk *walk) {
    if (__builtin_expect(
            walk->frame == walk->frames_kept || walk->word < walk->words_kept + UNWIND_FRAME_WORDS, 0))
        return unwind_walk_grow(walk);
    return true;
}

// `address` is not in [low, readable). True: it is now.
bool unwind_walk_extend(struct unwind_walk *walk, uintptr_t address);

static inline bool unwind_walk_read(struct unwind_walk *walk, uintptr_t address, uintptr_t *out) {
    if (__builtin_expect(address & 7, 0))
        return false;
    if (__builtin_expect(address - walk->low >= walk->readable - walk->low, 0) &&
        !unwind_walk_extend(walk, address))
        return false;
    *out = *(const volatile uintptr_t *)address;
    return true;
}

static inline void unwind_walk_note(struct unwind_walk *walk, uintptr_t address, uintptr_t value) {
    struct unwind_word *word = &walk->stack->words[--walk->word];
    word->address = address;
    word->value = value;
    walk->noted++;
}

static inline struct unwind_frame *unwind_walk_push(struct unwind_walk *walk, uintptr_t slot, uintptr_t value,
                                                    uintptr_t fp, uint32_t flags) {
    struct unwind_frame *frame = &walk->stack->frames[--walk->frame];
    frame->slot = slot;
    frame->value = value;
    frame->fp = fp;
    frame->node = 0;
    frame->flags = flags | walk->noted << UNWIND_WORDS_SHIFT;
    walk->noted = 0;
    return frame;
}

#endif
