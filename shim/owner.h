// SPDX-License-Identifier: MIT
//
// Who a live block belongs to, when nodes can be folded and their records be used again.
//
// A block keeps the number of an owner. An owner stands for a node; when that node is folded, it is forwarded
// to the owner of the node that took its place, and remembers the line that it was of (former.h). Owners are
// counted: one is used again when its node is gone and its last block is freed.
//
//   block ──> owner 17 ──> node 203
//   block ──> owner 9 ──> owner 17          (the node of owner 9 was folded into node 203)
//
// A use may be counted later than the block changes hands (journal.h): for a while an owner can have fewer
// uses than none. When a node is folded, all that was noted has been applied.
//
// Callers hold shim.lock; for owner_of and owner_node, the lock of their journal is enough.

#ifndef PEAKLINE_OWNER_H
#define PEAKLINE_OWNER_H

#include "shim/shim.h"
#include "shim/tree.h"

#define OWNER_MOST ((1u << 20) - 1) // they fit the slots of live.c

// Of owners that have outlived their nodes, those that blocks belong to remember their line, however many
// they are. The others, which stand for what was folded further in, do so as long as owners are no more than
// this, 8 MiB together, and one in so many bytes of the heap's peak.
#define OWNER_REMEMBERED (1u << 19)
#define OWNER_HEAP_SHARE 256

// False: no memory.
bool owner_open(void);

// A node came into being. False: there are no owners left.
bool owner_add(uint32_t node);

struct owner {
    uint32_t to;   // node; or OWNER_FORWARDED and another owner; or the next free owner
    uint32_t uses; // blocks, and owners that are forwarded to this one
};

#define OWNER_FORWARDED (1u << 31)

// The owner of blocks that the node allocates now.
static inline uint32_t owner_of(uint32_t node) {
    return shim.links[node].owner;
}

// One block more.
static inline void owner_use(uint32_t owner) {
    shim.owners[owner].uses++;
}

// owner_of and owner_use.
uint32_t owner_take(uint32_t node);

// One block less. The node it counts for now.
uint32_t owner_drop(uint32_t owner);

// Whether the owner has outlived its node.
static inline bool owner_is_former(uint32_t owner) {
    return shim.owners[owner].to & OWNER_FORWARDED;
}

// The owner that it is forwarded to then.
static inline uint32_t owner_next(uint32_t owner) {
    return shim.owners[owner].to & ~OWNER_FORWARDED;
}

// The node that the owner's blocks count for now.
static inline uint32_t owner_node(uint32_t owner) {
    while (shim_unlikely(owner_is_former(owner)))
        owner = owner_next(owner);
    return shim.owners[owner].to;
}

// The same where the owner has not outlived its node; else 0.
static inline uint32_t owner_present_node(uint32_t owner) {
    const uint32_t to = shim.owners[owner].to;
    return shim_unlikely(to & OWNER_FORWARDED) ? 0 : to;
}

// Blocks (and forwarded owners) of a node.
uint32_t owner_blocks(uint32_t node);

// `node` is about to go: its blocks count for `into` from now on.
void owner_forward(uint32_t node, uint32_t into);

// `node` is about to stand for something else: what its owner had so far is forwarded to a new one. Ask
// owner_has_room before.
void owner_renew(uint32_t node);

// Whether there is an owner left.
bool owner_has_room(void);

// Whether owners that no block belongs to are to remember their line (OWNER_REMEMBERED).
bool owner_is_roomy(void);

// Owners that are forwarded to others that remember no line are forwarded past these.
void owner_shorten(void);

#endif
