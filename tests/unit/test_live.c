// SPDX-License-Identifier: MIT
// needs: shim/live.c shim/live_arena.c shim/arena.c shim/lock.c tests/unit/shim_double.c
//
// The table of live blocks: what goes in comes out, wherever it had to be kept.

#include "shim/live_arena.h"
#include "shim/real.h"
#include "tests/unit/shim_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// As with glibc: 32 bytes share a slot.
static int open_coarse(void **state) {
    (void)state;
    shim_double_reset(4);
    if (!live_open())
        return -1;
    shim.live.fine = false;
    return 0;
}

static int open_table(void **state) {
    (void)state;
    shim_double_reset(4);
    return live_open() ? 0 : -1;
}

static void round_trip(uintptr_t address, struct live_block block) {
    struct live_block out = {0}, stale;
    shim_double_usable = block.usable;
    assert_false(live_has_block(&thread_self, (void *)address));
    assert_true(live_insert(&thread_self, (void *)address, &block, &stale));
    assert_int_equal(stale.owner, 0);
    assert_int_equal(live_has_block(&thread_self, (void *)address), !block.object);
    assert_true(live_detach(&thread_self, (void *)address, &out));
    assert_int_equal(out.owner, block.owner);
    assert_int_equal(out.size, block.size);
    assert_int_equal(out.object, block.object);
    assert_false(live_has_block(&thread_self, (void *)address));
    assert_false(live_detach(&thread_self, (void *)address, &out));
}

static void blocks_of_every_kind_come_back(void **state) {
    (void)state;
    const uint32_t nodes[] = {1, 2, 0xfffff, 0x100000, 0xffffffff}; // beyond 20 bits a slot does not do
    const size_t slacks[] = {0, 1, 24, 1022, 1023, 1024, 2047, 4095, 1u << 20};
    const uintptr_t addresses[] = {0x10,           0x1000,         0x5555deadbee0,
                                   0x7fffffffffe0, 0x7fffffffffe8, 0x8000000000000};
    for (size_t n = 0; n < sizeof nodes / sizeof *nodes; n++)
        for (size_t s = 0; s < sizeof slacks / sizeof *slacks; s++)
            for (size_t a = 0; a < sizeof addresses / sizeof *addresses; a++)
                round_trip(addresses[a],
                           (struct live_block){.owner = nodes[n], .size = 77, .usable = 77 + slacks[s]});
}

static void objects_at_any_address_come_back(void **state) {
    (void)state;
    const uintptr_t addresses[] = {0x7f0000001230, 0x7f0000001238, 0x7f0000001240};
    struct live_block out, object = {.owner = 9, .object = true}, stale;
    for (size_t i = 0; i < 3; i++) {
        object.size = i;
        assert_true(live_insert(&thread_self, (void *)addresses[i], &object, &stale));
        assert_int_equal(stale.owner, 0);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_false(live_has_block(&thread_self, (void *)addresses[i]));
        assert_true(live_detach_object(&thread_self, (void *)addresses[i], &out));
        assert_int_equal(out.size, i);
        assert_false(live_detach(&thread_self, (void *)addresses[i], &out));
    }
}

static void objects_keep_their_size(void **state) {
    (void)state;
    const size_t sizes[] = {0, 1, 512, 1022, 1023, 1024, 100000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        round_trip(0x7f0000001230,
                   (struct live_block){
                       .owner = 5, .object = true, .size = sizes[s], .usable = (sizes[s] + 15) & ~15ul});
}

static void objects_and_blocks_are_told_apart(void **state) {
    (void)state;
    struct live_block out;
    struct live_block object = {.owner = 3, .object = true, .size = 40, .usable = 48};
    struct live_block block = {.owner = 3, .size = 40, .usable = 56};
    shim_double_usable = 56;
    live_insert(&thread_self, (void *)0x7f0000000040, &object, &out);
    live_insert(&thread_self, (void *)0x7f0000000080, &block, &out);
    assert_true(live_detach_object(&thread_self, (void *)0x7f0000000040, &out));
    assert_int_equal(out.size, 40);
    assert_false(live_detach_object(&thread_self, (void *)0x7f0000000080, &out));
    assert_true(live_detach(&thread_self, (void *)0x7f0000000080, &out));
}

static void simple_detach_leaves_the_side_table_alone(void **state) {
    (void)state;
    struct live_block out, far = {.owner = 3, .size = 1, .usable = 100001},
                           near = {.owner = 3, .size = 1, .usable = 24};
    shim_double_usable = 24;
    live_insert(&thread_self, (void *)0x7f0000000100, &far, &out);
    live_insert(&thread_self, (void *)0x7f0000000200, &near, &out);
    assert_false(live_detach_simple((void *)0x7f0000000100, &out));
    assert_true(live_detach_simple((void *)0x7f0000000200, &out));
    assert_true(live_detach(&thread_self, (void *)0x7f0000000100, &out));
    assert_int_equal(out.usable, 100001);
}

static void sizes_go_aside_when_the_allocator_cannot_tell(void **state) {
    (void)state;
    shim_double_reset(4);
    real.usable_size_matches = false;
    assert_true(live_open());
    round_trip(0x7f0000000040, (struct live_block){.owner = 9, .size = 77, .usable = 77});
}

static void neighbours_do_not_touch(void **state) {
    (void)state;
    struct live_block out;
    shim_double_usable = 16;
    for (uintptr_t i = 0; i < 100000; i++) {
        struct live_block block = {.owner = (uint32_t)(1 + i % 1000), .size = i % 17, .usable = 16};
        assert_true(live_insert(&thread_self, (void *)(0x7f12345f0000 + 16 * i), &block, &out));
    }
    for (uintptr_t i = 0; i < 100000; i++) {
        assert_true(live_detach(&thread_self, (void *)(0x7f12345f0000 + 16 * i), &out));
        assert_int_equal(out.owner, 1 + i % 1000);
        assert_int_equal(out.size, i % 17);
    }
}

static void an_unseen_free_is_noticed(void **state) {
    (void)state;
    struct live_block stale, old = {.owner = 3, .size = 40, .usable = 56},
                             new = {.owner = 4, .size = 50, .usable = 56};
    struct live_block far = {.owner = 5, .size = 1, .usable = 99999};
    const uintptr_t addresses[] = {0x7f0000000040, 0x7f0000000048};
    for (size_t a = 0; a < 2; a++) {
        void *address = (void *)addresses[a];
        shim_double_usable = 56;
        assert_true(live_insert(&thread_self, address, &old, &stale));
        assert_int_equal(stale.owner, 0);
        assert_true(live_insert(&thread_self, address, &new, &stale));
        assert_int_equal(stale.owner, 3);
        assert_int_equal(stale.size, 40);
        assert_true(live_insert(&thread_self, address, &far, &stale));
        assert_int_equal(stale.owner, 4);
        assert_true(live_insert(&thread_self, address, &new, &stale));
        assert_int_equal(stale.owner, 5);
        assert_int_equal(stale.size, 1);
        assert_true(live_detach(&thread_self, address, &stale));
        assert_int_equal(stale.owner, 4);
    }
}

#define PLACES 3000 // of 16 bytes

// Objects anywhere, also side by side, against a plain list of what is there; by all ways into the table.
static void objects_side_by_side_are_told_apart(void **state) {
    (void)state;
    static struct live_block model[PLACES];
    static bool taken[PLACES + 8];
    const uintptr_t base = 0x7f00000ff000; // across a leaf's end
    unsigned tiny = 0;
    memset(model, 0, sizeof model);
    memset(taken, 0, sizeof taken);
    srand(7);
    for (int step = 0; step < 400000; step++) {
        const unsigned at = (unsigned)rand() % PLACES;
        void *address = (void *)(base + 16 * (uintptr_t)at);
        struct live_block out = {.owner = 0}, *there = &model[at];
        if (there->owner) {
            assert_false(live_has_block(&thread_self, address));
            const struct live_slot place = live_known_slot(&thread_self, (uintptr_t)address);
            if (!live_is_of(*place.slot, (uintptr_t)address))
                tiny += live_known_beside(&place, *place.slot, (uintptr_t)address) != NULL;
            assert_true(rand() % 2 ? live_detach(&thread_self, address, &out)
                                   : live_detach_object(&thread_self, address, &out));
            assert_int_equal(out.owner, there->owner);
            assert_int_equal(out.size, there->size);
            assert_true(out.object);
            for (size_t i = 0; i < (there->size + 15) / 16 || i == 0; i++)
                taken[at + i] = false;
            there->owner = 0;
            continue;
        }
        assert_false(live_detach_object(&thread_self, address, &out));
        const size_t size = (size_t)rand() % (rand() % 3 ? 17 : 100), places = size ? (size + 15) / 16 : 1;
        bool room = true;
        for (size_t i = 0; i < places; i++)
            room &= !taken[at + i];
        if (!room)
            continue;
        *there = (struct live_block){.owner = 1 + (uint32_t)rand() % 1000, .object = true, .size = size};
        there->usable = 16 * places;
        const struct live_slot place = live_known_slot(&thread_self, (uintptr_t)address);
        uint32_t *beside = place.slot && *place.slot && rand() % 2
                               ? live_empty_beside(&place, *place.slot, (uintptr_t)address, size)
                               : NULL;
        if (beside)
            live_fill(beside, (uintptr_t)address, there->owner, size, true);
        else
            assert_true(live_insert(&thread_self, address, there, &out));
        assert_int_equal(out.owner, 0);
        for (size_t i = 0; i < places; i++)
            taken[at + i] = true;
    }
    assert_true(shim.live.fine || tiny > 10000);
}

// Blocks of one allocator that lie as near as that are dead; an object within a block is not.
static void blocks_too_near_are_dead(void **state) {
    (void)state;
    struct live_block out, stale;
    const uintptr_t lower = 0x7f0000000040, upper = 0x7f0000000050;
    static char memory[256] __attribute__((aligned(64)));
    const struct live_block block = {.owner = 3, .size = 20, .usable = 24},
                            object = {.owner = 4, .object = true, .size = 40, .usable = 48};
    shim_double_usable = 24;
    for (int turn = 0; turn < 2; turn++) {
        const uintptr_t one = turn ? upper : lower, other = turn ? lower : upper;
        assert_true(live_insert(&thread_self, (void *)one, &block, &stale));
        assert_int_equal(stale.owner, 0);
        assert_true(live_insert(&thread_self, (void *)other, &block, &stale));
        assert_int_equal(stale.owner, 3);
        assert_false(live_detach(&thread_self, (void *)one, &out));
        assert_true(live_detach(&thread_self, (void *)other, &out));
    }
    // A head of 16 bytes, and the object; at addresses that can be read.
    const uintptr_t head = (uintptr_t)memory + 64;
    ((size_t *)head)[-1] = 64 | 1;
    shim_double_usable = 56;
    const struct live_block around = {.owner = 5, .size = 56, .usable = 56};
    assert_true(live_insert(&thread_self, (void *)head, &around, &stale));
    assert_true(live_insert(&thread_self, (void *)(head + 16), &object, &stale));
    assert_int_equal(stale.owner, 0);
    assert_true(live_has_block(&thread_self, (void *)head));
    assert_false(live_has_block(&thread_self, (void *)(head + 16)));
    assert_false(live_detach_object(&thread_self, (void *)head, &out));
    assert_true(live_detach_object(&thread_self, (void *)(head + 16), &out));
    assert_int_equal(out.size, 40);
    assert_true(live_detach(&thread_self, (void *)head, &out));
    assert_int_equal(out.size, 56);
    assert_int_equal(out.owner, 5);
    assert_false(live_detach(&thread_self, (void *)head, &out));
    // The slot is empty again.
    assert_non_null(live_empty_slot(&thread_self, head, 0));
}

// ---- arenas of pymalloc ----

// In two MiB of the address space, and no whole number of pools; and one that is a MiB.
#define ARENA 0x7f0000031000u
#define ARENA_ALIGNED 0x7f0000400000u
#define ARENA_BYTES (1u << 20)
#define POOL 16384u
#define POOLS 63u // of the former; one more in the latter
#define HEAD 48u

struct pool {
    unsigned size, used; // of its objects; how many there are
    struct live_block objects[POOL / 16];
};

static struct pool pools[POOLS + 1];
static uintptr_t pools_at = ARENA;

static uintptr_t pool_object(const struct pool *pool, unsigned number) {
    const uintptr_t first = (pools_at + POOL - 1) & ~(uintptr_t)(POOL - 1);
    return first + (uintptr_t)(pool - pools) * POOL + HEAD + (uintptr_t)number * pool->size;
}

static void pool_allocate(struct pool *pool, unsigned number) {
    const uintptr_t address = pool_object(pool, number);
    struct live_block stale = {.owner = 0}, *object = &pool->objects[number];
    *object = (struct live_block){.owner = 1 + (uint32_t)rand() % 1000, .object = true};
    object->size = pool->size - (unsigned)rand() % 16;
    object->usable = pool->size;
    uint32_t *slot = live_empty_slot(&thread_self, address, object->size);
    if (slot && rand() % 2)
        live_fill(slot, address, object->owner, object->size, true);
    else
        assert_true(live_insert(&thread_self, (void *)address, object, &stale));
    assert_int_equal(stale.owner, 0);
    pool->used++;
}

// Shrinks it by up to a quarter, as realloc does in place.
static void pool_shrink(struct pool *pool, unsigned number) {
    const uintptr_t address = pool_object(pool, number);
    struct live_block out, stale, *object = &pool->objects[number];
    assert_true(live_detach_object(&thread_self, (void *)address, &out));
    assert_int_equal(out.size, object->size);
    if (object->size > pool->size * 3 / 4)
        object->size -= (unsigned)rand() % (object->size - pool->size * 3 / 4);
    object->usable = (object->size + 15) & ~15ul;
    thread_self.resized = address;
    assert_true(live_insert(&thread_self, (void *)address, object, &stale));
    thread_self.resized = 0;
    assert_int_equal(stale.owner, 0);
}

static void pool_free(struct pool *pool, unsigned number) {
    const uintptr_t address = pool_object(pool, number);
    struct live_block out, *object = &pool->objects[number];
    assert_false(live_has_block(&thread_self, (void *)address));
    assert_true(live_detach_object(&thread_self, (void *)address, &out));
    assert_int_equal(out.owner, object->owner);
    assert_int_equal(out.size, object->size);
    object->owner = 0;
    pool->used--;
}

static unsigned any_class(void) {
    return 16 * (1 + (unsigned)rand() % (rand() % 2 ? 8 : 32));
}

// Pools of random sizes, that become empty and are used for others, against a plain list of what is there.
static void objects_in_pools_come_back(void **state) {
    (void)state;
    struct live_block out;
    unsigned sizes = 0;
    memset(pools, 0, sizeof pools);
    srand(11);
    live_arena_begin(&thread_self, (void *)(uintptr_t)ARENA, ARENA_BYTES);
    for (int step = 0; step < 1000000; step++) {
        struct pool *pool = &pools[(unsigned)rand() % POOLS];
        if (!pool->used) {
            pool->size = any_class();
            sizes++;
        }
        const unsigned number = (unsigned)rand() % ((POOL - HEAD) / pool->size);
        if (!pool->objects[number].owner) {
            assert_false(live_detach_object(&thread_self, (void *)pool_object(pool, number), &out));
            pool_allocate(pool, number);
        } else if (rand() % 3 == 0) {
            pool_shrink(pool, number);
        } else {
            pool_free(pool, number);
        }
        if (rand() % 2000 == 0)
            for (unsigned i = 0; i < POOL / 16; i++)
                if (pool->objects[i].owner)
                    pool_free(pool, i);
        assert_null(shim.live.side);
        // Slots become finer only, as long as the arena lives.
        if (step % 100000 == 99999) {
            for (unsigned i = 0; i < POOLS * (POOL / 16); i++)
                if (pools[i / (POOL / 16)].objects[i % (POOL / 16)].owner)
                    pool_free(&pools[i / (POOL / 16)], i % (POOL / 16));
            live_arena_end((void *)(uintptr_t)ARENA, ARENA_BYTES);
            live_arena_begin(&thread_self, (void *)(uintptr_t)ARENA, ARENA_BYTES);
        }
    }
    assert_true(sizes > 300);
    assert_null(shim.live.side);
}

// Where somebody adds to objects, those of one pool differ for us: all have their slots.
static void objects_of_mixed_sizes_have_slots(void **state) {
    (void)state;
    const uintptr_t pool = ARENA + 9 * POOL - ARENA % POOL;
    struct live_block stale, object = {.owner = 5, .object = true};
    live_arena_begin(&thread_self, (void *)(uintptr_t)ARENA, ARENA_BYTES);
    live_arena_mix();
    for (unsigned i = 0; i < 100; i++) {
        object.size = 70 - i % 24;
        object.usable = (object.size + 15) & ~15ul;
        assert_true(live_insert(&thread_self, (void *)(pool + HEAD + (uintptr_t)i * 96), &object, &stale));
        assert_int_equal(stale.owner, 0);
    }
    assert_null(shim.live.side);
}

// 64 pools of one MiB can have more slots than arrays have room for, and arrays that are used again are
// empty.
static void arrays_of_a_mib_are_used_up(void **state) {
    (void)state;
    const unsigned sizes[] = {512, 256, 128, 512, 256, 128, 64, 64};
    struct live_block out;
    for (unsigned turn = 0; turn < 9; turn++) {
        const unsigned size = turn < 8 ? sizes[turn] : 64;
        pools_at = ARENA_ALIGNED + (turn < 8 ? 0 : ARENA_BYTES); // the last time with no arrays yet
        memset(pools, 0, sizeof pools);
        live_arena_begin(&thread_self, (void *)pools_at, ARENA_BYTES);
        for (unsigned p = 0; p <= POOLS; p++) {
            pools[p].size = size;
            for (unsigned i = 0; i < (POOL - HEAD) / size; i++) {
                assert_false(live_detach_object(&thread_self, (void *)pool_object(&pools[p], i), &out));
                pool_allocate(&pools[p], i);
            }
        }
        // Where all had arrays, the end of every third was not seen.
        for (unsigned p = 0; p <= POOLS; p++)
            for (unsigned i = 0; i < (POOL - HEAD) / size; i++)
                if (size == 64 || i % 3)
                    pool_free(&pools[p], i);
        assert_null(shim.live.side);
        live_arena_end((void *)pools_at, ARENA_BYTES);
    }
    pools_at = ARENA;
}

// However an object came to lie within another's slot: no slot is lost, none is another's.
static void objects_in_the_slot_of_another_are_followed(void **state) {
    (void)state;
    const uintptr_t at = ARENA_ALIGNED + POOL + 1024;
    struct live_block out, stale, object = {.owner = 5, .object = true, .size = 500, .usable = 512};
    live_arena_begin(&thread_self, (void *)(uintptr_t)ARENA_ALIGNED, ARENA_BYTES);
    assert_true(live_insert(&thread_self, (void *)at, &object, &stale));
    assert_true(live_detach_object(&thread_self, (void *)at, &out));
    object.size = 10;
    thread_self.resized = at;
    assert_true(live_insert(&thread_self, (void *)at, &object, &stale));
    thread_self.resized = 0;
    object = (struct live_block){.owner = 6, .object = true, .size = 16, .usable = 16};
    assert_true(live_insert(&thread_self, (void *)(at + 16), &object, &stale));
    assert_int_equal(stale.owner, 5);
    assert_true(live_detach_object(&thread_self, (void *)(at + 16), &out));
    assert_int_equal(out.owner, 6);
    // One that is larger than any of a pool, where no object has been yet.
    object.size = object.usable = 1104;
    assert_true(live_insert(&thread_self, (void *)(at + POOL), &object, &stale));
    assert_false(live_detach_object(&thread_self, (void *)(at + 5 * POOL), &out));
    assert_non_null(live_known_slot(&thread_self, at + 5 * POOL).slot);
    assert_int_equal(*live_known_slot(&thread_self, at + 5 * POOL).slot, 0);
    assert_true(live_detach_object(&thread_self, (void *)(at + POOL), &out));
    assert_int_equal(out.size, 1104);
}

// Objects of 128 bytes and more: a slot for each 128 bytes, in arrays side by side.
static void slots_of_large_objects_lie_near(void **state) {
    (void)state;
    uintptr_t pages[64];
    unsigned touched = 0;
    memset(pools, 0, sizeof pools);
    live_arena_begin(&thread_self, (void *)(uintptr_t)ARENA, ARENA_BYTES);
    for (unsigned p = 0; p < POOLS; p++) {
        pools[p].size = 128 + 16 * (p % 8);
        for (unsigned i = 0; i < (POOL - HEAD) / pools[p].size; i++) {
            pool_allocate(&pools[p], i);
            const uintptr_t page =
                (uintptr_t)live_known_slot(&thread_self, pool_object(&pools[p], i)).slot / 4096;
            unsigned at = 0;
            while (at < touched && pages[at] != page)
                at++;
            assert_true(at < sizeof pages / sizeof *pages);
            if (at == touched)
                pages[touched++] = page;
        }
    }
    assert_in_range(touched, POOLS * POOL / 128 * 4 / 4096, POOLS * POOL / 128 * 4 / 4096 + 3);
}

// Out of line: GCC 12 with -fsanitize=null loses a comparison where it sees that this is of thread-local
// memory.
static __attribute__((noinline)) uint32_t *empty_slot(const struct thread *thread, uintptr_t address,
                                                      size_t size) {
    return live_empty_slot(thread, address, size);
}

// What no allocator does, or hardly: smaller objects in a pool of larger ones come back all the same.
static void small_objects_among_large_ones_come_back(void **state) {
    (void)state;
    const uintptr_t pool = ARENA + 3 * POOL - ARENA % POOL;
    struct live_block out, stale, large = {.owner = 5, .object = true, .size = 300, .usable = 304},
                                  small = {.owner = 6, .object = true, .size = 16, .usable = 16};
    live_arena_begin(&thread_self, (void *)(uintptr_t)ARENA, ARENA_BYTES);
    for (int turn = 0; turn < 2; turn++) {
        assert_true(live_insert(&thread_self, (void *)(pool + HEAD), &large, &stale));
        for (uintptr_t at = pool + 1024; at < pool + 2048; at += 32)
            assert_true(live_insert(&thread_self, (void *)at, &small, &stale));
        assert_int_equal(stale.owner, 0);
        assert_null(empty_slot(&thread_self, pool + 1024, 300));
        for (uintptr_t at = pool + 1024; at < pool + 2048; at += 32) {
            assert_false(live_has_block(&thread_self, (void *)at));
            assert_true(live_detach_object(&thread_self, (void *)at, &out));
            assert_int_equal(out.owner, 6);
            assert_int_equal(out.size, 16);
            assert_false(live_detach_object(&thread_self, (void *)at, &out));
        }
        assert_non_null(empty_slot(&thread_self, pool + 1024, 300));
        assert_true(live_detach_object(&thread_self, (void *)(pool + HEAD), &out));
        assert_int_equal(out.size, 300);
        // Now it is empty, and fits the small ones.
        assert_true(live_insert(&thread_self, (void *)(pool + 1024), &small, &stale));
        assert_non_null(empty_slot(&thread_self, pool + 1056, 16));
        assert_true(live_detach_object(&thread_self, (void *)(pool + 1024), &out));
        live_arena_end((void *)(uintptr_t)ARENA, ARENA_BYTES);
        live_arena_begin(&thread_self, (void *)(uintptr_t)ARENA, ARENA_BYTES);
    }
}

// An object whose end was not seen is known to be dead when another one lies there.
static void unseen_frees_in_pools_are_noticed(void **state) {
    (void)state;
    const uintptr_t pool = ARENA + 5 * POOL - ARENA % POOL;
    struct live_block out, stale;
    const struct live_block one = {.owner = 5, .object = true, .size = 256, .usable = 256},
                            other = {.owner = 6, .object = true, .size = 250, .usable = 256};
    live_arena_begin(&thread_self, (void *)(uintptr_t)ARENA, ARENA_BYTES);
    assert_true(live_insert(&thread_self, (void *)(pool + HEAD), &one, &stale));
    for (unsigned shift = 0; shift <= 16; shift += 16) { // at the same place, and at one beside
        assert_true(live_insert(&thread_self, (void *)(pool + HEAD + shift), &other, &stale));
        assert_int_equal(stale.owner, shift ? 6 : 5);
        assert_int_equal(stale.size, shift ? 250 : 256);
    }
    assert_true(live_detach_object(&thread_self, (void *)(pool + HEAD + 16), &out));
    assert_int_equal(out.owner, 6);
    assert_false(live_detach_object(&thread_self, (void *)(pool + HEAD), &out));
}

static void memory_of_an_arena_is_ordinary_when_it_ends(void **state) {
    (void)state;
    const uintptr_t pool = ARENA + 7 * POOL - ARENA % POOL;
    struct live_block out, stale;
    const struct live_block object = {.owner = 5, .object = true, .size = 512, .usable = 512},
                            block = {.owner = 6, .size = 20, .usable = 24};
    shim_double_usable = 24;
    for (int turn = 0; turn < 2; turn++) {
        live_arena_begin(&thread_self, (void *)(uintptr_t)ARENA, ARENA_BYTES);
        assert_true(live_insert(&thread_self, (void *)(pool + HEAD), &object, &stale));
        // Malloc gives nothing out of an arena. If it does, that is missing, and said to be.
        assert_false(live_insert(&thread_self, (void *)(pool + 4096), &block, &stale));
        live_arena_end((void *)(uintptr_t)ARENA, ARENA_BYTES);
        for (uintptr_t at = pool; at < pool + POOL; at += 32) {
            assert_true(live_insert(&thread_self, (void *)at, &block, &stale));
            assert_int_equal(stale.owner, 0);
        }
        for (uintptr_t at = pool; at < pool + POOL; at += 32) {
            assert_true(live_detach(&thread_self, (void *)at, &out));
            assert_int_equal(out.owner, 6);
        }
    }
    // The end of that one was not seen.
    live_arena_begin(&thread_self, (void *)(uintptr_t)ARENA, ARENA_BYTES);
    for (uintptr_t at = pool; at < pool + POOL; at += 32)
        assert_true(live_insert(&thread_self, (void *)at, &block, &stale));
    for (uintptr_t at = pool; at < pool + POOL; at += 32)
        assert_true(live_detach(&thread_self, (void *)at, &out));
}

// An arena that the program takes from malloc is a block, at its own address.
static void an_arena_that_is_a_block_is_left_alone(void **state) {
    (void)state;
    struct live_block out, stale;
    const uintptr_t arena = 0x7f0000200000;
    const struct live_block block = {.owner = 6, .size = ARENA_BYTES, .usable = ARENA_BYTES},
                            object = {.owner = 7, .object = true, .size = 500, .usable = 512};
    shim_double_usable = ARENA_BYTES;
    assert_true(live_insert(&thread_self, (void *)arena, &block, &stale));
    live_arena_begin(&thread_self, (void *)arena, ARENA_BYTES);
    assert_true(live_insert(&thread_self, (void *)(arena + HEAD), &object, &stale));
    assert_true(live_detach_object(&thread_self, (void *)(arena + HEAD), &out));
    live_arena_end((void *)arena, ARENA_BYTES);
    assert_true(live_detach(&thread_self, (void *)arena, &out));
    assert_int_equal(out.size, ARENA_BYTES);
}

// A child's table is a new one.
static void what_is_known_of_allocators_outlives_a_fork(void **state) {
    (void)state;
    struct live_block stale, object = {.owner = 5, .object = true, .size = 70, .usable = 80};
    assert_false(shim.live.fine);
    live_refine();
    live_arena_mix();
    shim_double_reset(4);
    assert_true(live_open());
    assert_true(shim.live.fine);
    live_arena_begin(&thread_self, (void *)(uintptr_t)ARENA, ARENA_BYTES);
    assert_true(live_insert(&thread_self, (void *)(uintptr_t)(ARENA + POOL), &object, &stale));
    object.size = 20;
    assert_true(live_insert(&thread_self, (void *)(uintptr_t)(ARENA + POOL + 96), &object, &stale));
    assert_null(shim.live.side);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(blocks_of_every_kind_come_back, open_table),
        cmocka_unit_test_setup(objects_keep_their_size, open_table),
        cmocka_unit_test_setup(objects_at_any_address_come_back, open_table),
        cmocka_unit_test_setup(objects_at_any_address_come_back, open_coarse),
        cmocka_unit_test_setup(objects_and_blocks_are_told_apart, open_table),
        cmocka_unit_test_setup(simple_detach_leaves_the_side_table_alone, open_table),
        cmocka_unit_test(sizes_go_aside_when_the_allocator_cannot_tell),
        cmocka_unit_test_setup(an_unseen_free_is_noticed, open_table),
        cmocka_unit_test_setup(neighbours_do_not_touch, open_table),
        cmocka_unit_test_setup(blocks_of_every_kind_come_back, open_coarse),
        cmocka_unit_test_setup(objects_keep_their_size, open_coarse),
        cmocka_unit_test_setup(objects_and_blocks_are_told_apart, open_coarse),
        cmocka_unit_test_setup(simple_detach_leaves_the_side_table_alone, open_coarse),
        cmocka_unit_test_setup(an_unseen_free_is_noticed, open_coarse),
        cmocka_unit_test_setup(objects_side_by_side_are_told_apart, open_coarse),
        cmocka_unit_test_setup(objects_side_by_side_are_told_apart, open_table),
        cmocka_unit_test_setup(blocks_too_near_are_dead, open_coarse),
        cmocka_unit_test_setup(objects_in_pools_come_back, open_coarse),
        cmocka_unit_test_setup(objects_in_pools_come_back, open_table),
        cmocka_unit_test_setup(arrays_of_a_mib_are_used_up, open_coarse),
        cmocka_unit_test_setup(objects_in_the_slot_of_another_are_followed, open_coarse),
        cmocka_unit_test_setup(slots_of_large_objects_lie_near, open_coarse),
        cmocka_unit_test_setup(small_objects_among_large_ones_come_back, open_coarse),
        cmocka_unit_test_setup(small_objects_among_large_ones_come_back, open_table),
        cmocka_unit_test_setup(unseen_frees_in_pools_are_noticed, open_coarse),
        cmocka_unit_test_setup(memory_of_an_arena_is_ordinary_when_it_ends, open_coarse),
        cmocka_unit_test_setup(memory_of_an_arena_is_ordinary_when_it_ends, open_table),
        cmocka_unit_test_setup(an_arena_that_is_a_block_is_left_alone, open_coarse),
        // What these say of allocators holds for all that follow.
        cmocka_unit_test_setup(objects_of_mixed_sizes_have_slots, open_coarse),
        cmocka_unit_test_setup(what_is_known_of_allocators_outlives_a_fork, open_coarse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
