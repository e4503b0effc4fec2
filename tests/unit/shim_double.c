// SPDX-License-Identifier: MIT
//
// See shim_double.h.

#include "tests/unit/shim_double.h"
#include "shim/budget.h"
#include "shim/config.h"
#include "shim/disk.h"
#include "shim/guard.h"
#include "shim/place.h"
#include "shim/real.h"
#include "shim/recording.h"

#include <stdlib.h>
#include <string.h>

struct shim shim;
struct config config;
uint32_t shim_doubts = 1;
__thread struct thread thread_self;
struct real real;
size_t shim_double_usable;

static struct record_header shim_double_header;
static struct record_tick shim_double_ticks[RECORD_TICKS_MAX];
static size_t shim_double_records;
static const size_t shim_double_sizes[RECORD_TABLES] = {
    1,
    sizeof(struct record_module),
    sizeof(struct record_function),
    sizeof(struct record_frame),
    sizeof(struct record_node),
    sizeof(struct record_reaped),
    sizeof(struct record_folded),
    sizeof(struct record_journal),
    sizeof(struct record_estimate),
};

static size_t shim_double_usable_size(void *block) {
    (void)block;
    return shim_double_usable;
}

size_t real_usable_size_checked(void *block) {
    return real.malloc_usable_size(block);
}

void shim_double_reset(size_t records) {
    for (int i = 0; i < RECORD_TABLES; i++)
        free(shim.tables[i].base);
    memset(&shim, 0, sizeof shim);
    memset(&config, 0, sizeof config);
    memset(&thread_self, 0, sizeof thread_self);
    memset(&shim_double_header, 0, sizeof shim_double_header);
    shim.header = &shim_double_header;
    shim.ticks = shim_double_ticks;
    shim_double_records = records;
    for (int i = 0; i < RECORD_TABLES; i++) {
        size_t size = i == RECORD_JOURNALS ? sizeof(struct record_journal) : sizeof(struct record_node);
        shim.tables[i].reserved = records * size;
        shim.tables[i].base = calloc(records, size);
        shim.header->tables[i].count = i == RECORD_STRINGS ? 8 : 1;
    }
    real.malloc_usable_size = shim_double_usable_size;
    real.usable_size_matches = true;
}

void recording_put(enum record_table table, uint32_t number, const void *entry) {
    memcpy(shim.tables[table].base + number * shim_double_sizes[table], entry, shim_double_sizes[table]);
}

uint32_t recording_append(enum record_table table, const void *entry) {
    uint64_t *count = &shim.header->tables[table].count;
    if (*count >= shim_double_records) {
        return 0;
    }
    recording_put(table, (uint32_t)*count, entry);
    return (uint32_t)(*count)++;
}

void disk_look(void) {}

uint32_t budget_spare(enum record_table table) {
    uint64_t count = shim.header->tables[table].count;
    uint64_t most = shim.tables[table].budget ? shim.tables[table].budget : shim_double_records;
    return count < most ? (uint32_t)(most - count) : 0;
}

bool budget_raise(enum record_table table) {
    size_t *budget = &shim.tables[table].budget;
    if (!*budget || *budget == shim_double_records)
        return false;
    *budget = *budget * 3 / 2 < shim_double_records ? *budget * 3 / 2 : shim_double_records;
    return true;
}

void place_forgotten(void) {}

bool recording_reserve_head(size_t offset) {
    (void)offset;
    return true;
}

bool recording_reserve(enum record_table table, uint32_t records) {
    return shim.header->tables[table].count + records <= shim_double_records;
}

void guard_give_up(enum record_given_up why) {
    shim.header->given_up = why;
    shim.generation = SHIM_GIVEN_UP;
}
