// SPDX-License-Identifier: MIT
//
// The shim's state: one structure for the process, one for each thread.
//
// struct shim lives in pages that the kernel wipes in a forked child (MADV_WIPEONFORK), and every private
// table hangs from it. So a child, however it was made, finds `generation` 0, and the first hook that runs
// there sets up a recording of its own (process.c); the parent's file is not mapped in it (MADV_DONTFORK),
// but for a page where the child is counted if it cannot have one (recording_missing). A child of vfork
// shares all of it and must not change anything.

#ifndef PEAKLINE_SHIM_H
#define PEAKLINE_SHIM_H

#include "shim/lock.h"
#include "shim/numbers.h"
#include "shim/own.h"
#include "shim/python/python.h"
#include "shim/record_format.h"
#include "shim/sys.h"
#include "shim/unwind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define shim_likely(x) __builtin_expect(!!(x), 1)
#define shim_unlikely(x) __builtin_expect(!!(x), 0)

#define SHIM_GIVEN_UP (UINT32_MAX - 1) // a generation that no thread has: recording has ended for good

#define THREAD_LATE_FREES 16 // a power of two

// A free made while the thread's guard was taken, to be accounted when it is free again.
struct late_free {
    uint32_t owner;
    size_t size, usable;
    bool object;
};

#define THREAD_LEAVES 64 // a power of two

#define THREAD_ASIDE (1u << 31) // in `paused`, beside the number of pauses

// Of the calling thread. Plain memory: only its own thread touches it. What every event needs comes first.
struct thread {
    uint32_t generation; // shim.generation when this thread was set up; UINT32_MAX before
    uint32_t attention;  // something rare is to be done after the present event (track.c)
    uintptr_t busy;      // the guard (guard.h): 0, or which hook the thread is inside of, so that allocations
                         // are the shim's own or a signal handler's
    struct journal *journal;
    struct stack *stack;   // previous stacks of this thread (stack.c); NULL when there was no memory
    uintptr_t last_block;  // of the thread's newest allocation: a free of it makes it temporary
    uintptr_t last_begun;  // the same, once a Python object has begun there; until the block is freed
    uint32_t until_sample; // events until our own cost is measured again
    uint32_t paused;       // > 0: what is allocated now is not recorded (stack_is_paused)
    // The guard is held around a Python allocator that wraps others (python/objects.c). What these take from
    // malloc and free is accounted as ever, but for the block in which they hand out an object.
    uint32_t lent;
    uint32_t
        wrapping; // the domains of Python's whose allocators, if they wrap others, the thread is inside of
    uint32_t off_books; // > 0: mappings made now belong to an allocator, not to the program (Python arenas)
    uint32_t ending;    // the thread's destructors have begun
    uint32_t scopes;    // the innermost scope that was begun natively (scope.h); 0 = none
    const void *aside_frame,
        *aside_code; // with THREAD_ASIDE: paused as long as this frame of Python is there
    // The frame of the line that started the thread (hooks/thread.c), in the recording of that generation.
    uint32_t origin, origin_generation;
    // Sampling of small objects (python/objects.c): how far it is to the next sample point, and the random
    // numbers' state; 0 = not begun.
    int64_t until_object;
    uint64_t object_random;
    uintptr_t resized;    // the object that is being resized in place; 0 = none
    uintptr_t lent_block; // the newest that malloc gave while the guard was lent: perhaps that one; 0 = none
    size_t lent_size;
    // A ring: signal handlers add at the tail, the thread itself takes from the head.
    uint32_t late_head, late_tail;
    struct late_free late[THREAD_LATE_FREES];
    // Parts of the shadow table that the thread has used before (live.h), by MiB of address space.
    uintptr_t leaf_tags[THREAD_LEAVES]; // where the MiB begins, plus 1; 0 = none
    struct live_leaf *leaves[THREAD_LEAVES];
};

extern SHIM_OWN __thread struct thread thread_self;

#define ARENA_CLASSES 56

#define ARENA_REGIONS 128

struct arena_region {
    char *start;
    size_t size;
};

struct arena {
    struct lock lock;
    char *chunk, *chunk_end;
    char *region, *region_end;
    struct arena_free_block *free[ARENA_CLASSES];
    uint64_t bytes;
    struct arena_region regions[ARENA_REGIONS]; // of arena_reserve
    uint32_t regions_count;
};

// A growing table of the recording: a range of address space, filled from the left with extents of the file.
struct table {
    char *base;
    size_t mapped;   // bytes backed by the file
    size_t ahead;    // where the mapping ends, if that is later: the rest has no blocks (recording_map_ahead)
    size_t reserved; // bytes of address space
    size_t budget;   // bytes to fill before what does not matter is forgotten; 0 = all
};

struct live {
    void **directory;       // see live.c
    struct lock side_lock;  // of `side`
    struct live_side *side; // blocks that do not fit a slot
    bool sizes_aside;       // malloc_usable_size cannot be trusted: every size goes to the side table
    bool fine;              // two blocks may lie within 32 bytes, and belong to two threads
};

struct mapping; // mapped.c

enum shim_twice {
    SHIM_GREENLETS = 1 << 0, // greenlet's Python part was seen: C stacks may be swapped
    SHIM_CONTEXTS = 1 << 1   // scopes are open that contexts may carry on
};

struct shim {
    uint32_t generation; // 0: nothing is recorded in this process (yet)
    uint32_t pid;
    bool opening;     // what follows is being set up
    struct lock lock; // of everything below, but for what says otherwise

    struct record_header *header;
    struct record_tick *ticks;
    struct record_mark *marks;
    struct table tables[RECORD_TABLES];
    uint64_t file_size;  // bytes of the file in use
    uint32_t head_pages; // which pages before the first extent have blocks, a bit each
    uint64_t file_device, file_inode;
    uint32_t
        room_error; // why the file could not be made or grow at first, as in its header; 0 = it never was so
    bool file_private;  // the tables are plain memory, written out at the end
    bool file_left;     // likewise, since the disk became full (disk.h)
    bool file_ahead;    // they are mapped to their ends
    bool file_full;     // no more extents; nothing is tried again
    bool disk_watched;  // disk.h
    uint64_t disk_next; // coarse clock; not before is it looked at again
    char file_path[4096];

    int64_t tick_heap_high; // the highest heap since the last tick

    struct arena arena; // has its own lock
    struct live live;   // lock-free but for its side table

    uint32_t tree_epoch; // counts foldings: numbers of nodes learnt before mean nothing any more
    void *fold_memory;   // fold_ranks.c
    size_t fold_memory_bytes;
    int64_t fold_limit;     // how high peaks were that had to go last time
    bool tree_full;         // folding did not help
    uint64_t tree_again;    // coarse clock; not before is it tried again then
    uint32_t tree_failures; // how often in a row
    uint32_t nodes_newest;  // the node that was made last; 0 = none
    uint32_t nodes_free;    // records that can be used again, linked by `parent`
    uint32_t nodes_free_count;
    uint32_t *nodes_born;   // by node: the tree_epoch when it was made
    struct owner *owners;   // owner.c
    struct former *formers; // by owner; former.c
    struct former_line *former_others;
    uint32_t owners_used, owners_free, owners_free_count, owners_most;
    struct numbers tree;     // all nodes, by (parent, frame)
    struct tree_link *links; // by node

    struct place_string *strings;
    struct numbers functions, frames;
    uint8_t *functions_own; // by function: 1 = the program's own (frame.h)
    uint32_t frames_own;    // how many frames such functions have
    uint32_t frames_free;   // records that can be used again, linked by `line`
    uint32_t frames_free_count;
    uint32_t *frames_born;      // by frame: the tree_epoch when it was made
    uint32_t frames_epoch;      // the tree_epoch when lines were forgotten last
    uint64_t *frames_forgotten; // frame.c
    uint32_t *frames_left;      // likewise
    uint32_t *frame_estimates;  // by frame: its record (estimate.c); NULL where nothing is sampled
    uint32_t *function_estimates;
    uint32_t estimates_free; // records that can be used again, linked by `number`
    uint32_t folded_free;    // likewise, linked by `allocated_bytes`
    uint32_t folded_free_count;
    struct place_module *modules;
    uint32_t look_twice; // enum shim_twice: why stacks of Python must be looked at twice (stack.c)
    uintptr_t greenlet_low, greenlet_high; // its extension module; 0 = not met yet
    bool modules_new; // process_poll is due: a module has not been searched for an interpreter, or an
                      // interpreter was given up
    struct place_address *addresses; // cache
    uint32_t code_epoch; // counts unloadings of code, and changes of scopes that other threads may be in:
                         // stacks cached before may mean other places now

    struct mapping *mappings; // sorted by address
    size_t mappings_count, mappings_capacity;

    struct stack *stacks_free;        // left by threads that have ended
    struct thread_start *starts_done; // hooks/thread.c; changed atomically

    struct journal *journals;       // all of them, those of ended threads included
    struct journal *journal_shared; // of threads that have none of their own
    uint64_t journal_budgets;       // the sum of what live threads may hold back, bytes
    uint32_t journals_used;
    bool journal_fences; // membarrier cannot be had

    struct unwind_state unwind;
    struct python_state python;
};

extern SHIM_OWN struct shim shim;

static inline struct record_node *shim_node(uint32_t node) {
    return (struct record_node *)shim.tables[RECORD_NODES].base + node;
}

static inline struct record_frame *shim_frame(uint32_t frame) {
    return (struct record_frame *)shim.tables[RECORD_FRAMES].base + frame;
}

static inline struct record_function *shim_function(uint32_t function) {
    return (struct record_function *)shim.tables[RECORD_FUNCTIONS].base + function;
}

// Any thread, with or without the lock. What is lost after recording has been given up needs no reason.
static inline void shim_lose(enum record_loss reason) {
    if (shim.header && shim.generation != SHIM_GIVEN_UP)
        __atomic_fetch_add(&shim.header->lost[reason], 1, __ATOMIC_RELAXED);
}

// Around what a reader must not take for whole when the process ends in the midst of it. Not nested; with
// shim.lock held. (Stores are seen in the order of the code: x86-64.)
static inline void shim_begin_update(enum record_updating what) {
    __atomic_store_n(&shim.header->updating, (uint32_t)what, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void shim_end_update(void) {
    __atomic_store_n(&shim.header->updating, (uint32_t)RECORD_UPDATING_NOTHING, __ATOMIC_RELEASE);
}

#endif
