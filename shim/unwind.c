// SPDX-License-Identifier: MIT
//
// Capturing a stack: compare, walk what is new, compare what is left.

#include "shim/unwind.h"
#include "shim/unwind_maps.h"
#include "shim/unwind_row.h"
#include "shim/unwind_rule.h"
#include "shim/unwind_walk.h"

#define unwind_likely(x) __builtin_expect(!!(x), 1)

#define UNWIND_NO_FP 1 // no address: what depends on it fails

// Zero state until unwind_init: rules are then made anew each time.
static struct unwind_state unwind_unset;
static struct unwind_state *unwind = &unwind_unset;

void unwind_init(struct unwind_state *state) {
    unwind = state;
    unwind_find_init();
    unwind_maps_init(&state->modules);
}

void unwind_forget(uintptr_t start, uintptr_t end) {
    (void)start;
    (void)end;
    unwind_maps_forget();
    unwind_rule_forget(unwind);
}

// Do the first `count` words hold what they held? From the innermost outward; returns how many of them are
// not known to, the one that has changed being the last of these: 0 if none has. Loads are independent of
// each other.
static inline uint32_t unwind_verify(const struct unwind_word *words, uint32_t count) {
    while (count >= 4) {
        const struct unwind_word *word = words + count - 4;
        uintptr_t changed = *(const volatile uintptr_t *)word[0].address ^ word[0].value;
        changed |= *(const volatile uintptr_t *)word[1].address ^ word[1].value;
        changed |= *(const volatile uintptr_t *)word[2].address ^ word[2].value;
        changed |= *(const volatile uintptr_t *)word[3].address ^ word[3].value;
        if (changed)
            break;
        count -= 4;
    }
    while (count && *(const volatile uintptr_t *)words[count - 1].address == words[count - 1].value)
        count--;
    return count;
}

// Words of frames further out than `frame`.
static inline uint32_t unwind_words_before(const struct unwind_frame *frames, uint32_t frame) {
    return frame ? frames[frame - 1].words : 0;
}

static inline bool unwind_same_fp(const struct unwind_frame *frame, uintptr_t fp) {
    return frame->fp == fp || !(frame->flags & UNWIND_NEEDS_FP);
}

// The frame that a word belongs to, which is one of the first `frames`.
static uint32_t unwind_owner(const struct unwind_frame *frames, uint32_t count, uint32_t word) {
    while (count > 1 && frames[count - 2].words > word)
        count--;
    return count - 1;
}

// Moves the new frames down to `base`, and completes them: what they need of their fp, and with it which of
// the words matter, is known only from the outermost inward.
static inline __attribute__((always_inline)) uint32_t unwind_settle(const struct unwind_walk *walk,
                                                                    uint32_t base, uint32_t nodes_kept) {
    struct unwind_stack *stack = walk->stack;
    struct unwind_frame *frames = stack->frames;
    struct unwind_word *words = stack->words;
    uint32_t next = walk->word, word = unwind_words_before(frames, base), at = base;
    bool needs = base && (frames[base - 1].flags & UNWIND_NEEDS_FP);
    for (uint32_t from = walk->frame; from < stack->capacity; from++, at++) {
        struct unwind_frame frame = frames[from];
        needs = (frame.flags & UNWIND_USES_FP) || ((frame.flags & UNWIND_KEEPS_FP) && needs);
        for (uint32_t i = 0; i < frame.words; i++) {
            struct unwind_word noted = words[next++];
            if ((noted.address & UNWIND_WORD_OF_FP) && !needs)
                continue;
            noted.address &= ~(uintptr_t)UNWIND_WORD_OF_FP;
            words[word++] = noted;
        }
        if (at < nodes_kept)
            frame.node = frames[at].node;
        frame.flags = (frame.flags & UNWIND_EXACT_PC) | (needs ? UNWIND_NEEDS_FP : 0);
        frame.words = word & 0xffffff;
        frames[at] = frame;
    }
    stack->depth = at;
    return at < nodes_kept ? at : nodes_kept;
}

// After a walk to the end: how many of its outermost frames are those of the last capture, wherever their
// slots are now. A node stands for the path of values.
static inline __attribute__((always_inline)) uint32_t unwind_common(const struct unwind_walk *walk) {
    const struct unwind_stack *stack = walk->stack;
    const struct unwind_frame *now = stack->frames + walk->frame, *then = stack->frames;
    uint32_t most = stack->capacity - walk->frame, same = 0;
    if (most > stack->depth)
        most = stack->depth;
    while (same < most && now[same].value == then[same].value &&
           ((now[same].flags ^ then[same].flags) & UNWIND_EXACT_PC) == 0)
        same++;
    return same;
}

enum unwind_outcome { STEP_CALLER, STEP_END, STEP_LOST, STEP_ROW };

// From the innermost new frame so far to its caller's; slot, value and fp change from one's to the other's.
static inline __attribute__((always_inline)) enum unwind_outcome
unwind_step(struct unwind_walk *walk, struct unwind_state *state, uintptr_t *slot, uintptr_t *value,
            uintptr_t *fp) {
    uint64_t rule = unwind_rule_find(state, *value);
    uintptr_t cfa = 0, word = 0, place = 0;
    uint32_t flags = 0;
    switch (unwind_rule_cfa(rule)) {
    case UNWIND_CFA_SP:
        cfa = *slot + 8 + (uintptr_t)unwind_rule_cfa_offset(rule);
        break;
    case UNWIND_CFA_FP:
        cfa = *fp + (uintptr_t)unwind_rule_cfa_offset(rule);
        flags = UNWIND_USES_FP;
        break;
    case UNWIND_CFA_FP_WORD:
        place = *fp + (uintptr_t)unwind_rule_inner_offset(rule);
        if (place <= *slot || !unwind_walk_read(walk, place, &word))
            return STEP_LOST;
        unwind_walk_note(walk, place, word);
        cfa = word + (uintptr_t)unwind_rule_outer_offset(rule);
        flags = UNWIND_USES_FP;
        break;
    case UNWIND_CFA_END:
        return STEP_END;
    case UNWIND_CFA_ROW:
        return STEP_ROW;
    default:
        return STEP_LOST;
    }
    // All that belongs to callers is further up: so a smashed stack cannot send us round in circles, and the
    // words of a frame are readable while that frame is there.
    if (cfa - 8 <= *slot)
        return STEP_LOST;
    switch (unwind_rule_fp(rule)) {
    case UNWIND_FP_SAME:
        flags |= UNWIND_KEEPS_FP;
        break;
    case UNWIND_FP_LOST:
        *fp = UNWIND_NO_FP;
        break;
    case UNWIND_FP_AT_FP:
        flags |= UNWIND_USES_FP;
        // fall through
    case UNWIND_FP_AT_CFA:
        place =
            (unwind_rule_fp(rule) == UNWIND_FP_AT_FP ? *fp : cfa) + (uintptr_t)unwind_rule_fp_offset(rule);
        if (place <= *slot || !unwind_walk_read(walk, place, fp))
            return STEP_LOST;
        unwind_walk_note(walk, place | UNWIND_WORD_OF_FP, *fp);
        break;
    }
    *slot = cfa - 8;
    if (!unwind_walk_read(walk, *slot, value))
        return STEP_LOST;
    unwind_walk_note(walk, *slot, *value);
    walk->stack->frames[walk->frame].flags |= flags & 0xff;
    return *value ? STEP_CALLER : STEP_END;
}

// Everything but a stack that has not changed at all.
static __attribute__((noinline)) unsigned unwind_update(struct unwind_stack *stack,
                                                        struct unwind_state *state, uint64_t generation,
                                                        uintptr_t pc, uintptr_t sp, uintptr_t fp) {
    if (stack->generation != generation) {
        stack->generation = generation;
        stack->depth = 0;
    }
    struct unwind_walk walk;
    unwind_walk_begin(&walk, stack);
    unwind_walk_enter(&walk, sp, true);
    uintptr_t slot = sp - 8, value = pc;
    // Frames of the last capture that can still turn out to be current, if they can be looked at.
    uint32_t candidates = walk.direct && stack->direct ? stack->depth : 0;
    enum unwind_outcome step = STEP_CALLER;
    while (step == STEP_CALLER && unwind_walk_room(&walk)) {
        const struct unwind_frame *frames = stack->frames;
        if (unwind_likely(candidates <= stack->depth))
            while (candidates && frames[candidates - 1].slot < slot)
                candidates--;
        else
            candidates = 0;
        if (candidates && frames[candidates - 1].slot == slot) {
            const struct unwind_frame *old = &frames[candidates - 1];
            if (old->value == value && unwind_same_fp(old, fp) && !(old->flags & UNWIND_EXACT_PC)) {
                uint32_t changed = unwind_verify(stack->words, unwind_words_before(frames, candidates - 1));
                if (!changed) {
                    // Its own words have changed, if it was reached from other callees; so it counts as
                    // walked to.
                    unwind_walk_push(&walk, slot, value, fp,
                                     old->flags & UNWIND_NEEDS_FP ? UNWIND_USES_FP : 0);
                    return unwind_settle(&walk, candidates - 1, candidates);
                }
                // The frames between here and there are as they were, but not their callers: their nodes are
                // others.
                candidates = unwind_owner(frames, candidates - 1, changed - 1);
            } else {
                candidates--;
            }
        }
        unwind_walk_push(&walk, slot, value, fp, 0);
        step = unwind_step(&walk, state, &slot, &value, &fp);
    }
    if (step == STEP_ROW) {
        struct unwind_walk copy;
        unwind_walk_begin(&copy, stack);
        unwind_row_walk(&copy, pc, sp);
        walk = copy;
    } else {
        if (step == STEP_LOST)
            walk.loss |= UNWIND_LOST;
        unwind_walk_close(&walk, step == STEP_END);
    }
    stack->loss = walk.loss;
    stack->direct = walk.direct;
    return unwind_settle(&walk, 0, unwind_common(&walk));
}

unsigned unwind_capture_at(struct unwind_stack *stack, uintptr_t pc, uintptr_t sp, uintptr_t fp) {
    struct unwind_state *state = unwind;
    uint64_t generation = __atomic_load_n(&state->generation, __ATOMIC_ACQUIRE);
    if (unwind_likely(stack->direct && stack->generation == generation &&
                      sp - stack->home_low < stack->home_size && stack->depth)) {
        const struct unwind_frame *frames = stack->frames, *top = &frames[stack->depth - 1];
        if (top->slot == sp - 8 && top->value == pc && unwind_same_fp(top, fp) &&
            !unwind_verify(stack->words, unwind_words_before(frames, stack->depth - 1)))
            return stack->depth;
    }
    return unwind_update(stack, state, generation, pc, sp, fp);
}
