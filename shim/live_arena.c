// SPDX-License-Identifier: MIT
//
// The first object decides how many bytes a slot of the part is for: the power of two that is no more than
// its size, so that no two such objects begin within them. If that is more than 32, the part's slots are an
// array of just that length, and the arrays of a MiB lie side by side. When smaller objects come, since the
// pool has been used again, the part gets another array; if it is not empty, they go aside.
//
// A part is changed by who has the GIL of the interpreter whose arena it is, and nobody else looks at it. The
// arrays are shared by interpreters with a GIL each: side_lock.

#include "shim/live_arena.h"
#include "shim/arena.h"
#include "shim/config.h"

#define LIVE_ARRAYS (60u << 10)     // bytes of all arrays of a MiB
#define LIVE_ARRAY_LEAST 128u       // bytes of the shortest array
#define LIVE_ARENA_LEAST (1u << 20) // bytes; arenas up to Python 3.9 are smaller, and so are pools
#define LIVE_SHIFT_FIRST (LIVE_SHIFT + 1)
#define LIVE_SHIFT_LAST (LIVE_SHIFT + LIVE_LENGTHS)
#define LIVE_SHIFT_NONE 20u // of a part without objects: all addresses have the same slot

static bool live_arena_mixed; // not wiped by fork: the child has the same allocators

static uint32_t live_arena_nothing; // that slot, which stays empty

static inline uint32_t live_array_bytes(unsigned shift) {
    return 1u << LIVE_PART_BITS >> shift;
}

// The array of such a part; NULL: it has none.
static inline uint32_t *live_array(const struct live_leaf *leaf, unsigned number) {
    const uint64_t part = leaf->parts[number];
    const bool has = live_shift(part) >= LIVE_SHIFT_FIRST && live_shift(part) <= LIVE_SHIFT_LAST;
    return has ? live_slot_in(part, (uintptr_t)number << LIVE_PART_BITS) : NULL;
}

// The part's array can be used again; what it says is forgotten.
static void live_array_free(struct live_leaf *leaf, unsigned number) {
    uint32_t *array = live_array(leaf, number);
    if (!array)
        return;
    const unsigned shift = live_shift(leaf->parts[number]);
    uint16_t *first = &leaf->arrays_free[shift - LIVE_SHIFT_FIRST];
    __builtin_memset(array, 0, live_array_bytes(shift));
    *array = *first;
    *first = (uint16_t)((char *)array - leaf->arrays);
}

// An array of zeros. NULL: there is no room.
static char *live_array_take(struct live_leaf *leaf, unsigned shift) {
    uint16_t *first = &leaf->arrays_free[shift - LIVE_SHIFT_FIRST];
    uint32_t *array = (uint32_t *)(leaf->arrays + *first);
    if (*first) {
        *first = (uint16_t)*array;
        *array = 0;
    } else {
        if (leaf->arrays_used + live_array_bytes(shift) > LIVE_ARRAYS)
            return NULL;
        array = (uint32_t *)(leaf->arrays + leaf->arrays_used);
        leaf->arrays_used = (uint16_t)(leaf->arrays_used + live_array_bytes(shift));
    }
    return (char *)array;
}

static bool live_part_is_empty(const struct live_leaf *leaf, unsigned number) {
    const uint32_t *array = live_array(leaf, number);
    if (!array)
        return true;
    for (uint32_t i = 0; i < live_array_bytes(live_shift(leaf->parts[number])) / sizeof *array; i++)
        if (array[i])
            return false;
    return true;
}

// Has an empty part fit objects of so many bytes; 0: any block.
static void live_part_fit(struct live_leaf *leaf, unsigned number, size_t size) {
    const bool mixed = __atomic_load_n(&live_arena_mixed, __ATOMIC_RELAXED);
    unsigned shift = LIVE_SHIFT;
    while (!mixed && shift < LIVE_SHIFT_LAST && ((size + 15) & ~(size_t)15) >= 8u << shift)
        shift++;
    live_array_free(leaf, number);
    const char *array = shift > LIVE_SHIFT ? live_array_take(leaf, shift) : NULL;
    uint64_t part = leaf->ordinary;
    if (array) // objects of 15 bytes less are as large
        part = live_part_at(array - (number << LIVE_PART_BITS >> shift), shift, (4u << shift) - 15);
    __atomic_store_n(&leaf->parts[number], part, __ATOMIC_RELAXED);
}

bool live_arena_settle(struct live_leaf *leaf, uintptr_t address, const struct live_block *block,
                       bool *aside) {
    const unsigned number = live_part_number(address);
    enum lock_got locked = lock_take(&shim.live.side_lock);
    if (locked == LOCK_REFUSED)
        return false;
    const bool empty = live_part_is_empty(leaf, number);
    if (empty)
        live_part_fit(leaf, number, block->object ? block->size : 0);
    lock_drop(&shim.live.side_lock, locked);
    *aside = !empty;
    return empty || block->object;
}

// Parts that are not wholly in the arena may have other blocks.
static void live_arena_parts(const void *arena, size_t size, bool begin) {
    const uintptr_t part = 1u << LIVE_PART_BITS, end = (uintptr_t)arena + size;
    if (size < LIVE_ARENA_LEAST || end >> 47 != 0)
        return;
    for (uintptr_t at = ((uintptr_t)arena + part - 1) & ~(part - 1); at + part <= end; at += part) {
        struct live_leaf *leaf = live_leaf(at, begin);
        const unsigned number = live_part_number(at);
        if (!leaf)
            continue;
        enum lock_got locked = lock_take(&shim.live.side_lock);
        if (locked == LOCK_REFUSED)
            return;
        live_array_free(leaf, number);
        if (begin && !leaf->arrays) {
            leaf->arrays = arena_reserve(LIVE_ARRAYS);
            leaf->arrays_used = LIVE_ARRAY_LEAST; // no array begins at 0, which is none
        }
        const uint64_t none = live_part_at((char *)&live_arena_nothing, LIVE_SHIFT_NONE, LIVE_ASIDE);
        __atomic_store_n(&leaf->parts[number], begin && leaf->arrays ? none : leaf->ordinary,
                         __ATOMIC_RELAXED);
        lock_drop(&shim.live.side_lock, locked);
    }
}

void live_arena_begin(struct thread *thread, const void *arena, size_t size) {
    // Not one that the program took from malloc: that block has a slot.
    const bool mixed = __atomic_load_n(&live_arena_mixed, __ATOMIC_RELAXED);
    if (!mixed && !config.scarce && !live_has_block(thread, arena))
        live_arena_parts(arena, size, true);
}

void live_arena_end(const void *arena, size_t size) {
    live_arena_parts(arena, size, false);
}

void live_arena_mix(void) {
    __atomic_store_n(&live_arena_mixed, true, __ATOMIC_RELAXED);
}
