// SPDX-License-Identifier: MIT
//
// See frame.h.

#include "shim/frame.h"
#include "shim/estimate.h"
#include "shim/former.h"
#include "shim/hash.h"
#include "shim/recording.h"
#include "shim/shim.h"

// A Bloom filter of forgotten frames with two hashes: 50,000 of them give one false answer in 400.
#define FRAME_FORGOTTEN_BITS (1u << 21)

// Sums by hash of the key: a few frames may share one.
#define FRAME_LEFT (1u << 14)

#define FRAME_TABLE 1024 // places at first

bool frame_open(void) {
    shim.frames_born =
        arena_reserve(shim.tables[RECORD_FRAMES].reserved / sizeof(struct record_frame) * sizeof(uint32_t));
    shim.functions_own =
        arena_reserve(shim.tables[RECORD_FUNCTIONS].reserved / sizeof(struct record_function));
    return shim.frames_born && shim.functions_own && numbers_open(&shim.frames, FRAME_TABLE);
}

void frame_own(uint32_t function) {
    shim.functions_own[function] = 1;
}

static struct frame_key frame_key(const struct record_frame *frame) {
    return (struct frame_key){
        .function = frame->function,
        .line = frame->line,
        .offset = frame->offset,
        .module = frame->module,
        .flags = frame->flags & RECORD_FRAME_EXACT_PC,
    };
}

static inline uint64_t *frame_forgotten_word(uint32_t hash, uint64_t *bit) {
    *bit = 1ull << (hash & 63);
    return &shim.frames_forgotten[hash / 64 % (FRAME_FORGOTTEN_BITS / 64)];
}

static inline uint32_t *frame_left_at(uint64_t hash) {
    return &shim.frames_left[hash % FRAME_LEFT];
}

static void frame_remember_forgotten(const struct frame_key *key, int64_t left) {
    if (!shim.frames_forgotten)
        shim.frames_forgotten = arena_reserve(FRAME_FORGOTTEN_BITS / 8);
    if (!shim.frames_left)
        shim.frames_left = arena_alloc(FRAME_LEFT * sizeof *shim.frames_left);
    uint64_t hash = hash_bytes(key, sizeof *key), bit;
    if (shim.frames_forgotten) {
        uint64_t *word = frame_forgotten_word((uint32_t)hash, &bit);
        *word |= bit;
        word = frame_forgotten_word((uint32_t)(hash >> 32), &bit);
        *word |= bit;
    }
    if (shim.frames_left && left > 0) {
        uint32_t *sum = frame_left_at(hash), room = UINT32_MAX - *sum;
        *sum += left < room ? (uint32_t)left : room;
    }
}

int64_t frame_left(const struct record_frame *frame) {
    if (!(frame->flags & RECORD_FRAME_AGAIN) || !shim.frames_left)
        return 0;
    const struct frame_key key = frame_key(frame);
    return *frame_left_at(hash_bytes(&key, sizeof key));
}

static bool frame_was_forgotten(const struct frame_key *key) {
    if (!shim_function(key->function)->forgotten)
        return false;
    if (!shim.frames_forgotten)
        return true; // there was no memory to remember which
    uint64_t hash = hash_bytes(key, sizeof *key), bit;
    if (!(*frame_forgotten_word((uint32_t)hash, &bit) & bit))
        return false;
    return *frame_forgotten_word((uint32_t)(hash >> 32), &bit) & bit;
}

// A record for a new frame; 0 = there is no room.
static uint32_t frame_record(const struct record_frame *frame) {
    uint32_t number = shim.frames_free;
    if (!number)
        return recording_append(RECORD_FRAMES, frame);
    shim.frames_free = shim_frame(number)->line;
    shim.frames_free_count--;
    __builtin_prefetch(shim_frame(shim.frames_free), 1);
    struct record_frame hidden = *frame;
    hidden.flags |= RECORD_FRAME_FREE;
    recording_put(RECORD_FRAMES, number, &hidden);
    __atomic_store_n(&shim_frame(number)->flags, frame->flags, __ATOMIC_RELEASE);
    return number;
}

static void frame_release(uint32_t number) {
    estimate_forget(number);
    shim.frames_own -= shim.functions_own[shim_frame(number)->function];
    // The function is kept: fold.c notes whose blocks it folds a moment later.
    const struct record_frame gone = {
        .function = shim_frame(number)->function, .line = shim.frames_free, .flags = RECORD_FRAME_FREE};
    __atomic_store_n(&shim_frame(number)->flags, gone.flags, __ATOMIC_RELAXED);
    recording_put(RECORD_FRAMES, number, &gone);
    shim.frames_free = number;
    shim.frames_free_count++;
}

static inline uint64_t frame_hash(const struct frame_key *key) {
    return hash_bytes(key, sizeof *key);
}

static void frame_fill(struct numbers *table) {
    const uint32_t count = (uint32_t)shim.header->tables[RECORD_FRAMES].count;
    for (uint32_t number = 1; number < count; number++) {
        if (shim_frame(number)->flags & RECORD_FRAME_FREE)
            continue;
        const struct frame_key key = frame_key(shim_frame(number));
        numbers_add(table, frame_hash(&key), number);
    }
}

void frame_refill(void) {
    numbers_refill(&shim.frames, frame_fill);
}

static inline bool frame_is(uint32_t number, const void *key) {
    const struct frame_key found = frame_key(shim_frame(number));
    return __builtin_memcmp(&found, key, sizeof found) == 0;
}

uint32_t frame_number(const struct frame_key *key) {
    const uint64_t hash = frame_hash(key);
    uint32_t number = numbers_find(&shim.frames, hash, frame_is, key);
    if (shim_likely(number))
        return number;
    const struct record_frame frame = {
        .function = key->function,
        .line = key->line,
        .module = key->module,
        .flags = key->flags | (frame_was_forgotten(key) ? RECORD_FRAME_AGAIN : 0),
        .offset = key->offset,
    };
    number = numbers_grow(&shim.frames, frame_fill) ? frame_record(&frame) : 0;
    if (number)
        shim.frames_own += shim.functions_own[key->function];
    if (!number || number > NUMBERS_MOST) {
        if (number)
            frame_release(number);
        shim_lose(RECORD_LOST_TABLE_FULL);
        return 0;
    }
    shim.frames_born[number] = former_epoch();
    numbers_add(&shim.frames, hash, number);
    return number;
}

void frame_forget(uint32_t number, int64_t left) {
    const struct frame_key key = frame_key(shim_frame(number));
    frame_remember_forgotten(&key, left);
    frame_release(number);
}
