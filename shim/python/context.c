// SPDX-License-Identifier: MIT
//
// What contexts (contextvars) say, read in place: python_marks and its kin of python.h.
//
// A context holds its variables in a hash array mapped trie (CPython's Python/hamt.c) that is never changed,
// only replaced, and only by a thread that has entered the context. So the tries of the contexts that the
// calling thread has entered stand still, whether it holds the GIL or not. Their structures are the same from
// 3.8 to 3.15 but for the size of an object's head; nevertheless nothing is read before python_marks_start
// has found, with each address tried first, what is known to be there.

#include "shim/python/frames.h"
#include "shim/python/python.h"
#include "shim/python/selftest.h"

#define CONTEXT_VARIABLES 8 // an interpreter has one; subinterpreters have their own
#define CONTEXT_DEPTH 8     // levels of a trie: seven of 5 bits of the hash each, and one for equal hashes
#define CONTEXT_CHAIN 256   // contexts entered one within the other that are looked at, from the innermost

// Written before `variable` is; the oldest gives way.
static struct context_variable {
    const void *variable, *type; // its values' type, which is bytes
    uint32_t hash;
} context_variables[CONTEXT_VARIABLES];
static unsigned context_next;

// PyObject_HEAD ends, and a structure's first field begins.
static size_t context_head(const struct python_layout *layout) {
    return layout->object_type + sizeof(void *);
}

// The type's name, "hamt_array_node", "hamt_bitmap_node" or "hamt_collision_node", at its sixth letter.
static char context_kind(const struct python_layout *layout, const void *node) {
    return ((const char *)code_load(code_load(node, layout->object_type), layout->type_name))[5];
}

static bool context_wary_node(const struct python_layout *layout, const char *node) {
    if (!selftest_readable(node, layout->object_size + 16u))
        return false;
    const char *type = code_load(node, layout->object_type);
    if (!selftest_readable(type, layout->type_name + 8u))
        return false;
    const char *name = code_load(type, layout->type_name);
    const char *aligned = (const char *)((uintptr_t)name & ~(uintptr_t)7);
    if (!selftest_readable(aligned, 16) || __builtin_memcmp(name, "hamt_", 5) != 0)
        return false;
    size_t size = name[5] == 'a'
                      ? context_head(layout) + 32 * sizeof(void *)
                      : layout->object_size + 16u + 8 * (size_t)code_load(node, layout->object_size);
    return size < 4096 && selftest_readable(node, size);
}

// Among the `count` words at `pairs`, each key before its value.
static const char *context_find_equal(const char *pairs, size_t count, const void *variable) {
    for (size_t i = 0; i + 1 < count; i += 2)
        if (code_load(pairs, 8 * i) == variable)
            return code_load(pairs, 8 * i + 8);
    return NULL;
}

// The variable's value in a context; NULL: it has none. `wary`: the structures may be anything.
static const char *context_find(const struct python_layout *layout, const char *context,
                                const struct context_variable *variable, bool wary) {
    const size_t head = context_head(layout), pairs = layout->object_size + 16u;
    if (wary && !selftest_readable(context, head + 16))
        return NULL;
    const char *trie = code_load(context, head + 8);
    if (!trie || (wary && !selftest_readable(trie, head + 8)))
        return NULL;
    const char *node = code_load(trie, head);
    for (unsigned depth = 0; node && depth < CONTEXT_DEPTH; depth++) {
        if (wary && !context_wary_node(layout, node))
            return NULL;
        char kind = context_kind(layout, node);
        if (kind == 'c')
            return context_find_equal(node + pairs, (size_t)code_load(node, layout->object_size),
                                      variable->variable);
        if (depth == CONTEXT_DEPTH - 1)
            return NULL;
        uint32_t part = variable->hash >> 5 * depth & 31;
        if (kind == 'a') {
            node = code_load(node, head + 8 * part);
            continue;
        }
        uint32_t bitmap;
        __builtin_memcpy(&bitmap, node + layout->object_size + 8, sizeof bitmap);
        if (!(bitmap >> part & 1))
            return NULL;
        const char *pair = node + pairs + 16 * (size_t)__builtin_popcount(bitmap & ((1u << part) - 1));
        const void *key = code_load(pair, 0);
        if (key)
            return key == variable->variable ? code_load(pair, 8) : NULL;
        node = code_load(pair, 8);
    }
    return NULL;
}

static const char *context_of(const struct detect_runtime *runtime, struct python_stack *stack) {
    const void *state = runtime ? frames_state_of(runtime, stack) : NULL;
    return state ? code_load(state, runtime->layout.tstate_context) : NULL;
}

const void *python_context(struct python_stack *stack) {
    for (unsigned i = 0; i < CONTEXT_VARIABLES; i++)
        if (__atomic_load_n(&context_variables[i].variable, __ATOMIC_RELAXED))
            return context_of(detect_get(), stack);
    return NULL;
}

struct python_moment python_moment(struct python_stack *stack) {
    const struct detect_runtime *runtime = detect_get();
    struct python_moment moment = {.state = runtime ? frames_state_of(runtime, stack) : NULL};
    if (moment.state) {
        const char *state = moment.state;
        __builtin_memcpy(&moment.id, state + runtime->layout.tstate_id, sizeof moment.id);
        __builtin_memcpy(&moment.version, state + runtime->layout.tstate_context + 8, sizeof moment.version);
    }
    return moment;
}

bool python_marks_start(struct python_stack *stack, const void *variable, int64_t hash, const void *value) {
    const struct detect_runtime *runtime = detect_get();
    if (!runtime || !python_found() || !value)
        return false;
    // As hamt_hash.
    uint32_t folded = (uint32_t)hash ^ (uint32_t)(hash >> 32);
    struct context_variable wanted = {.variable = variable,
                                      .type = code_load(value, runtime->layout.object_type),
                                      .hash = folded == UINT32_MAX ? UINT32_MAX - 1 : folded};
    const char *context = context_of(runtime, stack);
    bool found = context && context_find(&runtime->layout, context, &wanted, true) == value;
    for (unsigned i = 0; i < CONTEXT_VARIABLES; i++) {
        if (context_variables[i].variable == variable) {
            __atomic_store_n(&context_variables[i].variable, NULL, __ATOMIC_RELEASE);
            context_next = i;
        }
    }
    if (!found)
        return false;
    struct context_variable *slot = &context_variables[context_next++ % CONTEXT_VARIABLES];
    slot->type = wanted.type;
    slot->hash = wanted.hash;
    __atomic_store_n(&slot->variable, variable, __ATOMIC_RELEASE);
    return true;
}

// Those of one context, the last one first.
static unsigned context_marks(const struct python_layout *layout, const char *context,
                              struct python_mark *marks, unsigned count) {
    for (unsigned i = 0; i < CONTEXT_VARIABLES; i++) {
        const struct context_variable *variable = &context_variables[i];
        if (!__atomic_load_n(&variable->variable, __ATOMIC_ACQUIRE))
            continue;
        const char *value = context_find(layout, context, variable, false);
        if (!value || code_load(value, layout->object_type) != variable->type)
            continue;
        size_t words = (size_t)code_load(value, layout->object_size) / sizeof(uint64_t);
        while (words-- && count < PYTHON_MARKS) {
            marks[count].context = context;
            __builtin_memcpy(&marks[count++].word, value + layout->bytes_data + 8 * words, 8);
        }
    }
    return count;
}

unsigned python_marks(struct python_stack *stack, struct python_mark *marks) {
    const struct detect_runtime *runtime = detect_get();
    const char *context = context_of(runtime, stack);
    unsigned count = 0;
    for (unsigned i = 0; context && i < CONTEXT_CHAIN && count < PYTHON_MARKS; i++) {
        count = context_marks(&runtime->layout, context, marks, count);
        context = code_load(context, context_head(&runtime->layout)); // the one that was entered before
    }
    return count;
}
