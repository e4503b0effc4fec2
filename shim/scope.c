// SPDX-License-Identifier: MIT
//
// Entries in an array, chained from the inside outward; those of Python are found by a hash of the frame's or
// the code object's address.

#include "shim/scope.h"
#include "shim/hash.h"
#include "shim/sys.h"

#include <stddef.h>
#include <sys/mman.h>

#define SCOPE_SLOTS (SCOPE_MOST * 2) // a power of two

struct scope_slot {
    const void *key; // NULL = free
    uint32_t innermost;
};

struct scope_table {
    struct scope entries[SCOPE_MOST + 1]; // entry 0 is "none"
    struct scope_slot slots[SCOPE_SLOTS];
};

uint32_t scope_of_python, scope_of_contexts;

static struct scope_table *scope_table; // NULL until there is a scope
static uint32_t scope_used, scope_free, scope_serial;

static bool scope_ready(void) {
    if (scope_table)
        return true;
    long table = sys_mmap(NULL, sizeof *scope_table, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sys_failed(table))
        return false;
    scope_table = (struct scope_table *)table;
    return true;
}

static uint32_t scope_home(const void *key) {
    return (uint32_t)((uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15u >> 40) & (SCOPE_SLOTS - 1);
}

// The slot of a key, or the free one where it would be. There are twice as many as entries.
static struct scope_slot *scope_slot(const void *key) {
    uint32_t at = scope_home(key);
    while (scope_table->slots[at].key && scope_table->slots[at].key != key)
        at = (at + 1) & (SCOPE_SLOTS - 1);
    return &scope_table->slots[at];
}

// Those behind it move up, so that no search ends too early.
static void scope_slot_free(struct scope_slot *slot) {
    uint32_t hole = (uint32_t)(slot - scope_table->slots);
    for (uint32_t at = (hole + 1) & (SCOPE_SLOTS - 1); scope_table->slots[at].key;
         at = (at + 1) & (SCOPE_SLOTS - 1)) {
        uint32_t home = scope_home(scope_table->slots[at].key);
        if (((at - home) & (SCOPE_SLOTS - 1)) >= ((at - hole) & (SCOPE_SLOTS - 1))) {
            scope_table->slots[hole] = scope_table->slots[at];
            hole = at;
        }
    }
    scope_table->slots[hole] = (struct scope_slot){.key = NULL};
}

#define SCOPE_HASH 9 // bytes: "~" and eight digits

// So that long names that differ at their end only are not one.
static size_t scope_put_hash(char *out, const char *name) {
    uint64_t hash = hash_bytes(name, __builtin_strlen(name));
    hash ^= hash >> 32;
    *out++ = '~';
    for (unsigned i = 0; i < SCOPE_HASH - 1; i++)
        *out++ = "0123456789abcdef"[hash >> (28 - 4 * i) & 15];
    return SCOPE_HASH;
}

static void scope_set_name(struct scope *scope, const char *name) {
    size_t length = 0;
    while (length < SCOPE_NAME_MOST && name[length])
        length++;
    const bool cut = name[length] != '\0';
    if (cut) {
        length -= SCOPE_HASH;
        while (length && ((unsigned char)name[length] & 0xc0) == 0x80)
            length--;
    }
    __builtin_memcpy(scope->name, name, length);
    if (cut)
        length += scope_put_hash(scope->name + length, name);
    scope->length = (uint16_t)length;
}

static scope_handle scope_handle_of(uint32_t entry) {
    return entry ? (uint64_t)scope_table->entries[entry].serial << 32 | entry : 0;
}

static scope_handle scope_add(uint32_t *innermost, const void *frame, const void *code, const void *context,
                              const char *name) {
    unsigned nested = 0;
    if (!scope_ready())
        return 0;
    for (uint32_t entry = *innermost; entry; entry = scope_table->entries[entry].outer)
        nested++;
    uint32_t entry = scope_free;
    if (nested == SCOPE_NESTED || (!entry && scope_used == SCOPE_MOST))
        return 0;
    if (entry)
        scope_free = scope_table->entries[entry].outer;
    else
        entry = ++scope_used;
    if (++scope_serial == 0)
        scope_serial = 1;
    struct scope *scope = &scope_table->entries[entry];
    scope->frame = frame;
    scope->code = code;
    scope->context = context;
    scope->outer = *innermost;
    scope->serial = scope_serial;
    scope->number = 0;
    scope_set_name(scope, name);
    *innermost = entry;
    return scope_handle_of(entry);
}

scope_handle scope_open(uint32_t *innermost, const char *name) {
    return scope_add(innermost, NULL, NULL, NULL, name);
}

static void scope_release(uint32_t entry) {
    if (scope_table->entries[entry].frame)
        scope_of_python--;
    if (scope_table->entries[entry].context)
        scope_of_contexts--;
    scope_table->entries[entry].serial = 0;
    scope_table->entries[entry].outer = scope_free;
    scope_free = entry;
}

scope_handle scope_open_python(const void *frame, const void *code, const void *context, const char *name) {
    if (!scope_ready())
        return 0;
    struct scope_slot *slot = scope_slot(frame);
    // Left behind by another frame at this address, whose block never ended.
    while (slot->key && scope_table->entries[slot->innermost].code != code) {
        uint32_t stale = slot->innermost;
        slot->innermost = scope_table->entries[stale].outer;
        scope_release(stale);
        if (!slot->innermost) {
            scope_slot_free(slot);
            slot = scope_slot(frame);
        }
    }
    uint32_t innermost = slot->key ? slot->innermost : 0;
    scope_handle handle = scope_add(&innermost, frame, code, context, name);
    if (handle) {
        *slot = (struct scope_slot){.key = frame, .innermost = innermost};
        scope_of_python++;
        scope_of_contexts += context != NULL;
    }
    return handle;
}

// Takes an entry out of a chain. False: it is not there.
static bool scope_unlink(uint32_t *innermost, uint32_t entry, bool inside) {
    uint32_t *link = innermost;
    while (*link && *link != entry)
        link = &scope_table->entries[*link].outer;
    if (!*link)
        return false;
    while (inside && *innermost != entry) {
        uint32_t inner = *innermost;
        *innermost = scope_table->entries[inner].outer;
        scope_release(inner);
        link = innermost;
    }
    *link = scope_table->entries[entry].outer;
    scope_release(entry);
    return true;
}

bool scope_close(uint32_t *innermost, scope_handle handle, bool inside) {
    uint32_t entry = (uint32_t)handle;
    if (entry == 0 || entry > scope_used || scope_table->entries[entry].serial != handle >> 32)
        return false;
    if (!scope_table->entries[entry].frame)
        return scope_unlink(innermost, entry, inside);
    struct scope_slot *slot = scope_slot(scope_table->entries[entry].frame);
    if (!slot->key || !scope_unlink(&slot->innermost, entry, false))
        return false;
    if (!slot->innermost)
        scope_slot_free(slot);
    return true;
}

scope_handle scope_innermost(uint32_t innermost) {
    return scope_handle_of(innermost);
}

void scope_close_all(uint32_t *innermost) {
    while (*innermost)
        scope_unlink(innermost, *innermost, false);
}

static unsigned scope_list_more(uint32_t innermost, struct scope *scopes[SCOPE_NESTED], unsigned count) {
    for (uint32_t entry = innermost; entry && count < SCOPE_NESTED; entry = scope_table->entries[entry].outer)
        scopes[count++] = &scope_table->entries[entry];
    return count;
}

unsigned scope_list(uint32_t innermost, struct scope *scopes[SCOPE_NESTED]) {
    return scope_list_more(innermost, scopes, 0);
}

unsigned scope_list_python(const void *frame, const void *code, struct scope *scopes[SCOPE_NESTED]) {
    unsigned count = 0;
    if (!scope_of_python)
        return 0;
    const struct scope_slot *slot = scope_slot(frame);
    if (slot->key && scope_table->entries[slot->innermost].code == code)
        count = scope_list(slot->innermost, scopes);
    slot = scope_slot(code);
    return slot->key ? scope_list_more(slot->innermost, scopes, count) : count;
}

struct scope *scope_in_context(scope_handle handle, const void *context) {
    uint32_t entry = (uint32_t)handle;
    if (entry == 0 || entry > scope_used)
        return NULL;
    struct scope *scope = &scope_table->entries[entry];
    return scope->serial == handle >> 32 && scope->context && scope->context != context ? scope : NULL;
}
