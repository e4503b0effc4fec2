// SPDX-License-Identifier: MIT
//
// Which blocks are live, and where they came from: a shadow of the address space, one 32-bit slot for each 16
// bytes.
//
// Lock-free for nearly all blocks: a slot is written by whoever owns the block, and the allocator hands a
// block to one owner at a time. That holds only if a block leaves the table *before* the real free or realloc
// sees it. A slot holds the block's owner and either its slack (usable minus requested bytes; the usable size
// is asked of the allocator again) or, for small Python objects, its size. What does not fit a slot is kept
// in a locked hash.
//
// Memory: a quarter of a heap of small blocks; one page for a large block.

#ifndef PEAKLINE_LIVE_H
#define PEAKLINE_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct live_block {
    uint32_t owner; // owner.h; never 0
    bool object;    // of Python's small-object allocator: malloc_usable_size does not know it
    size_t size;    // requested
    size_t usable;  // >= size
};

// False: no memory.
bool live_open(void);

// False: the block cannot be followed, for want of memory. When the table still knew a block at this address,
// because its free was not seen, *stale is that block; else stale->owner is 0.
bool live_insert(const void *address, const struct live_block *block, struct live_block *stale);

// Takes the block out of the table. False: it is not there.
bool live_detach(const void *address, struct live_block *block);

// As live_detach, but only for blocks with `object` set; others stay.
bool live_detach_object(const void *address, struct live_block *block);

// As live_detach, without ever taking a lock: blocks of the side table stay.
bool live_detach_simple(const void *address, struct live_block *block);

// Whether the table knows a block at this very address.
bool live_has(const void *address);

#endif
