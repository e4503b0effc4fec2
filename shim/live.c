// SPDX-License-Identifier: MIT
//
//   address   47 ....... 30 29 ........ 20 19 ............. 5 4 3 .. 0
//              directory     leaf           slot              must be 0
//
//   slot      31      30 .............. 11 10      9 .......... 0
//              object        owner         upper   slack, or size of an object
//
// Slot 0 means "no block" (no block has owner 0). LIVE_ASIDE in the last field: look in the side table.
//
// A slot is for 32 bytes: glibc's blocks lie at least as far apart ("upper": this one begins 16 bytes on),
// and so do those of pymalloc but for its smallest, of 16 bytes. The second half of a leaf's slots is
// for what lies beside such a tiny object; one is empty where the first is, and the GIL sees to it that one
// thread at a time changes them. Other allocators, and Python without GIL, have tiny blocks of different
// threads side by side: there, leaves are fine, with a slot for each 16 bytes. Both kinds have the same size.

#include "shim/live.h"
#include "shim/arena.h"
#include "shim/hash.h"
#include "shim/live_arena.h"
#include "shim/sys.h"

#define LIVE_DIRECTORY (1u << 17)
#define LIVE_MIDDLE (1u << 10)
#define LIVE_SLOTS (1u << (20 - LIVE_SHIFT_FINE)) // bytes
#define LIVE_OWNER_MAX ((1u << 20) - 1)
#define LIVE_LEAST 24u // bytes of glibc's smallest block

struct live_side {
    uintptr_t address;
    struct live_block block;
    UT_hash_handle hh;
};

enum live_kind { LIVE_BLOCKS = 1, LIVE_OBJECTS = 2, LIVE_ANY = LIVE_BLOCKS | LIVE_OBJECTS };

static bool live_refined; // not wiped by fork: the child has the same allocators

bool live_open(void) {
    shim.live.directory = arena_reserve(LIVE_DIRECTORY * sizeof(void *));
    shim.live.sizes_aside = !real.usable_size_matches;
    shim.live.fine = !real.glibc || __atomic_load_n(&live_refined, __ATOMIC_RELAXED);
    return shim.live.directory != NULL;
}

void live_refine(void) {
    __atomic_store_n(&live_refined, true, __ATOMIC_RELAXED);
    __atomic_store_n(&shim.live.fine, true, __ATOMIC_RELAXED);
}

// The table of `bytes` behind *place, made when it is not there.
__attribute__((noinline, cold)) static void *live_make(void **place, size_t bytes) {
    char *table = arena_reserve(bytes);
    void *expected = NULL;
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

// Its slots. NULL: no memory.
__attribute__((noinline, cold)) static char *live_make_slots(struct live_leaf *leaf) {
    char *slots = NULL;
    enum lock_got locked = lock_take(&shim.live.side_lock);
    if (locked == LOCK_REFUSED)
        return NULL;
    if (leaf->slots) {
        slots = leaf->slots;
    } else if ((slots = arena_reserve(LIVE_SLOTS))) {
        leaf->ordinary = live_part_at(
            slots, __atomic_load_n(&shim.live.fine, __ATOMIC_RELAXED) ? LIVE_SHIFT_FINE : LIVE_SHIFT, 0);
        for (unsigned i = 0; i < LIVE_PARTS; i++)
            leaf->parts[i] = leaf->ordinary | LIVE_UNTOUCHED << 6;
        __atomic_store_n(&leaf->slots, slots, __ATOMIC_RELEASE);
    }
    lock_drop(&shim.live.side_lock, locked);
    return slots;
}

__attribute__((noinline)) struct live_leaf *live_leaf(uintptr_t address, bool make) {
    void **place = &shim.live.directory[address >> 30];
    struct live_leaf *middle = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (shim_unlikely(!middle) && (!make || !(middle = live_make(place, LIVE_MIDDLE * sizeof *middle))))
        return NULL;
    struct live_leaf *leaf = &middle[address >> 20 & (LIVE_MIDDLE - 1)];
    const bool there = __atomic_load_n(&leaf->slots, __ATOMIC_ACQUIRE) || (make && live_make_slots(leaf));
    return there ? leaf : NULL;
}

// The middle and the directory are looked at only where the thread has not been lately: leaves stay as long
// as the process.
static inline struct live_slot live_slot(struct thread *thread, uintptr_t address, bool make) {
    const struct live_slot known = live_known_slot(thread, address);
    if (shim_likely(known.slot))
        return known;
    struct live_leaf *leaf = live_leaf(address, make);
    if (!leaf)
        return (struct live_slot){.slot = NULL};
    // Not where every size goes to the side table: that is no ordinary case.
    if (!shim.live.sizes_aside) {
        const unsigned entry = address >> 20 & (THREAD_LEAVES - 1);
        thread->leaf_tags[entry] = live_tag(address & ~(uintptr_t)15);
        thread->leaves[entry] = leaf;
    }
    return live_slot_of(leaf, address);
}

// ---- the side table ----

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

static inline bool live_is_kind(bool object, enum live_kind kind) {
    return kind & (object ? LIVE_OBJECTS : LIVE_BLOCKS);
}

__attribute__((noinline, cold)) static bool live_side_detach(uintptr_t address, enum live_kind kind,
                                                             struct live_block *block) {
    struct live_side *entry = NULL;
    enum lock_got locked = lock_take(&shim.live.side_lock);
    if (locked == LOCK_REFUSED)
        return false;
    HASH_FIND(hh, shim.live.side, &address, sizeof address, entry);
    if (entry && !live_is_kind(entry->block.object, kind))
        entry = NULL;
    if (entry) {
        *block = entry->block;
        HASH_DEL(shim.live.side, entry);
    }
    lock_drop(&shim.live.side_lock, locked);
    arena_free(entry, sizeof *entry);
    return entry != NULL;
}

__attribute__((noinline, cold)) static bool live_side_has(uintptr_t address, enum live_kind kind) {
    struct live_side *entry = NULL;
    enum lock_got locked = lock_take(&shim.live.side_lock);
    if (locked == LOCK_REFUSED)
        return false;
    HASH_FIND(hh, shim.live.side, &address, sizeof address, entry);
    bool has = entry && live_is_kind(entry->block.object, kind);
    lock_drop(&shim.live.side_lock, locked);
    return has;
}

// ---- out of the table ----

// What a slot says of the block at the address, which is there.
static inline struct live_block live_read(uintptr_t address, uint32_t value) {
    const uint32_t field = value & LIVE_ASIDE;
    struct live_block block = {.owner = (value & ~LIVE_OBJECT) >> LIVE_OWNER_SHIFT,
                               .object = (value & LIVE_OBJECT) != 0};
    if (block.object) {
        block.size = field;
        block.usable = (field + 15) & ~(size_t)15; // pymalloc's size classes
    } else {
        block.usable = real_usable_size((void *)address); // of another block, if this one's end was not seen
        block.size = block.usable > field ? block.usable - field : 0;
    }
    return block;
}

// From the side table. The slot becomes empty with the last of its blocks.
__attribute__((noinline, cold)) static bool live_take_aside(uintptr_t address, const struct live_slot *place,
                                                            enum live_kind kind, struct live_block *block) {
    bool taken = live_side_detach(address, kind, block);
    const uintptr_t bytes = 4u << live_shift(place->part), begin = address & ~(bytes - 1);
    bool rest = false;
    for (uintptr_t at = begin; !rest && at < begin + bytes; at += 16)
        rest = live_side_has(at, LIVE_ANY);
    if (!rest)
        __atomic_store_n(place->slot, 0, __ATOMIC_RELAXED);
    return taken;
}

// Of a slot that is not empty. False: the block is not there.
static inline bool live_take(uintptr_t address, const struct live_slot *place, uint32_t value,
                             enum live_kind kind, struct live_block *block) {
    if (shim_unlikely((value & LIVE_ASIDE) == LIVE_ASIDE))
        return live_take_aside(address, place, kind, block);
    const bool tiny = live_is_tiny(value), first = live_is_of(value, address);
    uint32_t *beside = tiny ? live_beside(place) : NULL;
    if (!first)
        value = beside ? __atomic_load_n(beside, __ATOMIC_RELAXED) : 0;
    if (!value || !live_is_of(value, address) || !live_is_kind(value & LIVE_OBJECT, kind))
        return false;
    if (!first)
        __atomic_store_n(beside, 0, __ATOMIC_RELAXED);
    else if (tiny)
        live_empty_tiny(place);
    else
        __atomic_store_n(place->slot, 0, __ATOMIC_RELAXED);
    *block = live_read(address, value);
    return true;
}

static bool live_detach_kind(struct thread *thread, uintptr_t address, enum live_kind kind,
                             struct live_block *block) {
    const struct live_slot place = live_slot(thread, address, false);
    uint32_t value = place.slot ? __atomic_load_n(place.slot, __ATOMIC_RELAXED) : 0;
    return value && live_take(address, &place, value, kind, block);
}

bool live_detach(struct thread *thread, const void *block_address, struct live_block *block) {
    uintptr_t address = (uintptr_t)block_address;
    if (shim_unlikely(!live_fits(address)))
        return live_side_detach(address, LIVE_ANY, block);
    return live_detach_kind(thread, address, LIVE_ANY, block);
}

bool live_detach_object(struct thread *thread, const void *block_address, struct live_block *block) {
    uintptr_t address = (uintptr_t)block_address;
    if (shim_unlikely(!live_fits(address))) // of up to 8 bytes, where Python has no GIL
        return live_side_detach(address, LIVE_OBJECTS, block);
    return live_detach_kind(thread, address, LIVE_OBJECTS, block);
}

bool live_detach_simple(const void *block_address, struct live_block *block) {
    uintptr_t address = (uintptr_t)block_address;
    // Not by what the thread remembers: it may have been interrupted while it did that.
    const struct live_leaf *leaf = live_fits(address) ? live_leaf(address, false) : NULL;
    if (!leaf)
        return false;
    const struct live_slot place = live_slot_of(leaf, address);
    uint32_t value = __atomic_load_n(place.slot, __ATOMIC_RELAXED);
    return value && (value & LIVE_ASIDE) != LIVE_ASIDE &&
           live_take(address, &place, value, LIVE_BLOCKS, block);
}

bool live_has_block(struct thread *thread, const void *block_address) {
    uintptr_t address = (uintptr_t)block_address;
    if (live_fits(address)) {
        const struct live_slot place = live_slot(thread, address, false);
        uint32_t value = place.slot ? __atomic_load_n(place.slot, __ATOMIC_RELAXED) : 0;
        if (shim_likely((value & LIVE_ASIDE) != LIVE_ASIDE))
            return value && !(value & LIVE_OBJECT) && live_is_of(value, address);
    }
    return live_side_has(address, LIVE_BLOCKS);
}

void live_visit(struct thread *thread, const void *block_address) {
    uintptr_t address = (uintptr_t)block_address;
    if (live_fits(address))
        live_slot(thread, address, true);
}

// ---- into the table ----

// The block that a slot speaks of, beside the one that is new. It may be gone, and its memory with it.
static struct live_block live_neighbour(uintptr_t address, uint32_t value) {
    if (value & LIVE_OBJECT)
        return live_read(address, value);
    const uint32_t slack = value & LIVE_ASIDE;
    uintptr_t word;
    size_t usable = LIVE_LEAST > slack ? LIVE_LEAST : slack;
    // Of glibc's: where malloc is another one, leaves are fine, and there are no neighbours.
    if (sys_read_word(address - sizeof word, &word) == sizeof word && word >> 47 == 0 && word > usable + 16)
        usable = real_chunk_usable(word);
    return (struct live_block){.owner = value >> LIVE_OWNER_SHIFT, .size = usable - slack, .usable = usable};
}

// Whether both can be alive.
static bool live_can_be_both(uintptr_t address, const struct live_block *block, uintptr_t other,
                             const struct live_block *neighbour) {
    if (block->object != neighbour->object)
        return true; // an allocator that makes objects out of blocks, with a head of its own
    if (!block->object)
        return false;
    return address < other ? block->usable <= other - address : neighbour->usable <= address - other;
}

// The slot speaks of a block 16 bytes away, or of an object of the same size that would reach to here. That
// goes aside, or is *stale; then the slot is empty.
static void live_meet(uintptr_t address, const struct live_block *block, const struct live_slot *place,
                      struct live_block *stale) {
    uint32_t *slot = place->slot;
    const uintptr_t other = address ^ 16;
    const struct live_block neighbour = live_neighbour(other, __atomic_load_n(slot, __ATOMIC_RELAXED));
    struct live_block none;
    if (live_shift(place->part) <= LIVE_SHIFT && live_can_be_both(address, block, other, &neighbour) &&
        live_side_insert(other, &neighbour, &none)) {
        __atomic_store_n(slot, live_value(other, 1, LIVE_ASIDE, true), __ATOMIC_RELAXED);
    } else {
        *stale = neighbour;
        __atomic_store_n(slot, 0, __ATOMIC_RELAXED);
    }
}

// The slot is not empty. What it says of the address itself becomes *stale. Returns the slot that the block
// may have: an empty one, or one that says LIVE_ASIDE.
__attribute__((noinline)) static uint32_t *live_make_room(uintptr_t address, const struct live_block *block,
                                                          const struct live_slot *place,
                                                          struct live_block *stale) {
    uint32_t *slot = place->slot;
    if (!live_take(address, place, __atomic_load_n(slot, __ATOMIC_RELAXED), LIVE_ANY, stale))
        stale->owner = 0;
    const uint32_t present = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if (!present || (present & LIVE_ASIDE) == LIVE_ASIDE)
        return slot;
    if (block->object && block->size <= LIVE_TINY && live_is_tiny(present) && live_beside(place) &&
        block->owner <= LIVE_OWNER_MAX)
        return live_beside(place);
    live_meet(address, block, place, stale);
    return slot;
}

// The part cannot have the block, or has had none yet. Returns where it has its slot from now on; none: it
// cannot be followed.
__attribute__((noinline)) static struct live_slot
live_make_fit(uintptr_t address, const struct live_block *block, struct live_slot place, bool *aside) {
    struct live_leaf *leaf = live_leaf(address, false);
    if (live_is_untouched(place.part))
        __atomic_store_n(&leaf->parts[live_part_number(address)], leaf->ordinary, __ATOMIC_RELAXED);
    else if (!live_arena_settle(leaf, address, block, aside))
        return (struct live_slot){.slot = NULL};
    place = live_slot_of(leaf, address);
    __atomic_fetch_or(place.slot, 0, __ATOMIC_RELAXED); // memory that is first read has two page faults
    return place;
}

bool live_insert(struct thread *thread, const void *block_address, const struct live_block *block,
                 struct live_block *stale) {
    uintptr_t address = (uintptr_t)block_address;
    stale->owner = 0;
    if (shim_unlikely(!live_fits(address)))
        return live_side_insert(address, block, stale);
    struct live_slot place = live_slot(thread, address, true);
    if (shim_unlikely(!place.slot))
        return false;
    bool aside = false;
    const size_t pooled = block->size < LIVE_POOLED ? block->size : LIVE_POOLED;
    if (shim_unlikely(!live_is_large_enough(place.part, block->object ? pooled : 0)) &&
        thread->resized != address) {
        place = live_make_fit(address, block, place, &aside);
        if (!place.slot)
            return false;
    }
    uint32_t *slot = place.slot;
    if (shim_unlikely(__atomic_load_n(slot, __ATOMIC_RELAXED)))
        slot = live_make_room(address, block, &place, stale);
    const uint32_t present = __atomic_load_n(slot, __ATOMIC_RELAXED); // of a neighbour that is aside
    size_t field = block->object ? block->size : block->usable - block->size;
    if (shim_unlikely(present || aside || field >= LIVE_ASIDE || block->owner > LIVE_OWNER_MAX ||
                      (shim.live.sizes_aside && !block->object))) {
        if (!live_side_insert(address, block, stale))
            return false;
        // The mark has "object" where one of them may be.
        __atomic_store_n(slot, live_value(address, 1, LIVE_ASIDE, block->object) | (present & LIVE_OBJECT),
                         __ATOMIC_RELAXED);
        return true;
    }
    live_fill(slot, address, block->owner, field, block->object);
    return true;
}
