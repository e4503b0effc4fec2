// SPDX-License-Identifier: MIT
//
// See shim_double.h.

#include "tests/unit/shim_double.h"
#include "shim/real.h"
#include "shim/recording.h"

#include <stdlib.h>
#include <string.h>

struct shim shim;
struct real real;
size_t shim_double_usable;

static struct record_header shim_double_header;
static size_t shim_double_records;
static const size_t shim_double_sizes[RECORD_TABLES] = {
    1,
    sizeof(struct record_module),
    sizeof(struct record_function),
    sizeof(struct record_frame),
    sizeof(struct record_node),
    sizeof(struct record_reaped),
    sizeof(struct record_folded),
};

static size_t shim_double_usable_size(void *block) {
    (void)block;
    return shim_double_usable;
}

void shim_double_reset(size_t records) {
    for (int i = 0; i < RECORD_TABLES; i++)
        free(shim.tables[i].base);
    memset(&shim, 0, sizeof shim);
    memset(&shim_double_header, 0, sizeof shim_double_header);
    shim.header = &shim_double_header;
    shim_double_records = records;
    for (int i = 0; i < RECORD_TABLES; i++) {
        shim.tables[i].reserved = records * sizeof(struct record_node);
        shim.tables[i].base = calloc(records, sizeof(struct record_node));
        shim.header->tables[i].count = i == RECORD_STRINGS ? 8 : 1;
    }
    real.malloc_usable_size = shim_double_usable_size;
    real.usable_size_matches = true;
}

uint32_t recording_append(enum record_table table, const void *entry) {
    uint64_t *count = &shim.header->tables[table].count;
    if (*count >= shim_double_records) {
        return 0;
    }
    memcpy(shim.tables[table].base + *count * shim_double_sizes[table], entry, shim_double_sizes[table]);
    return (uint32_t)(*count)++;
}

bool recording_reserve(enum record_table table, uint32_t records) {
    return shim.header->tables[table].count + records <= shim_double_records;
}
