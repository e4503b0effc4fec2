// SPDX-License-Identifier: MIT
//
// Where a walk may read, and where it writes.
//
// A thread's own stack needs no system call to be read: everything between the stack pointer and its top is
// there as long as the thread runs. Its top is what cannot go away under it: for the main thread the place
// where the kernel put the arguments, for others the thread's control block, which glibc puts at the top of
// their stacks. How far down it is known to reach is learnt once per page, by probing.
//
// Any other stack (a coroutine's, a signal handler's) may be gone in the next moment, replaced by a smaller
// one or cut by a guard page, without our being told. Each of its pages is probed again in each walk.

#include "shim/unwind_walk.h"
#include "shim/arena.h"
#include "shim/sys.h"

#include <errno.h>

#define WALK_PAGE 4096u
#define WALK_HOME_STEP                                                                                       \
    (64u << 20) // bytes that a stack can have grown between two captures, to be still known as one
#define WALK_FOREIGN_MAX (64u << 20) // bytes looked at of a stack that is not the thread's own
#define WALK_CAPACITY_MIN 128        // frames

extern void *__libc_stack_end __attribute__((weak));

// The nearest of the tops that a thread's own stack may have.
static uintptr_t walk_top(uintptr_t sp) {
    uintptr_t thread, end = &__libc_stack_end ? (uintptr_t)__libc_stack_end : 0;
    __asm__("mov %%fs:0, %0" : "=r"(thread));
    if (thread <= sp || (end > sp && end < thread))
        return end > sp ? end & ~(uintptr_t)7 : 0;
    return thread & ~(uintptr_t)7;
}

void unwind_walk_learn(struct unwind_stack *stack, uintptr_t sp) {
    uintptr_t page = (sp - 8) & ~(uintptr_t)(WALK_PAGE - 1); // our caller's return address is there
    uintptr_t known = stack->home_low, high = stack->home_low + stack->home_size;
    if (stack->home_size == 0)
        known = high = walk_top(sp);
    if (sp >= known || known - sp > WALK_HOME_STEP)
        return;
    if (sp >= stack->foreign_low && sp < stack->foreign_end)
        return;
    for (uintptr_t at = page + WALK_PAGE; at < known; at += WALK_PAGE) {
        if (sys_can_read(at))
            continue;
        // Something lies between. That is remembered, or each capture on a coroutine would ask again; should
        // it be wrong one day, the stack is read with probes for nothing.
        stack->foreign_low = page;
        stack->foreign_end = at;
        return;
    }
    stack->home_low = page;
    stack->home_size = high - page;
}

void unwind_walk_abroad(struct unwind_walk *walk, uintptr_t sp, bool running) {
    walk->direct = false;
    walk->low = sp;
    walk->readable = running ? ((sp - 8) | (WALK_PAGE - 1)) + 1 : sp;
    walk->high = sp >> 47 ? sp : sp + WALK_FOREIGN_MAX;
}

bool unwind_walk_extend(struct unwind_walk *walk, uintptr_t address) {
    if (address < walk->low || address >= walk->high)
        return false;
    while (walk->readable <= address) {
        if (walk->readable >= walk->high || walk->probes == 0)
            return false;
        walk->probes--;
        if (!sys_can_read(walk->readable & ~(uintptr_t)7))
            return false;
        walk->readable = (walk->readable | (WALK_PAGE - 1)) + 1;
    }
    return true;
}

static size_t walk_bytes(uint32_t capacity) {
    return capacity * sizeof(struct unwind_frame) + unwind_walk_words(capacity) * sizeof(struct unwind_word);
}

__attribute__((noinline, cold)) bool unwind_walk_grow(struct unwind_walk *walk) {
    struct unwind_stack *stack = walk->stack;
    uint32_t old = stack->capacity, old_words = old ? unwind_walk_words(old) : 0;
    uint32_t capacity = old ? old * 2 : WALK_CAPACITY_MIN;
    struct unwind_frame *frames = capacity <= UNWIND_DEPTH_MAX ? arena_alloc(walk_bytes(capacity)) : NULL;
    if (!frames) {
        // The new frames may have the room of the old ones; but half of all room stays free, for the frames
        // of captures that are yet deeper: else each of them would have to walk the whole stack.
        if (stack->depth > 0) {
            stack->depth = 0;
            walk->frames_kept = old / 2;
            walk->words_kept = old_words / 2;
            if (walk->frame > walk->frames_kept && walk->word >= walk->words_kept + UNWIND_FRAME_WORDS)
                return true;
        }
        walk->loss |= UNWIND_DEEP;
        return false;
    }
    struct unwind_word *words = (struct unwind_word *)(frames + capacity);
    uint32_t frame = capacity - (old - walk->frame);
    uint32_t word = unwind_walk_words(capacity) - (old_words - walk->word);
    struct unwind_frame *before = stack->frames;
    if (old) {
        __builtin_memcpy(frames, stack->frames, walk->frames_kept * sizeof *frames);
        __builtin_memcpy(words, stack->words, walk->words_kept * sizeof *words);
        __builtin_memcpy(frames + frame, stack->frames + walk->frame, (old - walk->frame) * sizeof *frames);
        __builtin_memcpy(words + word, stack->words + walk->word, (old_words - walk->word) * sizeof *words);
    }
    // In this order: the thread may be torn away at any instruction (guard.c).
    stack->frames = frames;
    stack->words = words;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    stack->capacity = capacity;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    arena_free(before, walk_bytes(old));
    walk->frame = frame;
    walk->word = word;
    return true;
}

void unwind_stack_reset(struct unwind_stack *stack) {
    *stack =
        (struct unwind_stack){.frames = stack->frames, .words = stack->words, .capacity = stack->capacity};
}

void unwind_stack_release(struct unwind_stack *stack) {
    if (stack->frames)
        arena_free(stack->frames, walk_bytes(stack->capacity));
    *stack = (struct unwind_stack){0};
}
