// SPDX-License-Identifier: MIT
//
// See seen.h.

#include "shim/seen.h"
#include "shim/arena.h"

#define SEEN_PATIENCE 8 // a stack whose words were others so often in a row is kept again only now and then

void seen_keep(struct seen *seen, const struct unwind_stack *stack, uintptr_t pc, uintptr_t sp, uintptr_t fp,
               uint32_t node) {
    uint32_t count;
    bool fp_counts;
    const struct unwind_word *words = unwind_words(stack, &count, &fp_counts);
    if (count == 0 || count > SEEN_WORDS)
        return;
    if (!seen->stacks) {
        seen->stacks = arena_alloc(SEEN_STACKS * sizeof *seen->stacks);
        if (!seen->stacks)
            return;
    }
    struct seen_stack *place = seen_at(seen, pc, sp);
    if (place->pc != pc || place->sp != sp) {
        // Met for the first time: most are not met again before another one wants the place.
        place->pc = pc;
        place->sp = sp;
        place->node = 0;
        place->changed = 0;
        return;
    }
    if (place->changed > SEEN_PATIENCE && place->changed % SEEN_PATIENCE)
        return;
    place->node = node;
    place->fp = fp;
    place->fp_counts = fp_counts ? UINTPTR_MAX : 0;
    place->count = count;
    uint32_t i = 0;
    for (; i < count; i++)
        place->words[i] = words[i];
    for (; i % 4; i++)
        place->words[i] = words[0];
}

void seen_forget(struct seen *seen) {
    for (uint32_t i = 0; seen->stacks && i < SEEN_STACKS; i++)
        seen->stacks[i].pc = 0;
}
