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
#define SELFTEST_FRAMES 64     // checked of one stack
#define SELFTEST_TABLE 1048576 // bytes; more is not a line table

// Whether the kernel can read 8 bytes there: it looks at the mask before it rejects the first argument.
static bool selftest_word(uintptr_t address) {
    return sys_call(SYS_rt_sigprocmask, -1, (long)address, 0, 8, 0, 0) != -EFAULT;
}

bool selftest_readable(const void *start, size_t size) {
    uintptr_t from = (uintptr_t)start, to = from + size;
    if (from < 4096 || from % 8 || to < from || to >= (uintptr_t)1 << 47)
        return false;
    for (uintptr_t page = from; page < to; page = (page | 4095) + 1)
        if (!selftest_word(page))
            return false;
    return selftest_word(to - 8);
}

static bool selftest_bytes(const struct detect_runtime *runtime, const char *bytes, size_t least) {
    const struct python_layout *layout = &runtime->layout;
    if (!selftest_readable(bytes, layout->bytes_data))
        return false;
    size_t size = (size_t)code_load(bytes, layout->object_size);
    return size >= least && size < SELFTEST_TABLE && selftest_readable(bytes, layout->bytes_data + size);
}

static bool selftest_text(const struct detect_runtime *runtime, const char *text) {
    const struct python_layout *layout = &runtime->layout;
    if (!selftest_readable(text, layout->text_compact))
        return false;
    size_t length = (size_t)code_load(text, layout->text_length);
    uint32_t kind = (uint32_t)(uintptr_t)code_load(text, layout->text_state) >> layout->text_kind_shift & 7;
    return length < SELFTEST_TABLE && (kind == 1 || kind == 2 || kind == 4);
}

static bool selftest_code(const struct detect_runtime *runtime, const void *frame, const char *code) {
    const struct python_layout *layout = &runtime->layout;
    int offset = code_offset(runtime, frame, code, frames_instr(runtime, frame)), near;
    if (!selftest_text(runtime, code_load(code, layout->code_filename)) ||
        !selftest_text(runtime, code_load(code, layout->code_name)) ||
        (layout->code_qualname != LAYOUT_NONE &&
         !selftest_text(runtime, code_load(code, layout->code_qualname))) ||
        !selftest_bytes(runtime, code_load(code, layout->code_linetable), 0))
        return false;
    int line = code_line(runtime, code, offset, &near), theirs = line;
    if (runtime->call.frame_line)
        theirs = runtime->call.frame_line((void *)(uintptr_t)frame);
    else if (runtime->call.code_line)
        theirs = runtime->call.code_line((void *)(uintptr_t)code, offset);
    return line == theirs && near >= 0;
}

// One frame: 0 = wrong, 1 = a function's, 2 = the interpreter's own.
static int selftest_frame(const struct detect_runtime *runtime, const char *frame) {
    const struct python_layout *layout = &runtime->layout;
    // No further than the fields that are read: a frame may lie at the end of its memory.
    if (!selftest_readable(frame, (layout->minor <= 10 ? layout->frame_instr : 72) + 8u))
        return 0;
    if (layout->frame_owner != LAYOUT_NONE &&
        (unsigned char)frame[layout->frame_owner] >= layout->owner_hidden)
        return (unsigned char)frame[layout->frame_owner] <= 4 ? 2 : 0;
    const char *code = frames_code(runtime, frame);
    if (!selftest_readable(code, layout->code_bytecode + 8))
        return 0;
    if (frames_hidden(runtime, frame))
        return code_load(code, layout->object_type) == runtime->code_type ? 2 : 0;
    if (layout->minor <= 10 && !selftest_bytes(runtime, code_load(code, layout->code_bytecode), 2))
        return 0;
    return selftest_code(runtime, frame, code) ? 1 : 0;
}

// How many functions of the stack were found to be right; -1: something was wrong.
static int selftest_stack(const struct detect_runtime *runtime, const char *state, bool attached) {
    const struct python_layout *layout = &runtime->layout;
    if (!selftest_readable(state, 256))
        return -1;
    const char *frame = code_load(state, layout->tstate_frame);
    if (frame && layout->tstate_frame2 != LAYOUT_NONE) {
        if (!selftest_readable(frame, 16))
            return -1;
        frame = code_load(frame, layout->tstate_frame2);
    }
    if (attached && runtime->call.innermost && runtime->call.innermost() != frame)
        return -1;
    int right = 0;
    for (int i = 0; frame && i < SELFTEST_FRAMES; i++) {
        int kind = selftest_frame(runtime, frame);
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
    int saved = errno, right = selftest_stack(runtime, state, attached);
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
