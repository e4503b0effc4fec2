// SPDX-License-Identifier: MIT
//
// See code.h.

#include "shim/python/code.h"
#include "shim/arena.h"
#include "shim/python/lines.h"
#include "shim/python/text.h"

uint32_t code_epoch;
uint32_t code_lives[CODE_LIVES];

// A place in the code and the caller's word for it. The code object is part of the name: another one may
// lie where its instructions were.
struct code_slot {
    const void *code; // NULL = free
    uintptr_t instr;
    uint32_t life;
    uint32_t word;
};

// A cache: most places are met once, at an import, and need not be remembered; a larger table would only push
// other things out of the processor's. A set is one cache line, the slot used last in front.
#define CODE_SETS 2048 // a power of two; 128 KiB
#define CODE_WAYS 2

struct code_set {
    struct code_slot slots[CODE_WAYS];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct code_set) == 64, "one cache line");

struct python_slots {
    struct code_set sets[CODE_SETS];
};

static struct python_state *code_state;

void code_init(struct python_state *state) {
    code_state = state;
}

static bool code_is_of(const void *code, const struct detect_runtime *runtime) {
    return runtime && runtime->code_type &&
           runtime->code_type == code_load(code, runtime->layout.object_type);
}

// Runs in the interpreter, not in a hook: a count, and on.
static void code_dies(void *code) {
    uintptr_t address = (uintptr_t)code;
    __atomic_fetch_add(&code_lives[(address >> 4 ^ address >> 16) & (CODE_LIVES - 1)], 1, __ATOMIC_ACQ_REL);
    code_doubt();
    const struct detect_runtime *runtime = detect_get();
    if (!code_is_of(code, runtime))
        for (runtime = detect_runtimes; !code_is_of(code, runtime); runtime++)
            ;
    runtime->code_dealloc(code);
}

bool code_watches(const struct detect_runtime *runtime) {
    return runtime->code_dealloc == code_dies;
}

bool code_watched(const struct detect_runtime *runtime) {
    void (*now)(void *);
    __builtin_memcpy(&now, (const char *)runtime->code_type + runtime->layout.type_dealloc, sizeof now);
    return now == code_dies;
}

void code_watch(struct detect_runtime *runtime) {
    // An interpreter that has been unloaded and loaded again elsewhere has code objects of its own data at
    // addresses where others were, which never died.
    for (uint32_t i = 0; i < CODE_LIVES; i++)
        __atomic_fetch_add(&code_lives[i], 1, __ATOMIC_ACQ_REL);
    code_doubt();
    void (*watch)(void *) = code_dies;
    uintptr_t word;
    __builtin_memcpy(&word, &watch, sizeof word);
    uintptr_t *slot = (uintptr_t *)((uintptr_t)runtime->code_type + runtime->layout.type_dealloc);
    __atomic_store_n(slot, word, __ATOMIC_RELEASE);
}

int code_offset(const struct detect_runtime *runtime, const void *frame, const void *code, uintptr_t instr) {
    const struct python_layout *layout = &runtime->layout;
    intptr_t offset;
    size_t units; // of 2 bytes
    if (layout->minor <= 10) {
        offset = (int)(uint32_t)instr * (layout->minor == 10 ? 2 : 1);
        units = (uintptr_t)code_load(code_load(code, layout->code_bytecode), layout->object_size) / 2;
    } else {
        const char *base = (const char *)code + layout->code_bytecode;
        if (layout->code_tlbc != LAYOUT_NONE) {
            int32_t index;
            __builtin_memcpy(&index, (const char *)frame + layout->frame_tlbc, sizeof index);
            // {size, copies[]}; copies[0] is the bytecode in the code object itself.
            const char *copies = code_load(code, layout->code_tlbc);
            if (index > 0 && copies && index < (intptr_t)code_load(copies, 0))
                base = code_load(copies, 8 + 8 * (size_t)index);
        }
        offset = (intptr_t)(instr - (uintptr_t)base);
        units = (uintptr_t)code_load(code, layout->object_size);
    }
    return offset >= 0 && (size_t)offset / 2 < units && offset < INT32_MAX ? (int)offset : -1;
}

static int code_first_line(const struct detect_runtime *runtime, const void *code) {
    int first;
    __builtin_memcpy(&first, (const char *)code + runtime->layout.code_firstlineno, sizeof first);
    return first;
}

// What is remembered of some code objects: how far their tables have been read, and the caller's word.
#define CODE_KNOWN 1024 // a power of two

struct code_known {
    const void *code;
    uint32_t life;
    uint32_t word;
    struct lines_cursor lines;
};

// NULL: no memory. Under the caller's lock.
static struct code_known *code_know(const struct detect_runtime *runtime, const struct python_frame *frame) {
    if (code_state && !code_state->known)
        code_state->known = arena_alloc(CODE_KNOWN * sizeof *code_state->known);
    if (!code_state || !code_state->known)
        return NULL;
    uintptr_t address = (uintptr_t)frame->code;
    struct code_known *known = &code_state->known[(address >> 4 ^ address >> 14) & (CODE_KNOWN - 1)];
    if (known->code != frame->code || known->life != frame->life)
        *known = (struct code_known){
            .code = frame->code,
            .life = frame->life,
            .lines = LINES_START(code_first_line(runtime, frame->code)),
        };
    return known;
}

static int code_line_from(const struct detect_runtime *runtime, const void *code, struct lines_cursor *cursor,
                          int offset, int *near) {
    const struct python_layout *layout = &runtime->layout;
    int first = code_first_line(runtime, code);
    const char *bytes = code_load(code, layout->code_linetable);
    *near = first;
    if (offset < 0 || !bytes)
        return first;
    const unsigned char *table = (const unsigned char *)bytes + layout->bytes_data;
    size_t size = (size_t)code_load(bytes, layout->object_size);
    if (layout->minor <= 9)
        return *near = lines_lnotab(table, size, first, offset);
    if (layout->minor == 10)
        return lines_ranges(table, size, first, offset, near);
    return lines_locations(cursor, table, size, offset, near);
}

int code_line(const struct detect_runtime *runtime, const void *code, int offset, int *near) {
    struct lines_cursor start = LINES_START(code_first_line(runtime, code));
    return code_line_from(runtime, code, &start, offset, near);
}

static void code_describe(const struct detect_runtime *runtime, const void *code, int line,
                          struct python_location *location, char *buffer, size_t size) {
    const struct python_layout *layout = &runtime->layout;
    int first = code_first_line(runtime, code);
    size_t half = size / 2;
    location->file = buffer;
    location->file_length = text_copy(layout, code_load(code, layout->code_filename), buffer, half);
    location->name = buffer + location->file_length;
    uint16_t name = layout->code_qualname != LAYOUT_NONE ? layout->code_qualname : layout->code_name;
    location->name_length = text_copy(layout, code_load(code, name), buffer + location->file_length,
                                      size - location->file_length);
    location->first_line = first > 0 ? (uint32_t)first : 0;
    location->line = line > 0 ? (uint32_t)line : 0;
}

// The line of a frame; where its instruction has none, that of what comes before. `known`: of its code; or
// NULL.
static int code_frame_line(const struct detect_runtime *runtime, const struct python_frame *frame,
                           struct code_known *known) {
    int near, offset = code_offset(runtime, frame->frame, frame->code, frame->instr);
    struct lines_cursor start = LINES_START(code_first_line(runtime, frame->code)), *cursor = &start;
    if (known) {
        if (known->lines.end > offset)
            known->lines = start;
        cursor = &known->lines;
    }
    int line = code_line_from(runtime, frame->code, cursor, offset, &near);
    return line < 0 ? near : line;
}

bool python_locate(const struct python_frame *frame, struct python_location *location, char *buffer,
                   size_t size) {
    const struct detect_runtime *runtime = detect_get();
    if (!runtime || !python_found() || size < 64)
        return false;
    int line = code_frame_line(runtime, frame, code_know(runtime, frame));
    code_describe(runtime, frame->code, line, location, buffer, size);
    return true;
}

uint32_t *python_function(const struct python_frame *frame, uint32_t *line) {
    const struct detect_runtime *runtime = detect_get();
    struct code_known *known = runtime && python_found() ? code_know(runtime, frame) : NULL;
    if (!known)
        return NULL;
    int number = code_frame_line(runtime, frame, known);
    *line = number > 0 ? (uint32_t)number : 0;
    return &known->word;
}

bool python_locate_code(const void *code, struct python_location *location, char *buffer, size_t size) {
    const struct detect_runtime *runtime = detect_get();
    if (!python_found() || !code_is_of(code, runtime) || size < 64)
        return false;
    code_describe(runtime, code, code_first_line(runtime, code), location, buffer, size);
    return true;
}

static inline struct code_set *code_set(struct python_slots *table, const struct python_frame *frame) {
    const uint64_t key =
        (uint64_t)(uintptr_t)frame->code ^ (uint64_t)frame->instr << 17 ^ (uint64_t)frame->life << 47;
    return &table->sets[key * 0x9e3779b97f4a7c15u >> 32 & (CODE_SETS - 1)];
}

static inline bool code_slot_is(const struct code_slot *slot, const struct python_frame *frame) {
    return slot->instr == frame->instr && slot->code == frame->code && slot->life == frame->life;
}

// NULL: no memory.
static struct python_slots *code_table(void) {
    if (!code_state->slots) {
        const size_t line = sizeof(struct code_set);
        char *memory = arena_alloc(sizeof(struct python_slots) + line);
        if (memory) {
            memory += -(uintptr_t)memory & (line - 1);
            __atomic_store_n(&code_state->slots, (struct python_slots *)memory, __ATOMIC_RELEASE);
        }
    }
    return code_state->slots;
}

void python_slot_fetch(const struct python_frame *frame) {
    struct python_slots *table = code_state ? __atomic_load_n(&code_state->slots, __ATOMIC_ACQUIRE) : NULL;
    if (table)
        __builtin_prefetch(code_set(table, frame), 1);
}

uint32_t *python_slot(const struct python_frame *frame) {
    struct python_slots *table = code_state ? code_table() : NULL;
    if (!table)
        return NULL;
    struct code_slot *slots = code_set(table, frame)->slots;
    if (code_slot_is(&slots[0], frame))
        return &slots[0].word;
    const struct code_slot second = slots[1];
    slots[1] = slots[0];
    slots[0] = code_slot_is(&second, frame)
                   ? second
                   : (struct code_slot){.code = frame->code, .instr = frame->instr, .life = frame->life};
    return &slots[0].word;
}

void python_slots_forget(bool (*gone)(uint32_t word)) {
    struct python_slots *table = code_state ? code_state->slots : NULL;
    for (uint32_t i = 0; table && i < CODE_SETS * CODE_WAYS; i++) {
        struct code_slot *slot = &table->sets[i / CODE_WAYS].slots[i % CODE_WAYS];
        if (slot->code && gone(slot->word))
            slot->word = 0;
    }
}
