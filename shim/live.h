// SPDX-License-Identifier: MIT
//
// Which blocks are live, and where they came from: a shadow of the address space, one 32-bit slot for each 32
// bytes, where no two blocks begin within those; else for each 16. Python's objects of one size lie together:
// there, a slot is for as many bytes as that allows (live_arena.h).
//
// Lock-free for nearly all blocks: a slot is written by whoever owns the block, and the allocator hands a
// block to one owner at a time. That holds only if a block leaves the table *before* the real free or realloc
// sees it. A slot holds the block's owner and either its slack (usable minus requested bytes; the usable size
// is asked of the allocator again) or, for small Python objects, its size. What does not fit a slot is kept
// in a locked hash.
//
// `thread` is the calling one, which remembers where it has been.
//
// Memory: an eighth of a heap of small blocks (a quarter with other allocators than glibc's, and in
// free-threaded Python); less where Python's objects are, and at most 60 KiB for each MiB more, if sizes
// change for the worse; one page for a large block.

#ifndef PEAKLINE_LIVE_H
#define PEAKLINE_LIVE_H

#include "shim/real.h"
#include "shim/shim.h"

struct live_block {
    uint32_t owner; // owner.h; never 0
    bool object;    // of Python's small-object allocator: malloc_usable_size does not know it
    size_t size;    // requested
    size_t usable;  // >= size
};

// False: no memory.
bool live_open(void);

// From now on, blocks may begin anywhere. Not for parts of memory that are known already: call it before
// anything else than glibc's malloc is seen. Any thread.
void live_refine(void);

// Usable bytes of a block, at least `size`; that, where malloc_usable_size cannot be trusted.
static inline size_t live_usable(void *address, size_t size) {
    size_t usable = shim_likely(real.usable_size_matches) ? real_usable_size(address) : size;
    return shim_likely(usable >= size) ? usable : size;
}

// Slots: see live.c.
#define LIVE_ASIDE 1023u
#define LIVE_UPPER (1u << 10)
#define LIVE_OWNER_SHIFT 11
#define LIVE_OBJECT (1u << 31)

// What a slot says of where in its 32 bytes the block begins.
static inline uint32_t live_half(uintptr_t address) {
    return (uint32_t)address << 6 & LIVE_UPPER;
}

// Whether the slot, which is not empty, may speak of the block at this address.
static inline bool live_is_of(uint32_t slot, uintptr_t address) {
    return !((slot ^ live_half(address)) & LIVE_UPPER);
}

// Two objects of so many bytes find room where other blocks do not (live.c).
#define LIVE_TINY 16u

static inline bool live_is_tiny(uint32_t slot) {
    return (slot & LIVE_OBJECT) && (slot & LIVE_ASIDE) <= LIVE_TINY;
}

// What is known of a MiB of the address space. A word of `parts` says how the slots of one of its parts are
// found:
//   63 ...... 16   15 ... 6   5 ... 0
//   base           least      shift
// The slot of an address is at `base`, plus its place in the MiB >> shift, in units of a slot. No block of
// fewer bytes than `least` may have one there.
#define LIVE_PARTS 64u
#define LIVE_PART_BITS 14u // a pool of pymalloc, from Python 3.10 on
#define LIVE_LENGTHS 4u    // of arrays of slots (live_arena.c)

struct live_leaf {
    uint64_t parts[LIVE_PARTS];
    uint64_t ordinary;    // what a part says whose blocks have any size
    char *slots;          // NULL: there are none
    char *arrays;         // likewise
    uint16_t arrays_used; // bytes
    // By length: where the first one that is free begins, from the begin of all; 0 = none.
    uint16_t arrays_free[LIVE_LENGTHS];
} __attribute__((aligned(64)));

// For 16 bytes each, and for 32.
#define LIVE_SHIFT_FINE 2u
#define LIVE_SHIFT 3u

static inline unsigned live_shift(uint64_t part) {
    return part & 63;
}

static inline uint32_t *live_slot_in(uint64_t part, uintptr_t address) {
    return (uint32_t *)((part >> 16) + ((address & 0xfffff) >> live_shift(part) & ~(uintptr_t)3));
}

static inline unsigned live_part_number(uintptr_t address) {
    return (unsigned)(address >> LIVE_PART_BITS) & (LIVE_PARTS - 1);
}

static inline uint64_t live_part(const struct live_leaf *leaf, uintptr_t address) {
    return __atomic_load_n(&leaf->parts[live_part_number(address)], __ATOMIC_RELAXED);
}

static inline uint64_t live_part_at(const char *base, unsigned shift, uint32_t least) {
    return (uint64_t)(uintptr_t)base << 16 | least << 6 | shift;
}

// Whether an object of so many bytes, at most LIVE_POOLED, may have a slot there; 0: any block.
static inline bool live_is_large_enough(uint64_t part, size_t size) {
    return size >= (uint16_t)part >> 6;
}

#define LIVE_POOLED 512u // bytes of pymalloc's largest object; above, it is malloc's

// `least` of a part that has had no block yet: nothing is ever as large.
#define LIVE_UNTOUCHED (LIVE_POOLED + 1)

static inline bool live_is_untouched(uint64_t part) {
    return (uint16_t)part >> 6 == LIVE_UNTOUCHED;
}

struct live_slot {
    uint32_t *slot; // NULL: none
    uint64_t part;
};

static inline struct live_slot live_slot_of(const struct live_leaf *leaf, uintptr_t address) {
    const uint64_t part = live_part(leaf, address);
    return (struct live_slot){live_slot_in(part, address), part};
}

// For the same 32 bytes, that for another tiny object. NULL: there is none.
static inline uint32_t *live_beside(const struct live_slot *place) {
    return live_shift(place->part) == LIVE_SHIFT
               ? place->slot + (1u << (20 - LIVE_SHIFT)) / sizeof *place->slot
               : NULL;
}

// What is known of the address's MiB; NULL: there is none. `make`: or there was no memory for it.
struct live_leaf *live_leaf(uintptr_t address, bool make);

// What the thread remembers of that MiB of memory, if no block begins but at multiples of 16.
static inline uintptr_t live_tag(uintptr_t address) {
    return (address & ~(uintptr_t)0xffff0) + 1;
}

// The slot of an address in a part of memory where the thread has been lately; else none.
static inline __attribute__((always_inline)) struct live_slot live_known_slot(const struct thread *thread,
                                                                              uintptr_t address) {
    const uintptr_t entry = address >> 20 & (THREAD_LEAVES - 1);
    if (shim_unlikely(thread->leaf_tags[entry] != live_tag(address)))
        return (struct live_slot){.slot = NULL};
    return live_slot_of(thread->leaves[entry], address);
}

// The same if it is empty and an object of so many bytes (0: any block) may have it; else NULL.
static inline uint32_t *live_empty_slot(const struct thread *thread, uintptr_t address, size_t size) {
    const struct live_slot place = live_known_slot(thread, address);
    return shim_likely(place.slot) && shim_likely(size <= LIVE_POOLED) &&
                   shim_likely(live_is_large_enough(place.part, size)) &&
                   shim_likely(!__atomic_load_n(place.slot, __ATOMIC_RELAXED))
               ? place.slot
               : NULL;
}

// Whether live_fill can do it; `field`: slack, or the size of an object.
static inline bool live_is_ordinary(size_t field) {
    return shim_likely(field < LIVE_ASIDE);
}

static inline uint32_t live_value(uintptr_t address, uint32_t owner, size_t field, bool object) {
    return owner << LIVE_OWNER_SHIFT | live_half(address) | (uint32_t)field | (object ? LIVE_OBJECT : 0);
}

// The ordinary case of live_insert, into an empty slot.
static inline void live_fill(uint32_t *slot, uintptr_t address, uint32_t owner, size_t field, bool object) {
    __atomic_store_n(slot, live_value(address, owner, field, object), __ATOMIC_RELAXED);
}

// The ordinary case of live_detach. The slot's value; 0: not that; nothing has been done.
static inline uint32_t live_detach_quick(const struct thread *thread, uintptr_t address) {
    uint32_t *slot = live_known_slot(thread, address).slot;
    if (shim_unlikely(!slot))
        return 0;
    uint32_t value = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if (shim_unlikely((value & LIVE_ASIDE) == LIVE_ASIDE || (value & LIVE_OBJECT) ||
                      !live_is_of(value, address)))
        return 0;
    __atomic_store_n(slot, 0, __ATOMIC_RELAXED);
    return value;
}

// The slot is not empty. That for a tiny object whose neighbour it speaks of, to be filled; else NULL.
static inline uint32_t *live_empty_beside(const struct live_slot *place, uint32_t present, uintptr_t address,
                                          size_t size) {
    if (size > LIVE_TINY || !live_is_tiny(present) || live_is_of(present, address))
        return NULL;
    uint32_t *beside = live_beside(place);
    return beside && __atomic_load_n(beside, __ATOMIC_RELAXED) == 0 ? beside : NULL;
}

// The slot speaks of another address. That of the tiny object beside; NULL: it is not there.
static inline uint32_t *live_known_beside(const struct live_slot *place, uint32_t present,
                                          uintptr_t address) {
    uint32_t *beside = live_is_tiny(present) ? live_beside(place) : NULL;
    const uint32_t value = beside ? __atomic_load_n(beside, __ATOMIC_RELAXED) : 0;
    return value && live_is_of(value, address) ? beside : NULL;
}

// Empties the first slot of a tiny object: what is beside takes its place.
static inline void live_empty_tiny(const struct live_slot *place) {
    uint32_t *beside = live_beside(place), value = beside ? __atomic_load_n(beside, __ATOMIC_RELAXED) : 0;
    __atomic_store_n(place->slot, value, __ATOMIC_RELAXED);
    if (value)
        __atomic_store_n(beside, 0, __ATOMIC_RELAXED);
}

// Whether there is no object at the address, as far as that can be told from where the thread has been
// lately.
static inline bool live_lacks_object(const struct thread *thread, uintptr_t address) {
    const uint32_t *slot = live_known_slot(thread, address).slot;
    return slot && !(__atomic_load_n(slot, __ATOMIC_RELAXED) & LIVE_OBJECT);
}

// The same of any block.
static inline bool live_lacks_block(const struct thread *thread, uintptr_t address) {
    const uint32_t *slot = live_known_slot(thread, address).slot;
    return slot && !__atomic_load_n(slot, __ATOMIC_RELAXED);
}

// From now on the thread knows the part of memory that the address is in.
void live_visit(struct thread *thread, const void *address);

// False: the block cannot be followed, for want of memory. When the table still knew a block at this address,
// because its free was not seen, *stale is that block; else stale->owner is 0.
bool live_insert(struct thread *thread, const void *address, const struct live_block *block,
                 struct live_block *stale);

// Takes the block out of the table. False: it is not there.
bool live_detach(struct thread *thread, const void *address, struct live_block *block);

// As live_detach, but only for blocks with `object` set; others stay.
bool live_detach_object(struct thread *thread, const void *address, struct live_block *block);

// As live_detach, for signal handlers that may have interrupted any of these: no lock is taken, blocks of the
// side table and objects stay.
bool live_detach_simple(const void *address, struct live_block *block);

// Whether the table knows a block at this very address that is no object.
bool live_has_block(struct thread *thread, const void *address);

#endif
