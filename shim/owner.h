// SPDX-License-Identifier: MIT
//
// Who a live block belongs to, when nodes can be folded and their records be used again.
//
// A block keeps the number of an owner. An owner stands for a node; when that node is folded, for the owner
// of the node that took its place. Owners are counted: one is used again when its node is gone and its last
// block is freed.
//
//   block ──> owner 17 ──> node 203
//   block ──> owner 9 ──> owner 17          (the node of owner 9 was folded into node 203)
//
// Callers hold shim.lock.

#ifndef PEAKLINE_OWNER_H
#define PEAKLINE_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#define OWNER_MOST ((1u << 20) - 1) // they fit the slots of live.c

// False: no memory.
bool owner_open(void);

// A node came into being. False: there are no owners left.
bool owner_add(uint32_t node);

// One block more for the node. Its owner, for owner_drop.
uint32_t owner_take(uint32_t node);

// One block less. The node it counts for now.
uint32_t owner_drop(uint32_t owner);

// The node that the owner's blocks count for now.
uint32_t owner_node(uint32_t owner);

// Blocks (and forwarded owners) of a node.
uint32_t owner_blocks(uint32_t node);

// `node` is about to go: its blocks count for `into` from now on.
void owner_forward(uint32_t node, uint32_t into);

#endif
