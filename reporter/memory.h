// SPDX-License-Identifier: MIT
//
// Memory of the reporter: plain blocks, interned strings, and a map that numbers keys.
//
// Failure: when memory runs out the program says so on standard error and exits with status 2. This is the
// only place in the reporter that ends the program. Threads: none of this may be shared between threads.

#ifndef PEAKLINE_MEMORY_H
#define PEAKLINE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A zeroed block of count * size bytes (never NULL); release it with free().
void *memory_alloc(size_t count, size_t size);

// Like reallocarray: what was added is not zeroed.
void *memory_resize(void *block, size_t count, size_t size);

// Makes room for one more element: returns `block`, moved if need be, with `*capacity` doubled when `count`
// reaches it.
void *memory_grow(void *block, size_t count, size_t *capacity, size_t size);

char *memory_copy(const char *bytes, size_t length); // a NUL-terminated copy; the caller frees it
char *memory_print(const char *format, ...) __attribute__((format(printf, 1, 2))); // likewise

// Interned strings: equal strings have equal addresses, and live as long as their pool.
struct pool;
struct pool *pool_new(void);
void pool_free(struct pool *pool);

// NUL bytes inside `bytes` become '?': what comes back is an ordinary C string.
const char *pool_intern(struct pool *pool, const char *bytes, size_t length);
const char *pool_intern_string(struct pool *pool, const char *string); // NULL stays NULL

// A zeroed block that lives as long as the pool.
void *pool_block(struct pool *pool, size_t count, size_t size);

// Numbers distinct keys 0, 1, 2, … in the order in which they are first seen.
struct map_key {
    uint64_t word[3];
};
struct map;
struct map *map_new(void);
void map_free(struct map *map);
uint32_t map_count(const struct map *map);

// The number of `key`; `*added` (may be NULL) says whether it is new.
uint32_t map_number(struct map *map, struct map_key key, bool *added);

#endif
