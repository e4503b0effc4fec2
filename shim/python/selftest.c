// SPDX-License-Identifier: MIT
//
// See selftest.h. An interpreter whose structures are not what we think sends us to any address, so here
// every address is tried by a system call before it is read.

#include "shim/python/selftest.h"
#include "shim/python/code.h"
#include "shim/python/frames.h"
#include "shim/python/python.h"
#include "shim/sys.h"

#include <errno.h>

#define SELFTEST_MOST 256      // tests, then we believe it
#define SELFTEST_FRAMES 64     // checked of one stack, the innermost ones
#define SELFTEST_THOROUGH 8    // tests that look at so many;
#define SELFTEST_LATER 8       // frames that later ones look at: others have been innermost, too
#define SELFTEST_TABLE 1048576 // bytes; more is not a line table

#define SELFTEST_PAGES 64 // a power of two

// Pages that the present test has found readable: frames, code objects and their names lie close together.
struct selftest_pages {
    uintptr_t seen[SELFTEST_PAGES]; // their last bytes
};

static bool selftest_can_read(struct selftest_pages *pages, const void *start, size_t size) {
    uintptr_t from = (uintptr_t)start, to = from + size;
    if (from < 4096 || from % 8 || to < from || to >= (uintptr_t)1 << 47)
        return false;
    for (uintptr_t at = from; at < to; at = (at | 4095) + 1) {
        uintptr_t page = at | 4095, *seen = &pages->seen[page / 4096 % SELFTEST_PAGES];
        if (*seen != page && !sys_can_read(at))
            return false;
        *seen = page;
    }
    return true;
}

bool selftest_readable(const void *start, size_t size) {
    struct selftest_pages pages = {.seen = {0}};
    return selftest_can_read(&pages, start, size);
}

static bool selftest_bytes(struct selftest_pages *pages, const struct detect_runtime *runtime,
                           const char *bytes, size_t least) {
    const struct python_layout *layout = &runtime->layout;
    if (!selftest_can_read(pages, bytes, layout->bytes_data))
        return false;
    size_t size = (size_t)code_load(bytes, layout->object_size);
    return size >= least && size < SELFTEST_TABLE &&
           selftest_can_read(pages, bytes, layout->bytes_data + size);
}

static bool selftest_text(struct selftest_pages *pages, const struct detect_runtime *runtime,
                          const char *text) {
    const struct python_layout *layout = &runtime->layout;
    if (!selftest_can_read(pages, text, layout->text_compact))
        return false;
    size_t length = (size_t)code_load(text, layout->text_length);
    uint32_t kind = (uint32_t)(uintptr_t)code_load(text, layout->text_state) >> layout->text_kind_shift & 7;
    return length < SELFTEST_TABLE && (kind == 1 || kind == 2 || kind == 4);
}

static bool selftest_code(struct selftest_pages *pages, const struct detect_runtime *runtime,
                          const void *frame, const char *code) {
    const struct python_layout *layout = &runtime->layout;
    int offset = code_offset(runtime, frame, code, frames_instr(runtime, frame)), near;
    if (!selftest_text(pages, runtime, code_load(code, layout->code_filename)) ||
        !selftest_text(pages, runtime, code_load(code, layout->code_name)) ||
        (layout->code_qualname != LAYOUT_NONE &&
         !selftest_text(pages, runtime, code_load(code, layout->code_qualname))) ||
        !selftest_bytes(pages, runtime, code_load(code, layout->code_linetable), 0))
        return false;
    int line = code_line(runtime, code, offset, &near), theirs = line;
    if (runtime->call.frame_line)
        theirs = runtime->call.frame_line((void *)(uintptr_t)frame);
    else if (runtime->call.code_line)
        theirs = runtime->call.code_line((void *)(uintptr_t)code, offset);
    return line == theirs && near >= 0;
}

// One frame: 0 = wrong, 1 = a function's, 2 = the interpreter's own.
static int selftest_frame(struct selftest_pages *pages, const struct detect_runtime *runtime,
                          const char *frame) {
    const struct python_layout *layout = &runtime->layout;
    // No further than the fields that are read: a frame may lie at the end of its memory.
    if (!selftest_can_read(pages, frame, (layout->minor <= 10 ? layout->frame_instr : 72) + 8u))
        return 0;
    if (layout->frame_owner != LAYOUT_NONE &&
        (unsigned char)frame[layout->frame_owner] >= layout->owner_hidden)
        return (unsigned char)frame[layout->frame_owner] <= 4 ? 2 : 0;
    const char *code = frames_code(runtime, frame);
    if (!selftest_can_read(pages, code, layout->code_bytecode + 8))
        return 0;
    if (frames_hidden(runtime, frame))
        return code_load(code, layout->object_type) == runtime->code_type ? 2 : 0;
    if (layout->minor <= 10 && !selftest_bytes(pages, runtime, code_load(code, layout->code_bytecode), 2))
        return 0;
    return selftest_code(pages, runtime, frame, code) ? 1 : 0;
}

// The state asked about last, and what it points to: while an interpreter starts it has no frames, and is
// asked thousands of times.
static const void *selftest_state, *selftest_first;

static bool selftest_can_read_again(struct selftest_pages *pages, const void **last, const void *start,
                                    size_t size) {
    if (__atomic_load_n(last, __ATOMIC_RELAXED) == start)
        return true;
    if (!selftest_can_read(pages, start, size))
        return false;
    __atomic_store_n(last, start, __ATOMIC_RELAXED);
    return true;
}

// How many functions of the stack were found to be right; -1: something was wrong.
static int selftest_stack(struct selftest_pages *pages, const struct detect_runtime *runtime,
                          const char *state, bool attached) {
    const struct python_layout *layout = &runtime->layout;
    if (!selftest_can_read_again(pages, &selftest_state, state, 256))
        return -1;
    const char *frame = code_load(state, layout->tstate_frame);
    if (frame && layout->tstate_frame2 != LAYOUT_NONE) {
        if (!selftest_can_read_again(pages, &selftest_first, frame, 16))
            return -1;
        frame = code_load(frame, layout->tstate_frame2);
    }
    if (attached && runtime->call.innermost && runtime->call.innermost() != frame)
        return -1;
    const bool thorough = __atomic_load_n(&runtime->tests, __ATOMIC_RELAXED) < SELFTEST_THOROUGH;
    const int most = thorough ? SELFTEST_FRAMES : SELFTEST_LATER;
    int right = 0;
    for (int i = 0; frame && i < most; i++) {
        int kind = selftest_frame(pages, runtime, frame);
        const char *previous = kind ? frames_previous(runtime, frame) : frame;
        if (previous == frame)
            return -1;
        right += kind == 1;
        frame = previous;
    }
    return right;
}

bool selftest_run(struct detect_runtime *runtime, const void *state, bool attached) {
    if (!python_found())
        return false;
    if (__atomic_load_n(&runtime->tests, __ATOMIC_RELAXED) >= SELFTEST_MOST)
        return true;
    struct selftest_pages pages = {.seen = {0}};
    int saved = errno, right = selftest_stack(&pages, runtime, state, attached);
    errno = saved;
    if (right < 0) {
        detect_refuse(" failed the self-test of its frames");
        return false;
    }
    if (right == 0) // nothing to test: nothing to capture either, unless it is tested already
        return !(runtime->pending & DETECT_UNTESTED);
    __atomic_fetch_add(&runtime->tests, 1, __ATOMIC_RELAXED);
    __atomic_fetch_and(&runtime->pending, ~(uint32_t)DETECT_UNTESTED, __ATOMIC_RELAXED);
    return true;
}
