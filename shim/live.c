// SPDX-License-Identifier: MIT
//
//   address   47 ....... 32 31 ........ 20 19 ......... 4 3 .. 0
//              directory     middle table   leaf: slots    must be 0
//
//   slot      31      30 .............. 11 10 .......... 0
//              object        owner          slack, or size of an object
//
// Slot 0 means "no block" (no block has owner 0). LIVE_ASIDE in the last field: look in the side table.

#include "shim/live.h"
#include "shim/arena.h"
#include "shim/hash.h"

#define LIVE_DIRECTORY (1u << 15)
#define LIVE_MIDDLE (1u << 12)
#define LIVE_LEAF (1u << 16)
#define LIVE_OWNER_MAX ((1u << 20) - 1)

struct live_side {
    uintptr_t address;
    struct live_block block;
    UT_hash_handle hh;
};

bool live_open(void) {
    shim.live.directory = arena_reserve(LIVE_DIRECTORY * sizeof(void *));
    shim.live.sizes_aside = !real.usable_size_matches;
    return shim.live.directory != NULL;
}

// The table of `bytes` behind *place, made when it is not there.
__attribute__((noinline, cold)) static void *live_make(void **place, size_t bytes) {
    void *table = arena_reserve(bytes), *expected = NULL;
    if (!table)
        return NULL;
    // A thread that loses this race leaves its table unused: address space only.
    if (!__atomic_compare_exchange_n(place, &expected, table, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return expected;
    return table;
}

static inline bool live_fits(uintptr_t address) {
    return (address & 15) == 0 && address >> 47 == 0;
}

__attribute__((noinline)) static uint32_t *live_leaf(uintptr_t address, bool make) {
    void **place = &shim.live.directory[address >> 32];
    void **middle = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (shim_unlikely(!middle) && (!make || !(middle = live_make(place, LIVE_MIDDLE * sizeof(void *)))))
        return NULL;
    place = &middle[address >> 20 & (LIVE_MIDDLE - 1)];
    uint32_t *leaf = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (shim_unlikely(!leaf) && (!make || !(leaf = live_make(place, LIVE_LEAF * sizeof(uint32_t)))))
        return NULL;
    return leaf;
}

// The middle and the directory are looked at only where the thread has not been lately: leaves stay as long
// as the process.
static inline uint32_t *live_slot(struct thread *thread, uintptr_t address, bool make) {
    uint32_t *slot = live_known_slot(thread, address);
    if (shim_likely(slot))
        return slot;
    uint32_t *leaf = live_leaf(address, make);
    if (!leaf)
        return NULL;
    // Not where every size goes to the side table: that is no ordinary case.
    if (!shim.live.sizes_aside)
        thread->leaves[address >> 20 & (THREAD_LEAVES - 1)] =
            (struct live_cached){.tag = (address >> 20) + 1, .leaf = leaf};
    return &leaf[address >> 4 & (LIVE_LEAF - 1)];
}

__attribute__((noinline, cold)) static bool
live_side_insert(uintptr_t address, const struct live_block *block, struct live_block *stale) {
    struct live_side *entry = arena_alloc(sizeof *entry), *old = NULL;
    if (!entry)
        return false;
    entry->address = address;
    entry->block = *block;
    enum lock_got locked = lock_take(&shim.live.side_lock);
    if (locked == LOCK_REFUSED)
        return false;
    HASH_FIND(hh, shim.live.side, &address, sizeof address, old);
    if (old) {
        *stale = old->block;
        HASH_DEL(shim.live.side, old);
    }
    HASH_ADD(hh, shim.live.side, address, sizeof entry->address, entry);
    bool added = entry->hh.tbl != NULL;
    lock_drop(&shim.live.side_lock, locked);
    arena_free(old, sizeof *old);
    if (!added)
        arena_free(entry, sizeof *entry);
    return added;
}

__attribute__((noinline, cold)) static bool live_side_detach(uintptr_t address, struct live_block *block) {
    struct live_side *entry = NULL;
    enum lock_got locked = lock_take(&shim.live.side_lock);
    if (locked == LOCK_REFUSED)
        return false;
    HASH_FIND(hh, shim.live.side, &address, sizeof address, entry);
    if (entry) {
        *block = entry->block;
        HASH_DEL(shim.live.side, entry);
    }
    lock_drop(&shim.live.side_lock, locked);
    arena_free(entry, sizeof *entry);
    return entry != NULL;
}

static inline bool live_take(uintptr_t address, uint32_t *slot, uint32_t value, struct live_block *block) {
    __atomic_store_n(slot, 0, __ATOMIC_RELAXED);
    uint32_t field = value & LIVE_ASIDE;
    if (shim_unlikely(field == LIVE_ASIDE))
        return live_side_detach(address, block);
    block->owner = (value & ~LIVE_OBJECT) >> LIVE_FIELD_BITS;
    block->object = (value & LIVE_OBJECT) != 0;
    if (block->object) {
        block->size = field;
        block->usable = (field + 15) & ~(size_t)15; // pymalloc's size classes
    } else {
        block->usable = real_usable_size((void *)address);
        block->size = block->usable - field;
    }
    return true;
}

bool live_insert(struct thread *thread, const void *block_address, const struct live_block *block,
                 struct live_block *stale) {
    uintptr_t address = (uintptr_t)block_address;
    stale->owner = 0;
    if (shim_unlikely(!live_fits(address)))
        return live_side_insert(address, block, stale);
    uint32_t *slot = live_slot(thread, address, true);
    if (shim_unlikely(!slot))
        return false;
    uint32_t present = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if (shim_unlikely(present) && !live_take(address, slot, present, stale))
        stale->owner = 0;
    size_t field = block->object ? block->size : block->usable - block->size;
    uint32_t object = block->object ? LIVE_OBJECT : 0;
    if (shim_unlikely(field >= LIVE_ASIDE || block->owner > LIVE_OWNER_MAX ||
                      (shim.live.sizes_aside && !block->object))) {
        if (!live_side_insert(address, block, stale))
            return false;
        __atomic_store_n(slot, object | 1u << LIVE_FIELD_BITS | LIVE_ASIDE, __ATOMIC_RELAXED);
        return true;
    }
    __atomic_store_n(slot, object | block->owner << LIVE_FIELD_BITS | (uint32_t)field, __ATOMIC_RELAXED);
    return true;
}

bool live_detach(struct thread *thread, const void *block_address, struct live_block *block) {
    uintptr_t address = (uintptr_t)block_address;
    if (shim_unlikely(!live_fits(address)))
        return live_side_detach(address, block);
    uint32_t *slot = live_slot(thread, address, false);
    uint32_t value = slot ? __atomic_load_n(slot, __ATOMIC_RELAXED) : 0;
    return value && live_take(address, slot, value, block);
}

bool live_detach_object(struct thread *thread, const void *block_address, struct live_block *block) {
    uintptr_t address = (uintptr_t)block_address;
    if (shim_unlikely(!live_fits(address)))
        return false; // Python's allocators align to 16 bytes
    uint32_t *slot = live_slot(thread, address, false);
    uint32_t value = slot ? __atomic_load_n(slot, __ATOMIC_RELAXED) : 0;
    return (value & LIVE_OBJECT) && live_take(address, slot, value, block);
}

void live_visit(struct thread *thread, const void *block_address) {
    uintptr_t address = (uintptr_t)block_address;
    if (live_fits(address))
        live_slot(thread, address, true);
}

bool live_detach_simple(const void *block_address, struct live_block *block) {
    uintptr_t address = (uintptr_t)block_address;
    // Not by what the thread remembers: it may have been interrupted while it did that.
    uint32_t *leaf = live_fits(address) ? live_leaf(address, false) : NULL;
    uint32_t *slot = leaf ? &leaf[address >> 4 & (LIVE_LEAF - 1)] : NULL;
    uint32_t value = slot ? __atomic_load_n(slot, __ATOMIC_RELAXED) : 0;
    return value && (value & LIVE_ASIDE) != LIVE_ASIDE && live_take(address, slot, value, block);
}

bool live_has_block(struct thread *thread, const void *block_address) {
    uintptr_t address = (uintptr_t)block_address;
    if (live_fits(address)) {
        const uint32_t *slot = live_slot(thread, address, false);
        return slot && live_is_block(__atomic_load_n(slot, __ATOMIC_RELAXED));
    }
    struct live_side *entry = NULL;
    enum lock_got locked = lock_take(&shim.live.side_lock);
    if (locked == LOCK_REFUSED)
        return false;
    HASH_FIND(hh, shim.live.side, &address, sizeof address, entry);
    lock_drop(&shim.live.side_lock, locked);
    return entry != NULL;
}
