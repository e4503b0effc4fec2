// SPDX-License-Identifier: MIT
// needs: shim/unwind.c shim/unwind_walk.c shim/unwind_row.c shim/unwind_rule.c
// needs: shim/unwind_cfi.c shim/unwind_expression.c shim/unwind_find.c shim/unwind_maps.c -ldl
// needs: tests/unit/unwind_double.c
//
// Capturing stacks: real ones against whole walks and the C library's backtrace, what must not be taken for
// unchanged, and damaged ones.

#include "shim/unwind_rule.h"
#include "tests/unit/unwind_double.h"

#include <alloca.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#define pick unwind_double_pick
#define fresh unwind_double_fresh
#define state unwind_double_state

// An address inside the caller.
__attribute__((noinline)) static uintptr_t return_address(void) {
    return (uintptr_t)__builtin_return_address(0);
}

static struct unwind_stack stack;
static uint64_t next_node, captures, reused;

// Each node stands for a path: kept here as the hash of its values.
static uint64_t *paths;
#define PATHS (4u << 20)

__attribute__((noinline)) static void check_capture(struct unwind_stack *of, const void *hook_frame) {
    unsigned unchanged = unwind_capture(of, hook_frame);
    assert_true(unchanged <= of->depth);
    uint64_t path = 0;
    for (unsigned i = 0; i < of->depth; i++) {
        path = (path ^ of->frames[i].value) * 0x9e3779b97f4a7c15u + 1;
        if (i < unchanged) {
            assert_in_range(of->frames[i].node, 1, PATHS);
            assert_int_equal(paths[of->frames[i].node], path);
        } else {
            assert_int_equal(of->frames[i].node, 0);
            of->frames[i].node = (uint32_t)(1 + next_node++ % (PATHS - 1));
            paths[of->frames[i].node] = path;
        }
    }
    captures++;
    reused += unchanged;
    // A stack with no past must give the same.
    static struct unwind_stack whole;
    unwind_stack_reset(&whole);
    assert_int_equal(unwind_capture(&whole, hook_frame), 0);
    assert_int_equal(whole.depth, of->depth);
    assert_int_equal(whole.loss, of->loss);
    for (unsigned i = 0; i < of->depth; i++) {
        assert_int_equal(whole.frames[i].slot, of->frames[i].slot);
        assert_int_equal(whole.frames[i].value, of->frames[i].value);
        assert_int_equal(whole.frames[i].flags & UNWIND_EXACT_PC, of->frames[i].flags & UNWIND_EXACT_PC);
    }
}

#define HOOK_DEPTH 4096

__attribute__((noinline)) static void hook(void) {
    check_capture(&stack, __builtin_frame_address(0));
    // And the C library's unwinder: its frames begin with ours.
    static void *theirs[HOOK_DEPTH];
    int count = backtrace(theirs, HOOK_DEPTH), start = 0;
    while (start < count && (uintptr_t)theirs[start] != stack.frames[stack.depth - 1].value)
        start++;
    if (stack.depth >= HOOK_DEPTH - 8)
        return;
    assert_int_equal(count - start, stack.depth);
    for (int i = start; i < count; i++)
        assert_int_equal((uintptr_t)theirs[i], stack.frames[stack.depth - 1 - (unsigned)(i - start)].value);
}

static void wander(unsigned depth);

__attribute__((noinline)) static void wander_alloca(unsigned depth) {
    volatile char *some = alloca(1 + pick(200));
    some[0] = (char)depth;
    hook();
    wander(depth);
    some = alloca(1 + pick(200));
    some[0] = (char)depth;
    hook();
    wander(depth);
}

__attribute__((noinline)) static void wander_aligned(unsigned depth) {
    _Alignas(64) volatile char local[64];
    local[0] = (char)depth;
    hook();
    wander(depth);
    hook();
    local[1] = local[0];
}

__attribute__((noinline)) static void wander_array(unsigned depth) {
    volatile char array[1 + pick(100)];
    *array = 1;
    __asm__ volatile("" : : "r"(array));
    for (unsigned i = pick(3); i; i--) {
        hook();
        wander(depth);
    }
    array[0] = 2;
}

__attribute__((noinline)) static void wander_left(unsigned depth) {
    wander(depth);
    hook();
}

__attribute__((noinline)) static void wander_right(unsigned depth) {
    hook();
    wander(depth);
    __asm__ volatile("");
}

static void wander(unsigned depth) {
    static void (*const ways[])(unsigned) = {wander_alloca, wander_aligned, wander_array, wander_left,
                                             wander_right};
    if (depth)
        ways[pick(5)](depth - 1);
}

static void opens_paths(void) {
    if (!paths)
        paths = mmap(NULL, PATHS * sizeof *paths, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(paths, MAP_FAILED);
}

static void same_as_whole_walks(void **unused) {
    (void)unused;
    opens_paths();
    unwind_stack_release(&stack);
    captures = reused = 0;
    for (unsigned round = 0; round < 300; round++)
        wander(1 + pick(14));
    assert_int_equal(stack.loss, 0);
    assert_true(stack.direct);
    assert_true(captures > 2000);
    assert_true(reused > captures * 5);
    unwind_stack_release(&stack);
    assert_int_equal(stack.capacity, 0);
}

// The inner frames are the same, at the same addresses; what called them is not.
__attribute__((noinline)) static unsigned inner(void) {
    unsigned unchanged = unwind_capture(&stack, __builtin_frame_address(0));
    for (unsigned i = unchanged; i < stack.depth; i++)
        stack.frames[i].node = 1;
    return unchanged;
}

__attribute__((noinline)) static unsigned middle(unsigned depth) {
    unsigned result = depth ? middle(depth - 1) : inner();
    __asm__ volatile("");
    return result;
}

__attribute__((noinline)) static unsigned outer(unsigned depth) {
    unsigned result = middle(depth);
    __asm__ volatile("");
    return result;
}

__attribute__((noinline)) static unsigned twice(unsigned depth, bool second) {
    unsigned result;
    if (second) {
        __asm__ volatile("nop");
        result = outer(depth);
        __asm__ volatile("nop");
    } else {
        __asm__ volatile("nop; nop");
        result = outer(depth);
        __asm__ volatile("nop; nop");
    }
    return result;
}

static void notices_changes_far_out(void **unused) {
    (void)unused;
    unwind_stack_release(&stack);
    for (unsigned depth = 0; depth < 6000; depth = depth * 3 + 1)
        for (volatile unsigned i = 0; i < 8; i++) {
            unsigned unchanged = twice(depth, i / 2 % 2);
            if (i % 2)
                assert_int_equal(unchanged, stack.depth);
            else if (i > 0) // what is unchanged ends before the frame of `twice`, whose call site is another
                assert_int_equal(unchanged, stack.depth - depth - 3);
        }
}

#define WORDS 2048u

// Memory for made-up stacks, with nothing readable around it.
static uintptr_t *map_words(void) {
    uint8_t *memory = mmap(NULL, WORDS * 8 + 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + 4096, WORDS * 8, PROT_READ | PROT_WRITE), 0);
    return (uintptr_t *)(void *)(memory + 4096);
}

// A frame pointer that has changed while all return addresses are as they were: the frames that are found
// through it are elsewhere.
__attribute__((noinline)) static void notices_a_changed_fp(void **unused) {
    (void)unused;
    // A made-up stack: a function with a frame pointer (ours) that was called by itself.
    volatile char *some = alloca(1 + pick(8)); // makes it have a frame pointer
    *some = 0;
    uintptr_t address = return_address(); // inside this function
    struct unwind_rules rules = unwind_rule_open(&state, 0);
    uint64_t rule = unwind_rule_find(&rules, address);
    if (unwind_rule_cfa(rule) != UNWIND_CFA_FP) {
        skip(); // this compiler does without
        return;
    }
    int64_t offset = unwind_rule_cfa_offset(rule) / 8, saved = unwind_rule_fp_offset(rule) / 8;
    uintptr_t *made = map_words();
    struct unwind_stack on = {.home_low = (uintptr_t)made, .home_size = WORDS * 8};
    // sp at made[2]; fp points to made[10], where the caller's is: made[20].
    uintptr_t fp = (uintptr_t)&made[10];
    made[10 + offset + saved] = (uintptr_t)&made[20];
    made[10 + offset - 1] = address;
    made[20 + offset - 1] = address;
    made[20 + offset + saved] = (uintptr_t)&made[30];
    made[25 + offset - 1] = address;
    made[25 + offset + saved] = (uintptr_t)&made[40];
    made[1] = address;
    assert_int_equal(unwind_capture_at(&on, address, (uintptr_t)&made[2], fp), 0);
    assert_int_equal(on.depth, 3); // the one after would have return address 0
    assert_int_equal(on.loss, 0);
    assert_int_equal(on.frames[0].slot, (uintptr_t)&made[20 + offset - 1]);
    assert_int_equal(unwind_capture_at(&on, address, (uintptr_t)&made[2], fp), 3);
    // The saved frame pointer changes; no return address does.
    made[10 + offset + saved] = (uintptr_t)&made[25];
    unwind_capture_at(&on, address, (uintptr_t)&made[2], fp);
    assert_int_equal(on.depth, 3);
    assert_int_equal(on.frames[0].slot, (uintptr_t)&made[25 + offset - 1]);
    // The register itself changes.
    made[12 + offset - 1] = address;
    made[12 + offset + saved] = (uintptr_t)&made[25];
    unwind_capture_at(&on, address, (uintptr_t)&made[2], (uintptr_t)&made[12]);
    assert_int_equal(on.frames[1].slot, (uintptr_t)&made[12 + offset - 1]);
    // Where the stack ended before, it goes on now.
    made[40 + offset - 1] = address;
    unsigned before = on.depth;
    unwind_capture_at(&on, address, (uintptr_t)&made[2], (uintptr_t)&made[12]);
    assert_int_equal(on.depth, before + 1);
    munmap(made, WORDS * 8);
    unwind_stack_release(&on);
}

// Frame pointers that lead back, or nowhere.
__attribute__((noinline)) static void goes_only_outward(void **unused) {
    (void)unused;
    volatile char *some = alloca(1 + pick(8)); // makes it have a frame pointer
    *some = 0;
    uintptr_t address = return_address(), *words = map_words();
    struct unwind_rules rules = unwind_rule_open(&state, 0);
    uint64_t rule = unwind_rule_find(&rules, address);
    if (unwind_rule_cfa(rule) != UNWIND_CFA_FP) {
        skip(); // this compiler does without
        return;
    }
    int64_t offset = unwind_rule_cfa_offset(rule) / 8, saved = unwind_rule_fp_offset(rule) / 8;
    struct unwind_stack on = {.home_low = (uintptr_t)words, .home_size = WORDS * 8};
    const uintptr_t wrong[] = {
        (uintptr_t)&words[30], (uintptr_t)&words[20],   (uintptr_t)&words[40] + 1, 0, 8,
        UINTPTR_MAX - 7,       (uintptr_t)&words[WORDS]};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        words[20 + offset - 1] = address;
        words[20 + offset + saved] = (uintptr_t)&words[30];
        words[30 + offset - 1] = address;
        words[30 + offset + saved] = wrong[i];
        unwind_capture_at(&on, address, (uintptr_t)&words[10], (uintptr_t)&words[20]);
        assert_int_equal(on.depth, 3);
        assert_int_equal(on.loss, UNWIND_LOST);
    }
    munmap(words, WORDS * 8);
    unwind_stack_release(&on);
}

static volatile bool in_handler;

static void on_signal(int number) {
    (void)number;
    in_handler = true;
    hook();
    wander(2);
    hook();
}

__attribute__((noinline)) static void raise_below(unsigned depth) {
    hook();
    if (depth)
        raise_below(depth - 1);
    else
        raise(SIGUSR1);
    hook();
}

static void sees_through_signals(void **unused) {
    (void)unused;
    opens_paths();
    unwind_stack_release(&stack);
    static char other[256 << 10];
    char inside[128 << 10]; // handlers run further out on the same stack than what they interrupt
    for (unsigned alternate = 0; alternate < 3; alternate++) {
        stack_t on = {.ss_sp = alternate == 1 ? other : inside,
                      .ss_size = alternate == 1 ? sizeof other : sizeof inside,
                      .ss_flags = alternate ? 0 : SS_DISABLE};
        assert_int_equal(sigaltstack(&on, NULL), 0);
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
        assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
        in_handler = false;
        for (unsigned i = 0; i < 10; i++)
            raise_below(i % 3);
        assert_true(in_handler);
        assert_int_equal(stack.loss, 0);
    }
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    signal(SIGUSR1, SIG_DFL);
}

static ucontext_t here, there;
static uint8_t *small_stack;
#define SMALL (64u << 10)

// Below a coroutine's first frame is what makecontext put there.
static void on_coroutine(void) {
    for (unsigned i = 0; i < 3; i++) {
        hook();
        assert_false(stack.direct); // nothing of it is read without asking
        wander(4);
        swapcontext(&there, &here);
    }
    swapcontext(&there, &here);
}

static void follows_coroutines(void **unused) {
    (void)unused;
    opens_paths();
    unwind_stack_release(&stack);
    small_stack = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(small_stack, MAP_FAILED);
    getcontext(&there);
    there.uc_stack.ss_sp = small_stack;
    there.uc_stack.ss_size = SMALL;
    there.uc_link = NULL;
    makecontext(&there, on_coroutine, 0);
    hook();
    uintptr_t home = stack.home_low;
    assert_true(stack.direct);
    for (unsigned i = 0; i < 3; i++) {
        swapcontext(&here, &there);
        assert_int_equal(stack.loss, 0);
        hook();
        assert_true(stack.direct);
        assert_int_equal(stack.home_low, home);
    }
    munmap(small_stack, SMALL);
}

// A stack whose outermost frame has no caller: its return address would lie beyond the mapping's end.
__attribute__((noinline)) static void capture_made_up(uint8_t *top, struct unwind_stack *on,
                                                      uintptr_t address) {
    for (unsigned words = 0; words < 64; words++) {
        unwind_stack_reset(on);
        uintptr_t sp = (uintptr_t)top - 8 * words;
        for (unsigned i = 1; i <= words; i++)
            ((uintptr_t *)(void *)top)[-(int)i] = address;
        unwind_capture_at(on, address, sp, sp + 8 * (words / 2));
        assert_true(on->depth >= 1);
        assert_true(on->loss & UNWIND_LOST);
        // Anything may be in the registers.
        unwind_capture_at(on, address, sp, UINTPTR_MAX - 7);
        unwind_capture_at(on, address, sp, 0);
        unwind_capture_at(on, UINTPTR_MAX, sp, sp);
        unwind_capture_at(on, 0, sp, sp);
    }
}

static void never_reads_beyond_a_stack(void **unused) {
    (void)unused;
    uint8_t *memory = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + 2 * 4096, 4096, PROT_NONE), 0);
    struct unwind_stack on = {0};
    capture_made_up(memory + 2 * 4096, &on, return_address());
    assert_int_equal(on.home_size, 0);
    // The thread's own stack begins behind the unreadable page: that makes this one no part of it.
    on.home_low = (uintptr_t)memory + 3 * 4096;
    on.home_size = 4096;
    uintptr_t address = return_address();
    for (unsigned words = 0; words < 3; words++)
        unwind_capture_at(&on, address, (uintptr_t)memory + 2 * 4096 - 8 * words,
                          (uintptr_t)memory + 2 * 4096);
    assert_int_equal(on.home_low, (uintptr_t)memory + 3 * 4096);
    munmap(memory, 4 * 4096);
    unwind_stack_release(&on);
}

static void never_faults_on_garbage(void **unused) {
    (void)unused;
    uintptr_t *words = map_words();
    struct unwind_stack on = {0};
    uintptr_t address = return_address(), plt = (uintptr_t)hook + 1;
    for (unsigned round = 0; round < 30000; round++) {
        unsigned at = 2 + pick(1500);
        for (unsigned i = at - 2; i < at + 200; i++) {
            static const uintptr_t odd[] = {0, 1, 8, 0x7fffffffffff, UINTPTR_MAX, (uintptr_t)1 << 47};
            switch (pick(6)) {
            case 0:
                words[i] = (uintptr_t)&words[pick(WORDS)] + (pick(20) == 0);
                break;
            case 1:
                words[i] = address;
                break;
            case 2:
                words[i] = (uintptr_t)qsort + pick(3000);
                break;
            case 3:
                words[i] = odd[pick(6)];
                break;
            case 4:
                words[i] = plt + pick(100000) - 50000;
                break;
            }
        }
        words[at - 1] = address;
        // On a stack of one's own, and as if it were the thread's.
        if (round % 2 == 0) {
            on.home_low = 0;
            on.home_size = 0;
        } else {
            on.home_low = (uintptr_t)words;
            on.home_size = WORDS * 8;
        }
        unwind_capture_at(&on, round % 3 ? address : (uintptr_t)qsort + pick(3000), (uintptr_t)&words[at],
                          (uintptr_t)&words[at + pick(20)]);
        assert_true(on.depth >= 1);
    }
    munmap(words, WORDS * 8);
    unwind_stack_release(&on);
}

__attribute__((noinline)) static unsigned descend(unsigned depth) {
    unsigned result = depth ? descend(depth - 1) : inner();
    __asm__ volatile("");
    return result + 1;
}

static void grows(void **unused) {
    (void)unused;
    opens_paths();
    unwind_stack_release(&stack);
    int64_t before = unwind_double_live;
    for (unsigned depth = 1; depth <= 20000; depth = depth * 5 / 3 + 1) {
        descend(depth);
        assert_true(stack.depth > depth);
        assert_int_equal(stack.loss, 0);
        assert_true(stack.capacity >= stack.depth);
        unsigned now = stack.depth;
        descend(depth);
        assert_int_equal(stack.depth, now);
    }
    unwind_stack_release(&stack);
    assert_int_equal(unwind_double_live, before);
}

// Whichever block is not to be had: fewer frames, no crash, and it says so.
static void does_without_memory(void **unused) {
    (void)unused;
    for (unsigned blocks = 0; blocks < 8; blocks++) {
        unwind_stack_release(&stack);
        state = (struct unwind_state){0};
        unwind_init(&state);
        unwind_double_blocks = blocks;
        for (unsigned depth = 1; depth < 2000; depth *= 3) {
            descend(depth);
            if (stack.capacity == 0) {
                assert_int_equal(stack.depth, 0);
                assert_int_equal(stack.loss, UNWIND_DEEP);
            } else if (stack.depth < depth) {
                assert_int_equal(stack.loss, UNWIND_DEEP);
                assert_true(stack.depth > stack.capacity / 3);
            } else {
                assert_int_equal(stack.loss, 0);
            }
        }
        // It recovers.
        unwind_double_blocks = UINT32_MAX;
        unwind_stack_reset(&stack);
        descend(500);
        assert_true(stack.depth > 500);
        assert_int_equal(stack.loss, 0);
    }
    unwind_stack_release(&stack);
}

static void forgets(void **unused) {
    (void)unused;
    unwind_stack_release(&stack);
    for (volatile unsigned i = 0; i < 3; i++) {
        unsigned unchanged = middle(3);
        if (i == 1)
            assert_int_equal(unchanged, stack.depth);
        if (i != 1)
            assert_int_equal(unchanged, 0);
        if (i == 1)
            unwind_forget(0, 0);
    }
    unwind_stack_release(&stack);
}

static __thread struct unwind_stack mine;

__attribute__((noinline)) static void thread_hook(void) {
    struct unwind_stack whole = {0};
    const void *frame = __builtin_frame_address(0);
    unwind_capture(&mine, frame);
    unwind_capture(&whole, frame);
    if (mine.depth != whole.depth || mine.loss || whole.loss || !mine.direct)
        abort();
    for (unsigned i = 0; i < mine.depth; i++)
        if (mine.frames[i].value != whole.frames[i].value || mine.frames[i].slot != whole.frames[i].slot)
            abort();
    unwind_stack_release(&whole);
}

__attribute__((noinline)) static void thread_wander(unsigned depth, unsigned way) {
    thread_hook();
    if (depth == 0)
        return;
    if (way & 1) {
        volatile char some[1 + (way & 127)];
        some[0] = 1;
        __asm__ volatile("" : : "r"(some));
        thread_wander(depth - 1, way >> 1);
        some[0] = 2;
    } else {
        thread_wander(depth - 1, way >> 1);
    }
    thread_hook();
}

static void *thread_run(void *argument) {
    unsigned way = (unsigned)(uintptr_t)argument;
    for (unsigned i = 0; i < 300; i++) {
        way = way * 1103515245u + 12345u;
        thread_wander(1 + way % 20, way);
        if (i % 50 == 0)
            unwind_forget(0, 0);
    }
    unwind_stack_release(&mine);
    return NULL;
}

static void threads_share_rules(void **unused) {
    (void)unused;
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread_run, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void leaves_errno_alone(void **unused) {
    (void)unused;
    unwind_stack_release(&stack);
    errno = 4711;
    descend(300);
    assert_int_equal(errno, 4711);
    unwind_forget(0, 0);
    descend(3);
    assert_int_equal(errno, 4711);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(same_as_whole_walks, fresh),
        cmocka_unit_test_setup(notices_changes_far_out, fresh),
        cmocka_unit_test_setup(notices_a_changed_fp, fresh),
        cmocka_unit_test_setup(goes_only_outward, fresh),
        cmocka_unit_test_setup(sees_through_signals, fresh),
        cmocka_unit_test_setup(follows_coroutines, fresh),
        cmocka_unit_test_setup(never_reads_beyond_a_stack, fresh),
        cmocka_unit_test_setup(never_faults_on_garbage, fresh),
        cmocka_unit_test_setup(grows, fresh),
        cmocka_unit_test_setup(does_without_memory, fresh),
        cmocka_unit_test_setup(forgets, fresh),
        cmocka_unit_test_setup(threads_share_rules, fresh),
        cmocka_unit_test_setup(leaves_errno_alone, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
