// SPDX-License-Identifier: MIT
//
// Memory of the reporter. See memory.h.

#include "reporter/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(void) {
    fputs("peakline: out of memory\n", stderr);
    exit(2);
}

void *memory_alloc(size_t count, size_t size) {
    void *block = calloc(count ? count : 1, size ? size : 1);
    if (!block)
        die();
    return block;
}

void *memory_resize(void *block, size_t count, size_t size) {
    void *moved = reallocarray(block, count ? count : 1, size ? size : 1);
    if (!moved)
        die();
    return moved;
}

void *memory_grow(void *block, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity)
        return block;
    *capacity = *capacity ? *capacity * 2 : 16;
    return memory_resize(block, *capacity, size);
}

char *memory_copy(const char *bytes, size_t length) {
    char *copy = memory_alloc(length + 1, 1);
    if (length)
        memcpy(copy, bytes, length);
    return copy;
}

char *memory_print(const char *format, ...) {
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        die();
    va_end(arguments);
    return text;
}

// ---- interned strings ----

struct pool_chunk {
    struct pool_chunk *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};

struct pool {
    struct pool_chunk *chunks; // the one in use first
    const char **slots;        // open addressing; a power of two of them, at most half full
    size_t slot_count, string_count;
};

struct pool *pool_new(void) {
    struct pool *pool = memory_alloc(1, sizeof *pool);
    pool->slot_count = 1024;
    pool->slots = memory_alloc(pool->slot_count, sizeof *pool->slots);
    return pool;
}

void pool_free(struct pool *pool) {
    if (!pool)
        return;
    while (pool->chunks) {
        struct pool_chunk *chunk = pool->chunks;
        pool->chunks = chunk->next;
        free(chunk);
    }
    free(pool->slots);
    free(pool);
}

void *pool_block(struct pool *pool, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        die();
    bytes = (bytes + 15) & ~(size_t)15;
    struct pool_chunk *chunk = pool->chunks;
    if (!chunk || chunk->size - chunk->used < bytes) {
        size_t room = bytes > 65536 ? bytes : 65536;
        chunk = memory_alloc(1, sizeof *chunk + room);
        chunk->size = room;
        chunk->next = pool->chunks;
        pool->chunks = chunk;
    }
    void *block = chunk->bytes + chunk->used;
    chunk->used += bytes;
    return block;
}

static uint64_t hash_string(const char *string) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *string; string++)
        hash = (hash ^ (unsigned char)*string) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

// The slot that holds `string`, or the free one where it belongs.
static const char **find_slot(const char **slots, size_t slot_count, const char *string) {
    size_t at = hash_string(string) & (slot_count - 1);
    while (slots[at] && strcmp(slots[at], string) != 0)
        at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

static void grow_slots(struct pool *pool) {
    size_t slot_count = pool->slot_count * 2;
    const char **slots = memory_alloc(slot_count, sizeof *slots);
    for (size_t i = 0; i < pool->slot_count; i++)
        if (pool->slots[i])
            *find_slot(slots, slot_count, pool->slots[i]) = pool->slots[i];
    free(pool->slots);
    pool->slots = slots;
    pool->slot_count = slot_count;
}

const char *pool_intern(struct pool *pool, const char *bytes, size_t length) {
    char small[256];
    char *copy = length < sizeof small ? small : memory_alloc(length + 1, 1);
    for (size_t i = 0; i < length; i++)
        copy[i] = bytes[i] ? bytes[i] : '?';
    copy[length] = '\0';

    const char **slot = find_slot(pool->slots, pool->slot_count, copy);
    const char *found = *slot;
    if (!found) {
        char *kept = pool_block(pool, length + 1, 1);
        memcpy(kept, copy, length + 1);
        *slot = found = kept;
        if (++pool->string_count * 2 > pool->slot_count)
            grow_slots(pool);
    }
    if (copy != small)
        free(copy);
    return found;
}

const char *pool_intern_string(struct pool *pool, const char *string) {
    return string ? pool_intern(pool, string, strlen(string)) : NULL;
}

// ---- the map ----

struct map {
    struct map_key *keys; // by number
    size_t count, capacity;
    uint32_t *slots; // number + 1; 0 = free. A power of two of them, at most half full
    size_t slot_count;
};

struct map *map_new(void) {
    struct map *map = memory_alloc(1, sizeof *map);
    map->slot_count = 256;
    map->slots = memory_alloc(map->slot_count, sizeof *map->slots);
    return map;
}

void map_free(struct map *map) {
    if (!map)
        return;
    free(map->keys);
    free(map->slots);
    free(map);
}

uint32_t map_count(const struct map *map) {
    return (uint32_t)map->count;
}

static uint64_t hash_key(const struct map_key *key) {
    uint64_t hash = 0;
    for (size_t i = 0; i < 3; i++) {
        hash = (hash ^ key->word[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return hash * 0x9e3779b97f4a7c15u >> 17;
}

static uint32_t *find_key(const struct map *map, uint32_t *slots, size_t slot_count,
                          const struct map_key *key) {
    size_t at = hash_key(key) & (slot_count - 1);
    while (slots[at] && memcmp(&map->keys[slots[at] - 1], key, sizeof *key) != 0)
        at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

uint32_t map_number(struct map *map, struct map_key key, bool *added) {
    uint32_t *slot = find_key(map, map->slots, map->slot_count, &key);
    if (added)
        *added = !*slot;
    if (*slot)
        return *slot - 1;

    if (map->count >= UINT32_MAX / 4)
        die();
    map->keys = memory_grow(map->keys, map->count, &map->capacity, sizeof *map->keys);
    map->keys[map->count++] = key;
    *slot = (uint32_t)map->count;
    uint32_t number = (uint32_t)map->count - 1;
    if (map->count * 2 > map->slot_count) {
        size_t slot_count = map->slot_count * 2;
        uint32_t *slots = memory_alloc(slot_count, sizeof *slots);
        for (size_t i = 0; i < map->count; i++)
            *find_key(map, slots, slot_count, &map->keys[i]) = (uint32_t)i + 1;
        free(map->slots);
        map->slots = slots;
        map->slot_count = slot_count;
    }
    return number;
}
