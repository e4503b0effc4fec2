// SPDX-License-Identifier: MIT
//
// Capturing a stack: compare, walk what is new, compare what is left.

#include "shim/unwind.h"
#include "shim/unwind_maps.h"
#include "shim/unwind_row.h"
#include "shim/unwind_rule.h"
#include "shim/unwind_walk.h"

#define unwind_likely(x) __builtin_expect(!!(x), 1)
#define unwind_unlikely(x) __builtin_expect(!!(x), 0)

#define UNWIND_NO_FP 1 // no address: what depends on it fails

// Bounds for what a processor can do in one tick of its time-stamp counter, generously: eight cycles, each
// with a call or with 128 bytes copied.
#define UNWIND_COMPARED 1024 // frames that are compared in any case
#define UNWIND_CALLS_A_TICK 8
#define UNWIND_BYTES_A_TICK 1024

// Until unwind_init, one like any other.
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

// Words of frames further out than `frame`.
static inline uint32_t unwind_words_before(const struct unwind_stack *stack, uint32_t frame) {
    return frame ? unwind_words_until(&stack->frames[frame - 1]) : stack->words_beyond;
}

static inline bool unwind_same_fp(const struct unwind_frame *frame, uintptr_t fp) {
    return frame->fp == fp || !(frame->flags & UNWIND_NEEDS_FP);
}

// Do words [from, until) hold what they held? Looks from the innermost outward; returns the end of those that
// are not known to, the last of which has changed, or `from`. The loads are independent of each other.
static inline uint32_t unwind_compare(const struct unwind_word *words, uint32_t from, uint32_t until) {
    while (until - from >= 4) {
        const struct unwind_word *word = words + until - 4;
        uintptr_t changed = *(const volatile uintptr_t *)word[0].address ^ word[0].value;
        changed |= *(const volatile uintptr_t *)word[1].address ^ word[1].value;
        changed |= *(const volatile uintptr_t *)word[2].address ^ word[2].value;
        changed |= *(const volatile uintptr_t *)word[3].address ^ word[3].value;
        if (changed)
            break;
        until -= 4;
    }
    while (until > from && *(const volatile uintptr_t *)words[until - 1].address == words[until - 1].value)
        until--;
    return until;
}

// Deep stacks: not every word has to be looked at each time. If a frame has ended since the last capture, so
// have all frames inside it, and each of those that is there again has been called again. A call takes a
// cycle at least; and a program that puts back stacks by copying (as some coroutines do) moves so many bytes
// a cycle at the most. So in the time since the last capture, no frame can have been exchanged that has more
// than so many unchanged frames, and so many bytes of them, inside it. The time-stamp counter runs at the
// processor's nominal frequency, of which the real one is a small multiple. Should it have been set back, all
// words are compared.
static __attribute__((noinline)) uint32_t unwind_verify_deep(struct unwind_stack *stack, uint32_t frame) {
    const struct unwind_frame *frames = stack->frames;
    uint64_t ticks = __builtin_ia32_rdtsc() - stack->time;
    uint32_t low = 0;
    if (ticks < UINT32_MAX && frame > UNWIND_COMPARED + ticks * UNWIND_CALLS_A_TICK) {
        uintptr_t beyond = frames[frame].slot + ticks * UNWIND_BYTES_A_TICK;
        uint32_t high = frame - (uint32_t)(UNWIND_COMPARED + ticks * UNWIND_CALLS_A_TICK);
        // The innermost of those far enough out by both measures: slots descend.
        while (low < high) {
            uint32_t middle = low + (high - low + 1) / 2;
            if (frames[middle].slot >= beyond)
                low = middle;
            else
                high = middle - 1;
        }
    }
    uint32_t from = low ? unwind_words_before(stack, low) : 0;
    uint32_t changed = unwind_compare(stack->words, from, unwind_words_before(stack, frame));
    return changed == from ? 0 : changed;
}

// Are the callers of a frame what they were? 0 if so; otherwise the end of the words that are not known to
// be, the last of which has changed.
static inline uint32_t unwind_verify(struct unwind_stack *stack, uint32_t frame) {
    if (unwind_unlikely(frame > UNWIND_COMPARED))
        return unwind_verify_deep(stack, frame);
    return unwind_compare(stack->words, 0, unwind_words_before(stack, frame));
}

// The frame that a word belongs to, which is one of the first `count` or lies beyond: then 0, too.
static uint32_t unwind_owner(const struct unwind_frame *frames, uint32_t count, uint32_t word) {
    while (count > 1 && unwind_words_until(&frames[count - 2]) > word)
        count--;
    return count ? count - 1 : 0;
}

// The end of a capture.
static inline unsigned unwind_stamp(struct unwind_stack *stack, unsigned unchanged) {
    if (unwind_unlikely(stack->depth > UNWIND_COMPARED))
        stack->time = __builtin_ia32_rdtsc();
    return unchanged;
}

// Moves the new frames down to `base`, and completes them: what they need of their fp, and with it which of
// the words matter, is known only from the outermost inward. The first `nodes_kept` frames keep their nodes.
static inline unsigned unwind_settle(struct unwind_stack *stack, uint32_t new_frame, uint32_t new_word,
                                     uint32_t base, uint32_t nodes_kept) {
    struct unwind_frame *frames = stack->frames, *to = frames + base;
    const struct unwind_frame *end = frames + stack->capacity;
    struct unwind_word *words = stack->words;
    const struct unwind_word *noted = words + new_word;
    uint32_t word = unwind_words_before(stack, base);
    bool needs = base && (to[-1].flags & UNWIND_NEEDS_FP);
    for (const struct unwind_frame *from = frames + new_frame; from < end; from++, to++) {
        uintptr_t slot = from->slot, value = from->value, fp = from->fp;
        uint32_t flags = from->flags, node = to < frames + nodes_kept ? to->node : 0;
        // Loads as wide as the stores that may have been made a moment ago; wider ones would wait for them.
        __asm__("" : "+r"(slot), "+r"(value), "+r"(fp), "+r"(flags));
        needs = (flags & UNWIND_USES_FP) || ((flags & UNWIND_KEEPS_FP) && needs);
        for (uint32_t left = flags >> UNWIND_WORDS_SHIFT; left; left--, noted++) {
            uintptr_t address = noted->address, held = noted->value;
            __asm__("" : "+r"(address), "+r"(held));
            if ((address & UNWIND_WORD_OF_FP) && !needs)
                continue;
            words[word].address = address & ~(uintptr_t)UNWIND_WORD_OF_FP;
            words[word].value = held;
            word++;
        }
        to->slot = slot;
        to->value = value;
        to->fp = fp;
        to->node = node;
        to->flags = (flags & UNWIND_EXACT_PC) | (needs ? UNWIND_NEEDS_FP : 0) | word << UNWIND_WORDS_SHIFT;
    }
    stack->depth = (uint32_t)(to - frames);
    return unwind_stamp(stack, nodes_kept);
}

// After a walk to the end: how many of its outermost frames are those of the last capture, wherever their
// slots are now. A node stands for the path of values.
static uint32_t unwind_common(const struct unwind_stack *stack, uint32_t new_frame) {
    const struct unwind_frame *now = stack->frames + new_frame, *then = stack->frames;
    uint32_t most = stack->capacity - new_frame, same = 0;
    if (most > stack->depth)
        most = stack->depth;
    while (same < most && now[same].value == then[same].value &&
           ((now[same].flags ^ then[same].flags) & UNWIND_EXACT_PC) == 0)
        same++;
    return same;
}

// The end of a walk that met nothing known. `ended`: at the stack's first frame; what was noted since then is
// why it ends there, and as much a part of it as the words of frames.
static unsigned unwind_finish(struct unwind_walk *walk, bool ended) {
    struct unwind_stack *stack = walk->stack;
    uint32_t frame = walk->frame, word = walk->word + walk->noted;
    uint32_t same = unwind_common(stack, frame);
    stack->loss = walk->loss;
    stack->direct = walk->direct;
    stack->words_beyond = 0;
    for (uint32_t i = walk->word; ended && i < word; i++)
        if (!(stack->words[i].address & UNWIND_WORD_OF_FP))
            stack->words[stack->words_beyond++] = stack->words[i];
    return unwind_settle(stack, frame, word, 0, same);
}

// Reads a word of the caller of the frame whose slot is `slot`. All that belongs to callers is further up: so
// a smashed stack cannot send us round in circles, and the words of a frame are readable as long as it
// exists.
static inline bool unwind_read(struct unwind_walk *walk, uintptr_t *readable, uintptr_t slot,
                               uintptr_t address, uintptr_t *out) {
    uintptr_t low = slot + 8;
    if (address & 7)
        return false;
    if (unwind_unlikely(address - low >= *readable - low)) {
        if (address < low || !unwind_walk_extend(walk, address))
            return false;
        *readable = walk->readable;
    }
    *out = *(const volatile uintptr_t *)address;
    return true;
}

// A new frame of unwind_quick.
struct unwind_new {
    uintptr_t slot, value, fp;
    uintptr_t fp_place; // where fp was read; 0 = it is the callee's
    uint32_t flags;
};

#define UNWIND_QUICK 24 // new frames that unwind_quick takes
#define UNWIND_NOT_QUICK UINT32_MAX

// The few new frames of an ordinary stack, which is what nearly all captures find: each is left by a rule
// that needs no more than rsp and rbp, and one that was there before, with callers that are unchanged, ends
// them. Nothing is changed unless it succeeds; else UNWIND_NOT_QUICK. unwind_update, which can do everything,
// comes to the same result.
static inline __attribute__((always_inline)) unsigned unwind_quick(struct unwind_stack *stack,
                                                                   const struct unwind_rules *rules,
                                                                   uintptr_t pc, uintptr_t sp, uintptr_t fp) {
    struct unwind_new fresh[UNWIND_QUICK];
    struct unwind_frame *frames = stack->frames;
    const struct unwind_frame *old = frames + stack->depth - 1;
    const uintptr_t high = stack->home_low + stack->home_size;
    uintptr_t slot = sp - 8, value = pc, fp_place = 0;
    uint32_t count = 0;
    for (;;) {
        struct unwind_new *new = &fresh[count++];
        new->slot = slot;
        new->value = value;
        new->fp = fp;
        new->fp_place = fp_place;
        while (old->slot < slot) {
            if (unwind_unlikely(old == frames))
                return UNWIND_NOT_QUICK;
            old--;
        }
        if (old->slot == slot && old->value == value && unwind_same_fp(old, fp)) {
            if (unwind_unlikely(old->flags & UNWIND_EXACT_PC))
                return UNWIND_NOT_QUICK;
            uint32_t changed = unwind_verify(stack, (uint32_t)(old - frames));
            if (!changed) {
                // Its own words are others, if it was reached from other callees; so it counts as new, but
                // for its node.
                new->flags = old->flags &UNWIND_NEEDS_FP ? UNWIND_USES_FP : 0;
                break;
            }
            // Frames between here and there are as they were, but not their callers: they get other nodes.
            old = frames + unwind_owner(frames, (uint32_t)(old - frames), changed - 1);
        }
        if (unwind_unlikely(count == UNWIND_QUICK))
            return UNWIND_NOT_QUICK;
        uint64_t rule = unwind_rule_find(rules, value);
        enum unwind_cfa kind = unwind_rule_cfa(rule);
        enum unwind_fp fp_rule = unwind_rule_fp(rule);
        uint32_t flags = 0;
        uintptr_t cfa = slot + 8;
        if (kind != UNWIND_CFA_SP) {
            if (unwind_unlikely(kind != UNWIND_CFA_FP))
                return UNWIND_NOT_QUICK;
            cfa = fp;
            flags = UNWIND_USES_FP;
        }
        cfa += (uintptr_t)unwind_rule_cfa_offset(rule);
        fp_place = 0;
        if (fp_rule == UNWIND_FP_SAME) {
            flags |= UNWIND_KEEPS_FP;
        } else if (fp_rule == UNWIND_FP_LOST) {
            fp = UNWIND_NO_FP;
        } else {
            fp_place = cfa;
            if (fp_rule == UNWIND_FP_AT_FP) {
                flags |= UNWIND_USES_FP;
                fp_place = fp;
            }
            fp_place += (uintptr_t)unwind_rule_fp_offset(rule);
            if (unwind_unlikely((fp_place & 7) || fp_place - (slot + 8) >= high - (slot + 8)))
                return UNWIND_NOT_QUICK;
            fp = *(const volatile uintptr_t *)fp_place;
        }
        new->flags = flags;
        uintptr_t place = cfa - 8;
        if (unwind_unlikely((place & 7) || place - (slot + 8) >= high - (slot + 8)))
            return UNWIND_NOT_QUICK;
        slot = place;
        value = *(const volatile uintptr_t *)place;
        if (unwind_unlikely(!value))
            return UNWIND_NOT_QUICK;
    }

    uint32_t base = (uint32_t)(old - frames), word = unwind_words_before(stack, base);
    if (unwind_unlikely(base + count > stack->capacity ||
                        word + 2 * count > unwind_walk_words(stack->capacity)))
        return UNWIND_NOT_QUICK;
    struct unwind_frame *to = frames + base;
    struct unwind_word *words = stack->words + word;
    bool needs = base && (to[-1].flags & UNWIND_NEEDS_FP);
    uint32_t node = to->node;
    for (const struct unwind_new *from = fresh + count - 1; from >= fresh; from--, to++) {
        needs = (from->flags & UNWIND_USES_FP) || ((from->flags & UNWIND_KEEPS_FP) && needs);
        to->slot = from->slot;
        to->value = from->value;
        to->fp = from->fp;
        to->node = node;
        node = 0;
        if (from != fresh)
            *words++ = (struct unwind_word){from->slot, from->value};
        if (from->fp_place && needs)
            *words++ = (struct unwind_word){from->fp_place, from->fp};
        to->flags = (needs ? UNWIND_NEEDS_FP : 0) | (uint32_t)(words - stack->words) << UNWIND_WORDS_SHIFT;
    }
    stack->depth = base + count;
    return base + 1;
}

// Everything that unwind_quick does not do. What changes with each frame is kept in local
// variables: `walk` is for what is out of line, and brought up to date for it.
static __attribute__((noinline)) unsigned unwind_update(struct unwind_stack *stack,
                                                        struct unwind_state *state, uint64_t generation,
                                                        uintptr_t pc, uintptr_t sp, uintptr_t fp) {
    if (unwind_unlikely(stack->generation != generation)) {
        stack->generation = generation;
        stack->depth = 0;
    }
    struct unwind_walk walk;
    unwind_walk_begin(&walk, stack);
    unwind_walk_enter(&walk, sp, true);
    const struct unwind_rules rules = unwind_rule_open(state, generation);
    struct unwind_frame *frames = stack->frames;
    struct unwind_word *words = stack->words;
    uint32_t frame = walk.frame, word = walk.word, mark = word; // words up to `mark` belong to frames
    uint32_t frame_floor = walk.frames_kept, word_floor = walk.words_kept + UNWIND_FRAME_WORDS;
    uintptr_t slot = sp - 8, value = pc, readable = walk.readable;
    // Frames of the last capture that can still turn out to be current, if they can be looked at.
    uint32_t candidates = walk.direct && stack->direct ? stack->depth : 0;
    bool ended = false;

    for (;;) {
        if (unwind_unlikely(frame <= frame_floor || word < word_floor)) {
            walk.frame = frame;
            walk.word = word;
            bool grown = unwind_walk_grow(&walk);
            frames = stack->frames;
            words = stack->words;
            mark = walk.word + (mark - word);
            frame = walk.frame;
            word = walk.word;
            frame_floor = walk.frames_kept;
            word_floor = walk.words_kept + UNWIND_FRAME_WORDS;
            if (candidates > stack->depth)
                candidates = 0;
            if (!grown) {
                word = mark;
                break;
            }
        }

        struct unwind_frame *new = &frames[--frame];
        new->slot = slot;
        new->value = value;
        new->fp = fp;
        uint32_t flags = (mark - word) << UNWIND_WORDS_SHIFT;
        mark = word;

        while (candidates && frames[candidates - 1].slot < slot)
            candidates--;
        if (candidates && frames[candidates - 1].slot == slot) {
            const struct unwind_frame *old = &frames[--candidates];
            if (old->value == value && unwind_same_fp(old, fp) && !(old->flags & UNWIND_EXACT_PC)) {
                uint32_t changed = unwind_verify(stack, candidates);
                if (!changed) {
                    // Its own words are others, if it was reached from other callees; so it counts as walked
                    // to.
                    new->flags = flags | (old->flags & UNWIND_NEEDS_FP ? UNWIND_USES_FP : 0);
                    return unwind_settle(stack, frame, word, candidates, candidates + 1);
                }
                // Frames between here and there are as they were, but not their callers: they get other
                // nodes.
                candidates = unwind_owner(frames, candidates, changed - 1);
            }
        }

        uint64_t rule = unwind_rule_find(&rules, value);
        enum unwind_cfa kind = unwind_rule_cfa(rule);
        uintptr_t cfa, held, place;
        if (unwind_likely(kind <= UNWIND_CFA_FP)) {
            cfa = (kind == UNWIND_CFA_FP ? fp : slot + 8) + (uintptr_t)unwind_rule_cfa_offset(rule);
            flags |= kind == UNWIND_CFA_FP ? UNWIND_USES_FP : 0;
        } else if (kind == UNWIND_CFA_FP_WORD) {
            place = fp + (uintptr_t)unwind_rule_inner_offset(rule);
            flags |= UNWIND_USES_FP;
            if (!unwind_read(&walk, &readable, slot, place, &held))
                goto lost;
            words[--word] = (struct unwind_word){place, held};
            cfa = held + (uintptr_t)unwind_rule_outer_offset(rule);
        } else if (kind == UNWIND_CFA_END) {
            new->flags = flags;
            ended = true;
            break;
        } else if (kind == UNWIND_CFA_ROW) {
            unwind_walk_begin(&walk, stack);
            return unwind_finish(&walk, unwind_row_walk(&walk, pc, sp));
        } else {
            goto lost;
        }
        switch (unwind_rule_fp(rule)) {
        case UNWIND_FP_SAME:
            flags |= UNWIND_KEEPS_FP;
            break;
        case UNWIND_FP_LOST:
            fp = UNWIND_NO_FP;
            break;
        case UNWIND_FP_AT_FP:
            flags |= UNWIND_USES_FP;
            // fall through
        case UNWIND_FP_AT_CFA:
            place =
                (unwind_rule_fp(rule) == UNWIND_FP_AT_FP ? fp : cfa) + (uintptr_t)unwind_rule_fp_offset(rule);
            if (!unwind_read(&walk, &readable, slot, place, &fp))
                goto lost;
            words[--word] = (struct unwind_word){place | UNWIND_WORD_OF_FP, fp};
            break;
        }
        new->flags = flags;
        place = cfa - 8;
        if (!unwind_read(&walk, &readable, slot, place, &value))
            goto lost;
        words[--word] = (struct unwind_word){place, value};
        slot = place;
        if (!value) {
            ended = true;
            break;
        }
        continue;

    lost:
        new->flags = flags;
        walk.loss |= UNWIND_LOST;
        break;
    }
    walk.frame = frame;
    walk.word = word;
    walk.noted = mark - word;
    return unwind_finish(&walk, ended);
}

unsigned unwind_capture_at(struct unwind_stack *stack, uintptr_t pc, uintptr_t sp, uintptr_t fp) {
    struct unwind_state *state = unwind;
    uint64_t generation = __atomic_load_n(&state->generation, __ATOMIC_ACQUIRE);
    if (unwind_likely(stack->direct && stack->generation == generation &&
                      sp - stack->home_low < stack->home_size && stack->depth)) {
        const struct unwind_frame *frames = stack->frames, *top = &frames[stack->depth - 1];
        if (top->slot == sp - 8 && top->value == pc && unwind_same_fp(top, fp) &&
            !unwind_verify(stack, stack->depth - 1))
            return unwind_stamp(stack, stack->depth);
        const struct unwind_rules rules = unwind_rule_open(state, generation);
        unsigned unchanged = unwind_likely(stack->depth <= UNWIND_COMPARED - UNWIND_QUICK)
                                 ? unwind_quick(stack, &rules, pc, sp, fp)
                                 : UNWIND_NOT_QUICK;
        if (unwind_likely(unchanged != UNWIND_NOT_QUICK))
            return unchanged;
    }
    return unwind_update(stack, state, generation, pc, sp, fp);
}

const struct unwind_word *unwind_words(const struct unwind_stack *stack, uint32_t *count, bool *fp_counts) {
    *count = 0;
    *fp_counts = true;
    if (stack->direct && stack->depth && stack->depth <= UNWIND_COMPARED) {
        const struct unwind_frame *innermost = &stack->frames[stack->depth - 1];
        *count = unwind_words_until(innermost);
        *fp_counts = innermost->flags & UNWIND_NEEDS_FP;
    }
    return stack->words;
}
