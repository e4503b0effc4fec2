// SPDX-License-Identifier: MIT
//
// See budget.h.

#include "shim/budget.h"
#include "shim/config.h"
#include "shim/shim.h"

// What nodes and frames of a native program may take before those that do not matter are forgotten: parts of
// the cap, and the least bytes. Too little, and contexts that are needed again are made again and again; too
// much, and the tables do not stay in the processor's cache. Those of Python have more: they are many more.
// Its frames have more still: small lines of the program itself are to be there beside those of its imports.
#define BUDGET_NODES_PART 32
#define BUDGET_FRAMES_PART 64
#define BUDGET_NODES_LEAST (192u << 10)
#define BUDGET_FRAMES_LEAST (96u << 10)
#define BUDGET_PYTHON_NODES(budget) ((budget)*2)
#define BUDGET_PYTHON_FRAMES(budget) ((budget)*5 / 2)

void budget_open(void) {
    size_t nodes = config.max_size / BUDGET_NODES_PART, frames = config.max_size / BUDGET_FRAMES_PART;
    shim.tables[RECORD_NODES].budget = nodes > BUDGET_NODES_LEAST ? nodes : BUDGET_NODES_LEAST;
    shim.tables[RECORD_FRAMES].budget = frames > BUDGET_FRAMES_LEAST ? frames : BUDGET_FRAMES_LEAST;
}

static size_t budget_of(enum record_table which) {
    const struct table *table = &shim.tables[which];
    size_t budget = table->budget;
    if (shim.header->flags & RECORD_FLAG_PYTHON)
        budget = which == RECORD_FRAMES ? BUDGET_PYTHON_FRAMES(budget) : BUDGET_PYTHON_NODES(budget);
    return budget && budget < table->reserved ? budget : table->reserved;
}

bool budget_raise(enum record_table which) {
    struct table *table = &shim.tables[which];
    if (budget_of(which) == table->reserved)
        return false;
    table->budget += table->budget / 2;
    return true;
}

uint32_t budget_spare(enum record_table which) {
    const struct table *table = &shim.tables[which];
    size_t most = table->mapped;
    if (!shim.file_full && shim.header->extents < RECORD_EXTENTS_MAX)
        most += (size_t)(config.max_size - shim.file_size);
    size_t budget = budget_of(which);
    size_t records = (most < budget ? most : budget) / shim.header->tables[which].record_size;
    uint64_t count = shim.header->tables[which].count;
    return count < records ? (uint32_t)(records - count) : 0;
}
