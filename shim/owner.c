// SPDX-License-Identifier: MIT
//
// See owner.h.

#include "shim/owner.h"
#include "shim/arena.h"
#include "shim/config.h"
#include "shim/former.h"
#include "shim/shim.h"

bool owner_open(void) {
    const size_t nodes = shim.tables[RECORD_NODES].reserved / sizeof(struct record_node);
    shim.owners_most = config.scarce && nodes < OWNER_MOST / 16 ? (uint32_t)nodes * 16 : OWNER_MOST;
    shim.owners = arena_reserve((shim.owners_most + 1) * sizeof *shim.owners);
    shim.owners_used = 1; // owner 0 is none
    return shim.owners && former_open(shim.owners_most + 1);
}

bool owner_add(uint32_t node) {
    uint32_t owner = shim.owners_free;
    if (owner) {
        shim.owners_free = shim.owners[owner].to;
        shim.owners_free_count--;
        __builtin_prefetch(&shim.owners[shim.owners_free], 1);
    } else if (shim.owners_used <= shim.owners_most) {
        owner = shim.owners_used++;
        former_begin(owner);
    } else {
        return false;
    }
    shim.owners[owner] = (struct owner){.to = node};
    shim.links[node].owner = owner;
    return true;
}

uint32_t owner_take(uint32_t node) {
    uint32_t owner = owner_of(node);
    owner_use(owner);
    return owner;
}

// An owner without uses, whose node is gone, is free; so may then be the one that it was forwarded to.
static void owner_forget(uint32_t owner) {
    while (shim.owners[owner].uses == 0 && owner_is_former(owner)) {
        uint32_t next = owner_next(owner);
        shim.owners[owner].to = shim.owners_free;
        shim.owners_free = owner;
        shim.owners_free_count++;
        shim.owners[next].uses--;
        owner = next;
    }
}

uint32_t owner_drop(uint32_t owner) {
    uint32_t node = owner_node(owner);
    shim.owners[owner].uses--;
    if (shim_unlikely(owner_is_former(owner)))
        owner_forget(owner);
    return node;
}

uint32_t owner_blocks(uint32_t node) {
    return shim.owners[owner_of(node)].uses;
}

static void owner_link(uint32_t owner, uint32_t next) {
    shim.owners[owner].to = OWNER_FORWARDED | next;
    shim.owners[next].uses++;
    owner_forget(owner);
}

void owner_forward(uint32_t node, uint32_t into) {
    uint32_t owner = owner_of(node);
    shim.links[node].owner = 0;
    owner_link(owner, owner_of(into));
}

bool owner_has_room(void) {
    return shim.owners_free || shim.owners_used <= shim.owners_most;
}

bool owner_is_roomy(void) {
    const uint64_t share = (uint64_t)shim.header->heap_peak / OWNER_HEAP_SHARE;
    uint64_t most = OWNER_REMEMBERED + share;
    if (most > shim.owners_most / 4 * 3)
        most = shim.owners_most / 4 * 3;
    return shim.owners_used - shim.owners_free_count < most;
}

void owner_shorten(void) {
    for (uint32_t owner = 1; owner < shim.owners_used; owner++) {
        while (owner_is_former(owner)) {
            const uint32_t past = owner_next(owner);
            if (!owner_is_former(past) || former_remembers(past))
                break;
            owner_link(owner, owner_next(past));
            shim.owners[past].uses--;
            owner_forget(past);
        }
    }
}

void owner_renew(uint32_t node) {
    const uint32_t owner = owner_of(node);
    if (shim.owners[owner].uses && owner_add(node))
        owner_link(owner, owner_of(node));
}
