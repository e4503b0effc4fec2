// SPDX-License-Identifier: MIT
//
// See steps.h.

#include "shim/steps.h"
#include "shim/arena.h"

#define STEPS_FIRST 256u
#define STEPS_MOST 4096u // 128 KiB, of the largest

static void steps_grow(struct steps *steps) {
    uint32_t old = steps->entries ? steps->mask + 1 : 0, count = old ? old * 2 : STEPS_FIRST;
    struct step *entries = arena_alloc(count * sizeof *entries);
    steps->misses = 0;
    if (!entries)
        return;
    const struct steps before = *steps;
    steps->entries = entries;
    steps->mask = count - 1;
    for (uint32_t i = 0; i < old; i++)
        if (before.entries[i].node)
            entries[steps_index(steps, &before.entries[i])] = before.entries[i];
    if (old)
        arena_free(before.entries, old * sizeof *entries);
}

void steps_keep(struct steps *steps, const struct step *step, uint32_t node) {
    if (!steps->entries || (steps->misses++ > steps->mask && steps->mask + 1 < STEPS_MOST))
        steps_grow(steps);
    if (!steps->entries)
        return;
    struct step *place = &steps->entries[steps_index(steps, step)];
    *place = *step;
    place->node = node;
}

void steps_forget(struct steps *steps) {
    if (steps->entries)
        __builtin_memset(steps->entries, 0, (steps->mask + 1) * sizeof *steps->entries);
}
