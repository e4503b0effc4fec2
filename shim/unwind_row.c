// SPDX-License-Identifier: MIT
//
// Walking with rows instead of rules.

#include "shim/unwind_row.h"
#include "shim/unwind_cfi.h"
#include "shim/unwind_expression.h"

#define ROW_OWN_FRAMES 64 // of the shim, between here and the hook's caller, at the most
#define ROW_SIGNALS 64    // handlers interrupted by handlers, likewise

#define ROW_RED_ZONE 128
#define ROW_NO_FP 1 // no address: what depends on it fails

// Registers that a function hands back as it got them, unless its row says more.
#define ROW_PRESERVED (1u << UNWIND_RBX | 1u << UNWIND_RBP | 1u << UNWIND_RSP | 0xfu << 12)

struct row_state {
    uintptr_t value[UNWIND_REGISTERS];
    uint32_t known; // one bit each
    uintptr_t slot; // where rip was found
    bool exact;     // rip is an interrupted instruction, not a return address
};

// What expressions need while one row is evaluated.
struct row_context {
    struct unwind_walk *walk;
    const struct row_state *state;
    bool counts; // what is read decides where the caller's frame is
    bool noting; // the frame is to be pushed
    uint32_t flags;
};

static bool row_read(struct row_context *context, uintptr_t address, uintptr_t tag, uintptr_t *out) {
    struct unwind_walk *walk = context->walk;
    if (!unwind_walk_read(walk, address, out))
        return false;
    if (!context->noting || !context->counts)
        return true;
    if (walk->noted == UNWIND_FRAME_WORDS)
        walk->direct = false;
    else
        unwind_walk_note(walk, address + tag, *out);
    return true;
}

static bool row_register(void *opaque, unsigned number, struct unwind_term *out) {
    struct row_context *context = opaque;
    if (number >= UNWIND_REGISTERS || !(context->state->known >> number & 1))
        return false;
    *out = (struct unwind_term){UNWIND_NUMBER, (int64_t)context->state->value[number], 0};
    if (!context->counts)
        return true;
    // A frame is identified by slot, value and fp; where other registers decide, those are not enough to know
    // it by.
    if (number == UNWIND_RBP)
        context->flags |= UNWIND_USES_FP;
    else if (number != UNWIND_RSP && number != UNWIND_RIP && context->noting)
        context->walk->direct = false;
    return true;
}

static bool row_load(void *opaque, struct unwind_term address, struct unwind_term *out) {
    uintptr_t value;
    if (!row_read(opaque, (uintptr_t)address.offset, 0, &value))
        return false;
    *out = (struct unwind_term){UNWIND_NUMBER, (int64_t)value, 0};
    return true;
}

static bool row_evaluate(struct row_context *context, int64_t expression, const uintptr_t *cfa,
                         uintptr_t *out) {
    const struct unwind_environment environment = {context, row_register, row_load};
    const struct unwind_term start = {UNWIND_NUMBER, cfa ? (int64_t)*cfa : 0, 0};
    struct unwind_term result;
    if (!unwind_expression_run((const uint8_t *)(uintptr_t)expression, cfa ? &start : NULL, &environment,
                               &result))
        return false;
    *out = (uintptr_t)result.offset;
    return true;
}

static bool row_cfa(struct row_context *context, const struct unwind_row *row, uintptr_t *out) {
    if (row->cfa_expression)
        return row_evaluate(context, (intptr_t)row->cfa_expression, NULL, out);
    struct unwind_term base;
    if (!row_register(context, row->cfa_register, &base))
        return false;
    *out = (uintptr_t)base.offset + (uintptr_t)row->cfa_offset;
    return true;
}

// The caller's value of one register; `place` is where it was in memory, or 0.
static bool row_restore(struct row_context *context, const struct unwind_row *row, unsigned number,
                        uintptr_t cfa, uintptr_t *out, uintptr_t *place) {
    int64_t what = row->what[number];
    struct unwind_term other;
    uintptr_t tag = number == UNWIND_RBP ? UNWIND_WORD_OF_FP : 0;
    *place = 0;
    switch (row->how[number]) {
    case UNWIND_UNSET:
        if (!(ROW_PRESERVED >> number & 1))
            return false;
        // fall through
    case UNWIND_SAME:
        *out = context->state->value[number];
        if (number == UNWIND_RBP)
            context->flags |= UNWIND_KEEPS_FP;
        return context->state->known >> number & 1;
    case UNWIND_AT:
        *place = cfa + (uintptr_t)what;
        return row_read(context, *place, tag, out);
    case UNWIND_IS:
        *out = cfa + (uintptr_t)what;
        return true;
    case UNWIND_REGISTER:
        if (what < 0 || what >= UNWIND_REGISTERS || !row_register(context, (unsigned)what, &other))
            return false;
        *out = (uintptr_t)other.offset;
        return true;
    case UNWIND_AT_EXPRESSION:
        return row_evaluate(context, what, &cfa, place) && row_read(context, *place, tag, out);
    case UNWIND_IS_EXPRESSION:
        return row_evaluate(context, what, &cfa, out);
    }
    return false;
}

enum row_step { ROW_CALLER, ROW_END, ROW_LOST };

// From a frame to its caller's. Only rip, rsp and rbp must be found; others are needed only if they are asked
// for.
static enum row_step row_step(struct unwind_walk *walk, struct row_state *state, bool noting,
                              uint32_t *flags) {
    struct unwind_fde fde;
    struct unwind_row row;
    uintptr_t pc = state->value[UNWIND_RIP] - !state->exact;
    if (unwind_find_fde(pc, &fde) != UNWIND_FOUND || !unwind_cfi_row(&fde, pc, &row))
        return !state->exact && unwind_find_origin(pc + 1) ? ROW_END : ROW_LOST;
    if (row.how[UNWIND_RIP] == UNWIND_UNDEFINED)
        return ROW_END;
    struct row_context context = {walk, state, true, noting, 0};
    struct row_state caller = {.exact = fde.signal};
    uintptr_t cfa, place = 0;
    if (!row_cfa(&context, &row, &cfa))
        return ROW_LOST;
    for (unsigned number = 0; number < UNWIND_REGISTERS; number++) {
        context.counts = number == UNWIND_RBP || number == UNWIND_RSP || number == UNWIND_RIP;
        if (number == UNWIND_RSP && row.how[number] <= UNWIND_SAME) {
            caller.value[number] = cfa;
            caller.known |= 1u << number;
        } else if (row.how[number] == UNWIND_UNSET && number == UNWIND_RIP) {
            return ROW_LOST;
        } else if (row_restore(&context, &row, number, cfa, &caller.value[number], &place)) {
            caller.known |= 1u << number;
        } else if (number == UNWIND_RSP || number == UNWIND_RIP) {
            return ROW_LOST;
        }
    }
    // rip came last, so `place` is its slot. One that is not in memory cannot be checked later.
    caller.slot = place;
    if (!place)
        return ROW_LOST;
    *flags = context.flags;
    *state = caller;
    return state->value[UNWIND_RIP] ? ROW_CALLER : ROW_END;
}

// Reads the registers that survive calls, as of one instruction of the function that this is inlined in.
static inline __attribute__((always_inline)) void row_here(struct row_state *state) {
    uintptr_t *value = state->value;
    __asm__ volatile("lea 0f(%%rip), %%rax\n"
                     "0:\n\t"
                     "mov %%rax, 16*8(%0)\n\t"
                     "mov %%rbx, 3*8(%0)\n\t"
                     "mov %%rbp, 6*8(%0)\n\t"
                     "mov %%rsp, 7*8(%0)\n\t"
                     "mov %%r12, 12*8(%0)\n\t"
                     "mov %%r13, 13*8(%0)\n\t"
                     "mov %%r14, 14*8(%0)\n\t"
                     "mov %%r15, 15*8(%0)"
                     :
                     : "r"(value)
                     : "rax", "memory");
    state->known = ROW_PRESERVED | 1u << UNWIND_RIP;
    state->exact = true;
}

// The lowest address that a row may refer to. Between the end of its frame and its return, a function's saved
// registers may be in what is below the stack pointer, which signal handlers leave alone.
static uintptr_t row_low(const struct row_state *state) {
    return state->value[UNWIND_RSP] - (state->exact ? ROW_RED_ZONE : 0);
}

// Beyond a signal frame may be another stack. Frames whose addresses do not go up are nothing to look for
// later.
static void row_interrupted(struct unwind_walk *walk, const struct row_state *state, uintptr_t before) {
    uintptr_t sp = state->value[UNWIND_RSP];
    if (sp <= before)
        walk->direct = false;
    unwind_walk_enter(walk, row_low(state), false);
}

__attribute__((noinline, cold)) bool unwind_row_walk(struct unwind_walk *walk, uintptr_t pc, uintptr_t sp) {
    struct row_state state = {0};
    row_here(&state);
    unwind_walk_enter(walk, state.value[UNWIND_RSP], true);
    uint32_t flags = 0;
    enum row_step step = ROW_CALLER;
    for (unsigned own = 0; own < ROW_OWN_FRAMES && step == ROW_CALLER && state.slot < sp - 8; own++)
        step = row_step(walk, &state, false, &flags);
    if (state.slot != sp - 8 || state.value[UNWIND_RIP] != pc) {
        walk->loss |= UNWIND_LOST;
        if (unwind_walk_room(walk))
            unwind_walk_push(walk, sp - 8, pc, ROW_NO_FP, 0);
        return false;
    }
    for (unsigned signals = 0; unwind_walk_room(walk);) {
        bool has_fp = state.known >> UNWIND_RBP & 1;
        unwind_walk_push(walk, state.slot, state.value[UNWIND_RIP],
                         has_fp ? state.value[UNWIND_RBP] : ROW_NO_FP, state.exact ? UNWIND_EXACT_PC : 0);
        uintptr_t before = state.value[UNWIND_RSP];
        walk->low = row_low(&state); // all that belongs to callers is further up
        step = row_step(walk, &state, true, &flags);
        if (step == ROW_CALLER) {
            walk->stack->frames[walk->frame].flags |= flags;
            if (!state.exact)
                step = state.value[UNWIND_RSP] > before ? ROW_CALLER : ROW_LOST;
            else if (++signals > ROW_SIGNALS)
                step = ROW_LOST;
            else
                row_interrupted(walk, &state, before);
        }
        if (step == ROW_LOST)
            walk->loss |= UNWIND_LOST;
        if (step != ROW_CALLER)
            return step == ROW_END;
    }
    return false;
}
