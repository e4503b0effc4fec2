// SPDX-License-Identifier: MIT
//
// uthash, made fit for a host: memory from the arena, no exit when there is none, a hash of 64-bit keys that
// mixes both halves well.

#ifndef PEAKLINE_HASH_H
#define PEAKLINE_HASH_H

#include "shim/arena.h"

#include <stdint.h>

// Multiply, fold and multiply: the finaliser of MurmurHash3 (fmix64, Austin Appleby, public domain), one
// round less.
static inline uint64_t hash_mix(uint64_t key) {
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdull;
    key ^= key >> 33;
    key *= 0xc4ceb9fe1a85ec53ull;
    return key;
}

// FNV-1a over words of up to 8 bytes.
static inline uint64_t hash_bytes(const void *data, size_t length) {
    const unsigned char *bytes = data;
    uint64_t hash = 0xcbf29ce484222325ull ^ length;
    for (; length >= 8; bytes += 8, length -= 8) {
        uint64_t word;
        __builtin_memcpy(&word, bytes, 8);
        hash = hash_mix(hash ^ word);
    }
    if (length) {
        uint64_t word = 0;
        __builtin_memcpy(&word, bytes, length);
        hash = hash_mix(hash ^ word);
    }
    return hash;
}

#define HASH_NONFATAL_OOM 1
#define uthash_malloc(size) arena_alloc(size)
#define uthash_free(block, size) arena_free(block, size)
#define HASH_FUNCTION(key, length, value) ((value) = (unsigned)(hash_bytes(key, length) >> 32))

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <uthash.h>
#pragma GCC diagnostic pop

#endif
