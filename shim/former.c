// SPDX-License-Identifier: MIT
//
// See former.h.

#include "shim/former.h"
#include "shim/arena.h"
#include "shim/folded.h"
#include "shim/owner.h"
#include "shim/shim.h"

bool former_open(uint32_t owners) {
    shim.formers = arena_reserve(owners * sizeof *shim.formers);
    shim.former_others = arena_reserve(owners * sizeof *shim.former_others);
    return shim.formers && shim.former_others;
}

static inline struct former_line former_line(uint32_t frame) {
    return (struct former_line){.frame = frame, .function = shim_frame(frame)->function};
}

void former_note(uint32_t owner, const struct record_node *node) {
    const uint32_t other = node->flags >> RECORD_NODE_OTHER_SHIFT;
    const struct former_line line = former_line(node->frame);
    shim.formers[owner] = (struct former){
        .frame = line.frame & NUMBERS_MOST,
        .function = line.function & NUMBERS_MOST,
        .outermost = node->flags & (RECORD_NODE_OUTERMOST_FRAME | RECORD_NODE_OUTERMOST_FUNCTION),
        .other = other != 0,
        .epoch = former_epoch() & FORMER_EPOCHS,
    };
    if (other)
        shim.former_others[owner] = former_line(other);
}

void former_skip(uint32_t owner) {
    shim.formers[owner] = (struct former){.epoch = former_epoch() & FORMER_EPOCHS};
}

// 0: it has been forgotten; its record may be another one's.
static inline uint32_t former_known(uint32_t frame, uint32_t epoch) {
    return shim_frame(frame)->flags & RECORD_FRAME_FREE || shim.frames_born[frame] > epoch ? 0 : frame;
}

uint32_t former_frame(uint32_t owner) {
    const struct former *former = &shim.formers[owner];
    return former_known(former->frame, former->epoch);
}

// A free, as the account of a line or function has it.
struct former_change {
    int64_t bytes;
    uint64_t temporary, frees;
    bool self, total;
};

static void former_account(struct record_account *account, uint32_t self, uint32_t total,
                           const struct former_change *change) {
    if (change->self) {
        account->self_live -= change->bytes;
        folded_free(self, change->bytes, change->temporary, change->frees);
    }
    if (change->total) {
        account->total_live -= change->bytes;
        if (!change->self || self != total)
            folded_free(total, change->bytes, change->temporary, change->frees);
    }
}

static void former_change_frame(const struct peak_books *books, uint32_t number,
                                const struct former_change *change) {
    struct record_frame *frame = &books->frames[number];
    if (number)
        former_account(&frame->account, frame->folded_self, frame->folded_total, change);
}

static void former_change_function(const struct peak_books *books, uint32_t number,
                                   const struct former_change *change) {
    struct record_function *function = &books->functions[number];
    former_account(&function->account, function->folded_self, function->folded_total, change);
}

// The innermost frame of the other language.
static void former_change_other(const struct peak_books *books, uint32_t owner,
                                const struct former_change *change) {
    const struct former_line *other = &shim.former_others[owner];
    former_change_frame(books, former_known(other->frame, shim.formers[owner].epoch), change);
    former_change_function(books, other->function, change);
}

void former_free(const struct peak_books *books, uint32_t owner, int64_t bytes, uint64_t temporary,
                 uint64_t frees) {
    struct former_change change = {.bytes = bytes, .temporary = temporary, .frees = frees, .self = true};
    if (shim.formers[owner].other)
        former_change_other(books, owner, &change);
    for (; owner_is_former(owner); owner = owner_next(owner)) {
        const struct former *former = &shim.formers[owner];
        if (!former_remembers(owner))
            continue;
        change.total = former->outermost & RECORD_NODE_OUTERMOST_FRAME;
        former_change_frame(books, former_frame(owner), &change);
        change.total = former->outermost & RECORD_NODE_OUTERMOST_FUNCTION;
        former_change_function(books, former->function, &change);
        change.self = false;
    }
}

bool former_holds_frame(uint32_t owner, uint32_t frame) {
    for (; owner_is_former(owner); owner = owner_next(owner))
        if (former_frame(owner) == frame)
            return true;
    return false;
}

bool former_holds_function(uint32_t owner, uint32_t function) {
    for (; owner_is_former(owner); owner = owner_next(owner))
        if (shim.formers[owner].function == function)
            return true;
    return false;
}
