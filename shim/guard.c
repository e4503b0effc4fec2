// SPDX-License-Identifier: MIT
//
// Hooks that never end, and the end of recording.
//
// The guard holds the frame address of the hook that took it, and a part of the return address there, which
// stays in its place as long as that hook lives. So a hook that finds the guard taken, and another word in
// that place, or its own frame there, knows that the other one is gone. Nothing else tells that for certain:
// frames that lie further out may be on a stack of their own (alternate signal stacks, coroutines). As long
// as nothing has been put there, calls pass through.
//
// What a lost hook leaves behind depends on where it was. Outside of lock_begin and lock_end it has touched
// only what belongs to its thread, which is put in order or forgotten; one event may be missing: its block is
// not followed, or counted as alive though its free was under way. Inside, the books may be half changed, and
// a lock taken that nobody will give back: recording is given up.

#include "shim/guard.h"
#include "shim/clock.h"
#include "shim/journal.h"
#include "shim/stack.h"

#include <errno.h>
#include <limits.h>

static void guard_wake(struct lock *lock) {
    sys_futex(&lock->word, FUTEX_WAKE_PRIVATE, INT_MAX);
}

__attribute__((noinline, cold)) void guard_give_up(enum record_given_up why) {
    if (__atomic_exchange_n(&shim.generation, SHIM_GIVEN_UP, __ATOMIC_SEQ_CST) == SHIM_GIVEN_UP)
        return;
    struct record_header *header = shim.header;
    if (header) {
        header->given_up_ns = clock_monotonic() - header->start_monotonic_ns;
        __atomic_store_n(&header->given_up, (uint32_t)why, __ATOMIC_RELEASE);
    }
    journal_end_all();
    guard_wake(&shim.lock);
    guard_wake(&shim.arena.lock);
    guard_wake(&shim.live.side_lock);
    if (shim.journal_shared)
        guard_wake(&shim.journal_shared->lock);
}

// What belongs to the thread alone and may be half changed.
static void guard_mend(struct thread *thread) {
    thread->off_books = 0;
    thread->resized = 0;
    thread->lent = 0;
    thread->wrapping = 0;
    thread->lent_block = 0;
    thread->last_block = 0;
    if (!thread->until_sample)
        thread->until_sample = 1;
    __builtin_memset(thread->leaf_tags, 0, sizeof thread->leaf_tags);
    stack_forget(thread);
    journal_mend(thread);
}

__attribute__((noinline, cold)) bool guard_bury(struct thread *thread, enum record_given_up why) {
    const uint32_t generation = __atomic_load_n(&shim.generation, __ATOMIC_ACQUIRE);
    if (generation == SHIM_GIVEN_UP)
        return false;
    if (generation == 0 && !shim.opening) {
        // It was lost with the memory of the parent, in whose hook this child was forked.
        lock_thread.held = 0;
        thread->busy = 0;
        return true;
    }
    if (shim.opening || lock_thread.held) {
        guard_give_up(why);
        return false;
    }
    thread->busy = guard_word(__builtin_frame_address(0), __builtin_return_address(0));
    shim_lose(RECORD_LOST_ABANDONED);
    if (thread->generation == generation) // else it had not begun yet
        guard_mend(thread);
    thread->busy = 0;
    return true;
}

__attribute__((noinline, cold)) bool guard_take_over(void) {
    struct thread *thread = &thread_self;
    // The hook's frame: all code here is compiled with frame pointers.
    const uintptr_t frame = *(const uintptr_t *)__builtin_frame_address(0);
    const uintptr_t taken = thread->busy & (((uintptr_t)1 << GUARD_FRAME_BITS) - 1);
    uintptr_t back;
    if (thread->lent || guard_gave_up())
        return false;
    if (frame != taken) {
        const long read = sys_read_word(taken + sizeof back, &back); // of a coroutine's stack, perhaps
        if (read == sizeof back ? back << GUARD_FRAME_BITS == (thread->busy ^ taken) : read != -EFAULT)
            return false; // it is all there, or looks so
    }
    return guard_bury(thread, RECORD_GAVE_UP_ABANDONED);
}
