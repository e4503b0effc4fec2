// SPDX-License-Identifier: MIT
//
// The Python part of the shim, preloaded by itself: writes what it makes of each fingerprinted allocation,
// and compares every incremental capture with a whole walk.
//
// Environment:
//   PROBE_OUTPUT   file to append to
//   PROBE_SITES    1: a line for each malloc of 7000000 <= size < 7100000:
//                  size, line, first line, depth, thread's id, file, name, callers' names; tab-separated
//   PROBE_VERIFY   N: every capture is compared, and of every N-th one the text of each frame, too; the first
//   20
//                  differences are written as lines "differs ..."
//   PROBE_OBJECTS  1: Python's object allocators are wrapped, and the stack of every event is captured
// The last line: "end captures=N differences=N objects=N freed=N deepest=N cut=N new=N anchored=N walked=N
// version=V note=..."; walked: captures for which not only the innermost frame's instruction had changed.

#include "shim/anchor.h"
#include "shim/config.h"
#include "shim/guard.h"
#include "shim/python/python.h"
#include "shim/python/same.h"
#include "shim/track.h"
#include "shim/track_object.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define OBJECTS (1u << 22)

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

struct shim shim;
struct config config;
uint32_t shim_doubts = 1;

// Its gate is always closed, so that every event takes the way for any.
static struct journal probe_journal = {.stop = JOURNAL_ENDED};
__thread struct thread thread_self
    __attribute__((tls_model("initial-exec"))) = {.generation = UINT32_MAX, .journal = &probe_journal};

struct stack {
    struct python_stack live, whole;
    struct python_sure sure;
    struct unwind_stack native;
    uint32_t sure_doubts; // shim_doubts when it was known; 0 = it is not
    char text[8192], other[8192];
};

static bool probe_sites, probe_wrapped, probe_started;
static unsigned probe_verify;
static unsigned long probe_captures, probe_differences, probe_objects, probe_freed, probe_deepest, probe_cut,
    probe_new, probe_anchored, probe_walked;
static uintptr_t *probe_blocks;
static int probe_output = -1;

static void probe_write(const char *text, size_t length) {
    while (length) {
        ssize_t done = write(probe_output, text, length);
        if (done <= 0)
            return;
        text += done;
        length -= (size_t)done;
    }
}

// As the pages of struct shim are in a real child.
static void probe_forked(void) {
    memset(&shim, 0, sizeof shim);
    shim.generation = 2;
    python_init(&shim.python);
    unwind_init(&shim.unwind);
}

static void probe_start(void) {
    probe_started = true;
    const char *path = getenv("PROBE_OUTPUT");
    if (path)
        probe_output = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    probe_sites = getenv("PROBE_SITES") != NULL;
    probe_verify = getenv("PROBE_VERIFY") ? (unsigned)atoi(getenv("PROBE_VERIFY")) : 0;
    probe_blocks = mmap(NULL, OBJECTS * sizeof *probe_blocks, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    python_init(&shim.python);
    unwind_init(&shim.unwind);
    probe_wrapped = getenv("PROBE_OBJECTS") != NULL;
    if (probe_wrapped)
        python_objects_start(false, 0);
    python_poll(dl_iterate_phdr);
    pthread_atfork(NULL, NULL, probe_forked);
}

// Nothing is recorded that could be given up, or be in order again.
void guard_give_up(enum record_given_up why) {
    (void)why;
}

bool guard_take_over(void) {
    return false;
}

bool process_enter(void) {
    struct thread *thread = &thread_self;
    if (!environ)
        return false;
    if (!probe_started) {
        shim.generation = 1;
        probe_start();
    }
    if (!probe_sites && !probe_verify && !probe_wrapped)
        return false;
    void *memory = mmap(NULL, sizeof(struct stack), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    thread->stack = memory == MAP_FAILED ? NULL : memory;
    thread->generation = shim.generation;
    return true;
}

// A number for a path of (function, line), by its text.
static uint32_t probe_hash(uint32_t hash, const void *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 16777619u;
    return hash;
}

static struct lock probe_text_lock;

static bool probe_locate(const struct python_frame *frame, struct python_location *at, char *text,
                         size_t size) {
    enum lock_got locked = lock_take(&probe_text_lock);
    bool found = python_locate(frame, at, text, size);
    lock_drop(&probe_text_lock, locked);
    return found;
}

static uint32_t probe_frame(const struct python_frame *frame, char *text, size_t size) {
    struct python_location at;
    if (!probe_locate(frame, &at, text, size))
        return 1;
    uint32_t hash = probe_hash(2166136261u, at.file, at.file_length);
    hash = probe_hash(hash, at.name, at.name_length);
    hash = probe_hash(hash, &at.line, sizeof at.line);
    return probe_hash(hash, &at.first_line, sizeof at.first_line) | 1;
}

static uint32_t probe_node(uint32_t parent, uint32_t frame) {
    return probe_hash(parent ^ 0x9e3779b9u, &frame, sizeof frame) | 1;
}

static struct lock probe_lock;

// Every word of the incremental capture against a whole walk.
static void probe_compare(struct stack *stack) {
    python_forget(&stack->whole);
    int none = python_capture(&stack->whole);
    if (none < 0)
        return; // the interpreter has begun to end in between
    bool same = none == 0 && stack->whole.depth == stack->live.depth;
    uint32_t node = 0, i = 0;
    if (stack->live.cut || stack->live.outer_node || stack->whole.cut)
        same = none == 0; // windows of different extent
    else
        for (bool text = probe_captures % probe_verify == 0; same && i < stack->whole.depth; i++) {
            const struct python_frame *a = &stack->live.frames[i], *b = &stack->whole.frames[i];
            same = a->frame == b->frame && a->code == b->code && a->instr == b->instr;
            if (text)
                node = probe_node(node, probe_frame(b, stack->other, sizeof stack->other));
            same = same && (!text || a->node == node);
        }
    if (!same && probe_differences++ < 20) {
        char line[256];
        int length = snprintf(line, sizeof line, "differs at %u: depth %u whole %u (%d)\n", i,
                              stack->live.depth, stack->whole.depth, none);
        probe_write(line, (size_t)length);
    }
}

// Whether the stack is known to be that of the last capture.
static bool probe_same(const struct stack *stack) {
    uintptr_t instr;
    const enum frames_kind kind = stack->sure.chain.hidden ? FRAMES_HIDDEN : FRAMES_DIRECT;
    return stack->sure_doubts && stack->sure_doubts == __atomic_load_n(&shim_doubts, __ATOMIC_ACQUIRE) &&
           python_same_innermost(&stack->sure, &instr) &&
           instr == stack->live.frames[stack->live.depth - 1].instr &&
           python_same_callers(&stack->sure, kind);
}

// Takes the stack; the nodes are hashes of the path.
__attribute__((noinline)) static int probe_capture(struct stack *stack) {
    struct python_stack *live = &stack->live;
    int unchanged = (int)live->depth;
    if (!probe_same(stack)) {
        stack->sure_doubts = 0;
        uint32_t doubts = __atomic_load_n(&shim_doubts, __ATOMIC_ACQUIRE);
        const uint32_t walks = live->captures;
        unchanged = python_capture(live);
        probe_walked += live->captures != walks;
        if (unchanged < 0)
            return unchanged;
        anchor_look(live, &stack->native, __builtin_frame_address(0));
        if (python_rely(&stack->sure, live))
            stack->sure_doubts = doubts;
    }
    probe_anchored += live->anchors_count != 0;
    enum lock_got locked = lock_take(&probe_lock);
    uint32_t node = unchanged ? live->frames[unchanged - 1].node : live->outer_node;
    for (uint32_t i = (uint32_t)unchanged; i < live->depth; i++) {
        uint32_t *slot = python_slot(&live->frames[i]);
        uint32_t frame = slot ? *slot : 0;
        if (!frame)
            frame = probe_frame(&live->frames[i], stack->text, sizeof stack->text);
        if (slot)
            *slot = frame;
        live->frames[i].node = node = probe_node(node, frame);
    }
    lock_drop(&probe_lock, locked);
    probe_captures++;
    probe_new += live->depth - (uint32_t)unchanged;
    if (live->depth > probe_deepest)
        probe_deepest = live->depth;
    probe_cut += live->cut || live->outer_node;
    if (probe_verify)
        probe_compare(stack);
    return unchanged;
}

static void probe_site(struct stack *stack, size_t size, bool python) {
    static __thread char line[16384];
    struct python_stack *live = &stack->live;
    struct python_location at = {.file = "-", .file_length = 1, .name = "-", .name_length = 1};
    if (python)
        probe_locate(&live->frames[live->depth - 1], &at, stack->text, sizeof stack->text);
    int length = snprintf(line, 12000, "%zu\t%u\t%u\t%u\t%d\t%.*s\t%.*s\t", size, at.line, at.first_line,
                          python ? live->depth : 0, gettid(), (int)at.file_length, at.file,
                          (int)at.name_length, at.name);
    for (uint32_t i = python ? live->depth - 1 : 0; i-- > 0 && length < 15000;) {
        probe_locate(&live->frames[i], &at, stack->text, sizeof stack->text);
        length += snprintf(line + length, 512, "%.*s:%u ", (int)(at.name_length < 300 ? at.name_length : 300),
                           at.name, at.line);
    }
    line[length++] = '\n';
    probe_write(line, (size_t)length);
}

static void probe_allocated(struct thread *thread, const void *block, size_t size) {
    if (block)
        thread->last_block = (uintptr_t)block;
    int saved = errno;
    if (thread->stack && python_found()) {
        bool site = probe_sites && size >= 7000000 && size < 7100000;
        if (site || probe_verify || probe_wrapped) {
            int unchanged = probe_capture(thread->stack);
            if (site)
                probe_site(thread->stack, size, unchanged >= 0);
        }
    } else if (!python_found()) {
        static uint32_t polls;
        if ((++polls & 255) == 0)
            python_poll(dl_iterate_phdr);
    }
    errno = saved;
}

EXPORT void *malloc(size_t size) {
    void *block = __libc_malloc(size);
    struct thread *thread = guard_enter();
    if (thread) {
        probe_allocated(thread, block, size);
        guard_leave(thread);
    }
    return block;
}

EXPORT void *calloc(size_t count, size_t size) {
    void *block = __libc_calloc(count, size);
    struct thread *thread = guard_enter();
    if (thread) {
        probe_allocated(thread, block, count * size);
        guard_leave(thread);
    }
    return block;
}

EXPORT void *realloc(void *block, size_t size) {
    void *moved = __libc_realloc(block, size);
    struct thread *thread = guard_enter();
    if (thread) {
        probe_allocated(thread, moved, size);
        guard_leave(thread);
    }
    return moved;
}

EXPORT void free(void *block) {
    struct thread *thread = block ? guard_enter() : NULL;
    if (thread) {
        if (probe_verify || probe_wrapped)
            probe_allocated(thread, NULL, 0);
        guard_leave(thread);
    }
    __libc_free(block);
}

// The live table: a hash of addresses, no more. Under the GIL, or the guard's owner alone.
static uintptr_t *probe_find(const void *block) {
    uint32_t at = (uint32_t)(((uintptr_t)block >> 4) * 0x9e3779b97f4a7c15u >> 40);
    for (;; at++) {
        uintptr_t *slot = &probe_blocks[at & (OBJECTS - 1)];
        if (*slot == (uintptr_t)block || !*slot)
            return slot;
    }
}

void track_object_alloc_any(struct thread *thread, void *block, size_t size, const void *frame) {
    (void)frame;
    enum lock_got locked = lock_take(&probe_lock);
    if (probe_objects - probe_freed < OBJECTS / 2) {
        *probe_find(block) = (uintptr_t)block;
        probe_objects++;
    }
    lock_drop(&probe_lock, locked);
    // What malloc has just been asked for was met there.
    if (probe_verify || probe_wrapped)
        probe_allocated(thread, block, thread->last_block == (uintptr_t)block ? 0 : size);
}

// The allocator has handed that block out once, and nothing more is asked of it.
void track_object_reused_any(struct thread *thread, void *block, const void *frame) {
    (void)thread, (void)block, (void)frame;
}

void track_object_alloc(struct thread *thread, void *block, size_t size, const void *frame) {
    track_object_alloc_any(thread, block, size, frame);
}

bool track_object_detach(struct thread *thread, void *block, struct live_block *old) {
    old->size = 1;
    enum lock_got locked = lock_take(&probe_lock);
    uintptr_t *slot = probe_find(block);
    bool known = *slot != 0;
    if (known) {
        // Closes the gap in the chain.
        *slot = 0;
        for (uintptr_t *next = slot;;) {
            next = next + 1 == probe_blocks + OBJECTS ? probe_blocks : next + 1;
            uintptr_t moved = *next;
            if (!moved)
                break;
            *next = 0;
            *probe_find((void *)moved) = moved;
        }
    }
    lock_drop(&probe_lock, locked);
    return known;
}

void track_object_freed(struct thread *thread, void *block, const struct live_block *old, const void *frame) {
    (void)block, (void)old, (void)frame;
    probe_freed++;
    if (probe_verify || probe_wrapped)
        probe_allocated(thread, NULL, 0);
}

void track_object_free_any(struct thread *thread, void *block, const void *frame) {
    struct live_block old;
    if (track_object_detach(thread, block, &old))
        track_object_freed(thread, block, &old, frame);
}

void track_object_free(struct thread *thread, void *block, const void *frame) {
    track_object_free_any(thread, block, frame);
}

void track_done_any(struct thread *thread, bool due) {
    (void)thread, (void)due;
}

// What malloc was asked for inside an allocator with a context of its own; nobody asks here.
void track_alloc(struct thread *thread, void *block, size_t size, const void *frame) {
    (void)thread, (void)block, (void)size, (void)frame;
}

// Nothing is sampled here.
void live_refine(void) {}

void live_visit(struct thread *thread, const void *block) {
    (void)thread, (void)block;
}

void live_arena_begin(struct thread *thread, const void *arena, size_t size) {
    (void)thread, (void)arena, (void)size;
}

void live_arena_end(const void *arena, size_t size) {
    (void)arena, (void)size;
}

void live_arena_mix(void) {}

void track_sampled(struct thread *thread, void *block, size_t size, const void *frame) {
    (void)thread, (void)block, (void)size, (void)frame;
}

void track_sampled_freed(struct thread *thread, const void *block, const struct live_block *old,
                         const void *frame) {
    (void)thread, (void)block, (void)old, (void)frame;
}

void track_restore(struct thread *thread, void *block, const struct live_block *old) {
    (void)old;
    *probe_find(block) = (uintptr_t)block;
}

__attribute__((destructor)) static void probe_end(void) {
    char line[1024];
    struct thread *thread = guard_enter();
    int length =
        snprintf(line, sizeof line,
                 "end captures=%lu differences=%lu objects=%lu freed=%lu deepest=%lu cut=%lu new=%lu "
                 "anchored=%lu walked=%lu version=%s note=%s\n",
                 probe_captures, probe_differences, probe_objects, probe_freed, probe_deepest, probe_cut,
                 probe_new, probe_anchored, probe_walked, python_version() ? python_version() : "-",
                 python_note() ? python_note() : "-");
    if (probe_output >= 0)
        probe_write(line, (size_t)length);
    if (thread)
        guard_leave(thread);
}
