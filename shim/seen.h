// SPDX-License-Identifier: MIT
//
// Native stacks that a thread has had before: a loop that allocates at several places goes through the same
// few stacks again and again, and then not even their new frames need to be walked.
//
// A walk is a function of pc, sp, fp and the words that it has read (unwind.h). So a stack that was walked
// once is the present one again when it starts at the same pc, sp and fp and all those words hold what they
// held; it takes one comparison a frame to know. Words lie on the thread's own stack above sp, and are
// readable while it is there. All entries hold under one shim.tree_epoch and one shim.code_epoch, as in
// steps.h. Of one thread; memory from the arena.

#ifndef PEAKLINE_SEEN_H
#define PEAKLINE_SEEN_H

#include "shim/unwind.h"

#define SEEN_WORDS 32 // of a stack; deeper ones are not kept

struct seen_stack {
    uintptr_t pc, sp, fp;
    uintptr_t fp_counts; // all ones, or 0: the walk did not depend on fp
    uint32_t node;       // the stack's; 0 = it has only been met, and is kept when it is met again
    uint32_t count;      // words
    uint32_t changed;    // times in a row that the words were others
    struct unwind_word words[SEEN_WORDS];
};

struct seen {
    struct seen_stack *stacks; // NULL until there is one
    uint32_t tries, hits;      // in the present round
    uint32_t rest;             // captures until the next one
};

// To look and to keep costs something: where stacks do not come back, it is given up for a while.
#define SEEN_ROUND 1024     // captures in a round
#define SEEN_WORTH 8        // at least one in so many has to be found
#define SEEN_REST (1 << 15) // captures without

// Whether seen_find and seen_keep are worth a call for the present capture.
static inline bool seen_pays(struct seen *seen) {
    if (seen->rest) {
        seen->rest--;
        return false;
    }
    if (__builtin_expect(++seen->tries == SEEN_ROUND, 0)) {
        seen->rest = seen->hits < SEEN_ROUND / SEEN_WORTH ? SEEN_REST : 0;
        seen->tries = seen->hits = 0;
    }
    return true;
}

#define SEEN_STACKS 64 // a power of two

static inline struct seen_stack *seen_at(const struct seen *seen, uintptr_t pc, uintptr_t sp) {
    return &seen->stacks[((pc ^ sp << 13) * 0x9e3779b97f4a7c15u) >> 58];
}

// The node of the stack that starts there; 0 = not known.
static inline uint32_t seen_find(struct seen *seen, uintptr_t pc, uintptr_t sp, uintptr_t fp) {
    if (__builtin_expect(!seen->stacks, 0))
        return 0;
    struct seen_stack *stack = seen_at(seen, pc, sp);
    if (stack->pc != pc || stack->sp != sp || ((stack->fp ^ fp) & stack->fp_counts) || !stack->node)
        return 0;
    // Four at a time; entries are padded with words that are compared twice.
    const struct unwind_word *word = stack->words, *end = word + stack->count;
    do {
        uintptr_t changed = *(const volatile uintptr_t *)word[0].address ^ word[0].value;
        changed |= *(const volatile uintptr_t *)word[1].address ^ word[1].value;
        changed |= *(const volatile uintptr_t *)word[2].address ^ word[2].value;
        changed |= *(const volatile uintptr_t *)word[3].address ^ word[3].value;
        if (__builtin_expect(changed != 0, 0)) {
            stack->changed++;
            return 0;
        }
        word += 4;
    } while (word < end);
    stack->changed = 0;
    seen->hits++;
    return stack->node;
}

// The stack that has just been captured has this node.
void seen_keep(struct seen *seen, const struct unwind_stack *stack, uintptr_t pc, uintptr_t sp, uintptr_t fp,
               uint32_t node);

void seen_forget(struct seen *seen);

#endif
