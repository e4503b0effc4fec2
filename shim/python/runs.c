// SPDX-License-Identifier: MIT
//
// Where Python's frames and the C stack meet: at the evaluation loop, _PyEval_EvalFrameDefault.
//
// Up to 3.10 each Python frame has an activation of the loop of its own. In 3.11 calls between Python
// functions stay within one, and the frame that it was entered for is marked (is_entry). Since 3.12 the loop
// puts a frame that it owns outside of that one; it lies in the loop's C frame.

#include "shim/python/frames.h"
#include "shim/unwind_cfi.h"
#include "shim/unwind_find.h"

// Whether the loop was entered for this frame.
static inline bool runs_begins(const struct detect_runtime *runtime, const void *frame) {
    const struct python_layout *layout = &runtime->layout;
    if (layout->frame_owner != LAYOUT_NONE)
        return frames_unowned(runtime, frame);
    return layout->frame_entry == LAYOUT_NONE || *((const char *)frame + layout->frame_entry) != 0;
}

bool python_runs(struct python_stack *stack, uint32_t from, struct python_run *runs, unsigned most,
                 unsigned *count) {
    const struct detect_runtime *runtime = stack->runtime;
    if (!runtime || stack->cut || stack->outer)
        return false;
    const bool placed = runtime->layout.frame_owner != LAYOUT_NONE;
    unsigned hidden = 0;
    uint32_t first = stack->depth;
    *count = 0;
    for (const void *frame = frames_innermost(stack); frame; frame = frames_previous(runtime, frame)) {
        const bool shown = first && frame == stack->frames[first - 1].frame;
        if (shown && first == from)
            return true;
        if (shown)
            first--;
        else if (++hidden > FRAMES_HIDDEN_MOST)
            return false;
        if (!runs_begins(runtime, frame))
            continue;
        if (*count == most)
            return false;
        runs[(*count)++] = (struct python_run){.first = first, .place = placed ? (uintptr_t)frame : 0};
    }
    return !first;
}

static bool runs_holds(const struct unwind_fde *fde, uint64_t address) {
    return address - fde->start < fde->end - fde->start;
}

// Compilers move what is rarely executed out of a function, to a place with an FDE of its own. Such a part is
// entered and left by jumps: it begins with a stack frame already in place, and jumps back into the middle of
// its function. (An instruction may be seen where there is none; then one in 10,000 points there by chance.)
static bool runs_is_part(const struct unwind_fde *part, const struct unwind_fde *whole) {
    struct unwind_row row;
    if (!unwind_cfi_row(part, part->start, &row) ||
        (!row.cfa_expression && row.cfa_register == UNWIND_RSP && row.cfa_offset == 8))
        return false;
    for (uint64_t at = part->start; at + 6 <= part->end; at++) {
        const uint8_t *code = (const uint8_t *)at;
        int32_t distance;
        unsigned length;
        if (code[0] == 0xe9) // jmp
            length = 1;
        else if (code[0] == 0x0f && (code[1] & 0xf0) == 0x80) // jcc
            length = 2;
        else
            continue;
        __builtin_memcpy(&distance, code + length, sizeof distance);
        uint64_t target = at + length + sizeof distance + (uint64_t)(int64_t)distance;
        if (target != whole->start && runs_holds(whole, target))
            return true;
    }
    return false;
}

bool python_in_loop(uintptr_t address) {
    const struct detect_runtime *runtime = detect_get();
    struct unwind_fde here, loop;
    if (!runtime || !runtime->loop || unwind_find_fde(address, &here) != UNWIND_FOUND)
        return false;
    if (runs_holds(&here, runtime->loop))
        return true;
    return unwind_find_fde(runtime->loop, &loop) == UNWIND_FOUND && runs_is_part(&here, &loop);
}
