// SPDX-License-Identifier: MIT
//
// What the tree has said to a thread: from a node and a frame below it to the frame's node, without a lock.
//
// Direct-mapped; starts small and grows as long as misses outnumber its entries. All entries hold under one
// shim.tree_epoch and one shim.code_epoch: who finds another one must forget them. Of one thread; memory from
// the arena.

#ifndef PEAKLINE_STEPS_H
#define PEAKLINE_STEPS_H

#include <stdbool.h>
#include <stdint.h>

enum step_kind {
    STEP_PATH = 0,       // as tree_path says
    STEP_LEAF = 1 << 0,  // as tree_leaf says
    STEP_EXACT = 1 << 1, // UNWIND_EXACT_PC
};

#define STEP_ALLOCATOR (1u << 31) // with a node: the frame is the allocator's own (place.h)

// Made by step_native and step_python.
struct step {
    uint64_t place;       // native: address; Python: instruction; above bit 60 enum step_kind
    uint64_t code;        // Python: code object, 0 for native
    uint64_t parent_life; // parent node; above bit 32, for Python, which of the code objects at that address
    uint32_t node;        // 0 = not known
};

static inline struct step step_native(uintptr_t address, bool exact, uint32_t parent) {
    return (struct step){.place = address ^ (exact ? (uint64_t)STEP_EXACT << 60 : 0), .parent_life = parent};
}

static inline struct step step_python(uintptr_t instruction, const void *code, uint32_t life,
                                      uint32_t parent) {
    return (struct step){
        .place = instruction, .code = (uintptr_t)code, .parent_life = parent | (uint64_t)life << 32};
}

// The same place, innermost.
static inline struct step step_leaf(struct step step) {
    step.place ^= (uint64_t)STEP_LEAF << 60;
    return step;
}

struct steps {
    struct step *entries; // NULL until the first is kept
    uint32_t mask;
    uint32_t misses; // since it grew last
};

// Room for one more that was not found.
void steps_keep(struct steps *steps, const struct step *step, uint32_t node);

void steps_forget(struct steps *steps);

static inline uint32_t steps_index(const struct steps *steps, const struct step *step) {
    uint64_t key = step->place ^ step->parent_life << 44 ^ step->code << 17;
    return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 48) & steps->mask;
}

// The node; 0 = not known.
static inline uint32_t steps_find(const struct steps *steps, const struct step *step) {
    if (__builtin_expect(!steps->entries, 0))
        return 0;
    const struct step *found = &steps->entries[steps_index(steps, step)];
    uint64_t different =
        (found->place ^ step->place) | (found->code ^ step->code) | (found->parent_life ^ step->parent_life);
    return __builtin_expect(different == 0, 1) ? found->node : 0;
}

#endif
