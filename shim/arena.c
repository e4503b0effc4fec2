// SPDX-License-Identifier: MIT
//
// Bump allocation out of anonymous mappings, with one free list per power of two.

#include "shim/arena.h"
#include "shim/config.h"
#include "shim/shim.h"

#include <sys/mman.h>

#define ARENA_CHUNK (256u << 10)  // bytes asked of the kernel at a time
#define ARENA_REGION (16u << 20)  // bytes of address space taken at a time for sparse tables
#define ARENA_SCARCE (512u << 10) // the same, where it is limited
#define ARENA_STOCK (8u << 20)    // bytes of address space to be laid up
#define ARENA_PAGE 4096u          // bytes
#define ARENA_FINE 512u           // bytes up to which classes are multiples of 16
#define ARENA_LINE 64u            // a cache line, bytes

struct arena_free_block {
    struct arena_free_block *next;
};

static void *arena_map(size_t size) {
    long address =
        sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sys_failed(address))
        return NULL;
    // A child has no use for it: its tables start empty (process.c).
    sys_madvise((void *)address, size, MADV_DONTFORK);
    return (void *)address;
}

// Classes 1 to 32 are multiples of 16 bytes, those above powers of two.
static unsigned arena_class(size_t size, size_t *rounded) {
    if (size <= ARENA_FINE) {
        *rounded = size ? (size + 15) & ~(size_t)15 : 16;
        return (unsigned)(*rounded / 16);
    }
    unsigned class = ARENA_FINE / 16 + 1;
    *rounded = 2 * ARENA_FINE;
    for (; *rounded < size && class < ARENA_CLASSES; class ++)
        *rounded *= 2;
    return class;
}

// How much of a free block the kernel has: all but the page with our link, where that is worth a call.
static size_t arena_given(size_t rounded) {
    return rounded >= ARENA_CHUNK ? rounded - ARENA_PAGE : 0;
}

// What is left of the old chunk is less than what is wanted; it is given up.
static void arena_next_chunk(struct arena *arena) {
    char *chunk = arena_map(ARENA_CHUNK);
    if (!chunk)
        return;
    arena->chunk = chunk;
    arena->chunk_end = chunk + ARENA_CHUNK;
    arena->bytes += ARENA_CHUNK;
}

void *arena_alloc(size_t size) {
    struct arena *arena = &shim.arena;
    size_t rounded;
    unsigned class = arena_class(size, &rounded);
    if (class == ARENA_CLASSES)
        return NULL;
    void *block = NULL;
    bool reused = false;
    enum lock_got locked = lock_take(&arena->lock);
    if (locked == LOCK_REFUSED)
        return NULL;
    if (arena->free[class]) {
        block = arena->free[class];
        arena->free[class] = arena->free[class]->next;
        reused = true;
        arena->bytes += arena_given(rounded);
    } else if (rounded >= ARENA_CHUNK) {
        block = arena_map(rounded);
        if (block)
            arena->bytes += rounded;
    } else {
        if (rounded % ARENA_LINE == 0) // it fits: the chunk's end is aligned as well
            arena->chunk += -(uintptr_t)arena->chunk % ARENA_LINE;
        if ((size_t)(arena->chunk_end - arena->chunk) < rounded)
            arena_next_chunk(arena);
        if ((size_t)(arena->chunk_end - arena->chunk) >= rounded) {
            block = arena->chunk;
            arena->chunk += rounded;
        }
    }
    lock_drop(&arena->lock, locked);
    if (reused) // what comes from the kernel is zero
        __builtin_memset(block, 0, rounded - arena_given(rounded));
    return block;
}

void arena_free(void *block, size_t size) {
    if (!block)
        return;
    struct arena *arena = &shim.arena;
    struct arena_free_block *entry = block;
    size_t rounded;
    unsigned class = arena_class(size, &rounded);
    const size_t given = arena_given(rounded);
    char *pages = (char *)block + ARENA_PAGE;
    if (given && sys_failed(sys_madvise(pages, given, MADV_DONTNEED))) // locked in memory
        __builtin_memset(pages, 0, given);
    enum lock_got locked = lock_take(&arena->lock);
    if (locked == LOCK_REFUSED)
        return; // never used again
    arena->bytes -= given;
    entry->next = arena->free[class];
    arena->free[class] = entry;
    lock_drop(&arena->lock, locked);
}

// One that arena_resident counts, as long as there are no more than ARENA_REGIONS.
static void *arena_map_region(size_t size) {
    char *start = arena_map(size);
    if (!start)
        return NULL;
    uint32_t number = __atomic_fetch_add(&shim.arena.regions_count, 1, __ATOMIC_RELAXED);
    if (number < ARENA_REGIONS) {
        shim.arena.regions[number].size = size;
        __atomic_store_n(&shim.arena.regions[number].start, start, __ATOMIC_RELEASE);
    }
    return start;
}

static void arena_next_region(struct arena *arena, size_t size) {
    char *region = arena_map_region(size);
    if (!region)
        return;
    arena->region = region;
    arena->region_end = region + size;
}

void *arena_reserve(size_t size) {
    struct arena *arena = &shim.arena;
    const size_t piece = config.scarce ? ARENA_SCARCE : ARENA_REGION;
    size = (size + ARENA_PAGE - 1) & ~(size_t)(ARENA_PAGE - 1);
    if (size >= piece)
        return arena_map_region(size);
    void *block = NULL;
    enum lock_got locked = lock_take(&arena->lock);
    if (locked == LOCK_REFUSED)
        return NULL;
    if ((size_t)(arena->region_end - arena->region) < size)
        arena_next_region(arena, piece);
    if ((size_t)(arena->region_end - arena->region) >= size) {
        block = arena->region;
        arena->region += size;
    }
    lock_drop(&arena->lock, locked);
    // Address space may be short (RLIMIT_AS) where this one table still fits.
    return block ? block : arena_map_region(size);
}

uint64_t arena_bytes(void) {
    return shim.arena.bytes;
}

#define ARENA_PAGES 1024 // asked for at a time

static uint64_t arena_resident_of(const struct arena_region *region) {
    unsigned char resident[ARENA_PAGES];
    uint64_t bytes = 0;
    for (size_t at = 0; at < region->size; at += ARENA_PAGES * 4096) {
        size_t length = region->size - at < ARENA_PAGES * 4096 ? region->size - at : ARENA_PAGES * 4096;
        if (sys_failed(
                sys_call(SYS_mincore, (long)(region->start + at), (long)length, (long)resident, 0, 0, 0)))
            return bytes;
        for (size_t page = 0; page < (length + 4095) / 4096; page++)
            bytes += (resident[page] & 1u) * 4096u;
    }
    return bytes;
}

uint64_t arena_resident(void) {
    uint64_t bytes = shim.arena.bytes;
    uint32_t count = __atomic_load_n(&shim.arena.regions_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count && i < ARENA_REGIONS; i++)
        bytes += arena_resident_of(&shim.arena.regions[i]);
    return bytes;
}

void arena_stock(void) {
    struct arena *arena = &shim.arena;
    enum lock_got locked = lock_take(&arena->lock);
    if (locked == LOCK_REFUSED)
        return;
    if ((size_t)(arena->chunk_end - arena->chunk) < ARENA_CHUNK / 2)
        arena_next_chunk(arena);
    if ((size_t)(arena->region_end - arena->region) < ARENA_STOCK && !config.scarce)
        arena_next_region(arena, ARENA_STOCK);
    lock_drop(&arena->lock, locked);
}
