// SPDX-License-Identifier: MIT
//
// Life of the shim in a process.
//
// The first hook that runs starts everything; that is usually in the dynamic loader, long before any
// constructor. A forked child starts again from nothing (shim.h). A child of vfork shares our memory:
// whatever would change the recording compares pids first.

#include "shim/process.h"
#include "shim/arena.h"
#include "shim/clock.h"
#include "shim/config.h"
#include "shim/estimate.h"
#include "shim/guard.h"
#include "shim/journal.h"
#include "shim/live.h"
#include "shim/place.h"
#include "shim/python/elf.h"
#include "shim/real.h"
#include "shim/recording.h"
#include "shim/sampling.h"
#include "shim/scope.h"
#include "shim/stack.h"
#include "shim/track.h"
#include "shim/tree.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

// Alone on its pages, because the kernel wipes whole pages.
union process_state {
    struct shim shim;
    char pages[(sizeof(struct shim) + 4095) / 4096 * 4096];
};
_Static_assert(offsetof(union process_state, shim) == 0, "`shim` is an alias of the union");
union process_state process_state __attribute__((aligned(4096)));
extern struct shim shim __attribute__((alias("process_state")));

uint32_t shim_doubts = 1;
__thread struct thread thread_self __attribute__((tls_model("initial-exec"))) = {.generation = UINT32_MAX};

// What must survive fork; written once per process image.
static bool process_tried; // config has been read
static bool process_off;   // nothing is recorded, now or later, in this image and its forks
static bool process_has_malloc;
static pthread_key_t process_key;
static bool process_key_made;
static uint32_t process_image_pid;  // of the process that loaded this image
static uint32_t process_generation; // the last one, of a parent if there was none here

// The first module is the program itself: whether it has a malloc, which then comes before ours.
static int process_first_module(struct dl_phdr_info *info, size_t size, void *has_malloc) {
    struct elf_module module;
    (void)size;
    *(bool *)has_malloc = elf_open(&module, info) && elf_symbol(&module, "malloc");
    return 1;
}

static bool process_open(void) {
    // A forked thread keeps its thread_self, and what was noted in its parents' generations: no number comes
    // twice.
    const uint32_t generation = ++process_generation;
    if (sys_is_confined()) {
        shim.room_error = EPERM;
        recording_missing();
        return false;
    }
    shim.pid = (uint32_t)sys_getpid();
    if (!config.follow && config.root && shim.pid != config.root)
        return false;
    if (sys_failed(sys_madvise(&process_state, sizeof process_state, MADV_WIPEONFORK)))
        return false; // kernel before 4.14: a child would write into its parent's file
    if (!recording_open()) {
        recording_missing();
        return false;
    }
    unwind_init(&shim.unwind);
    python_init(&shim.python);
    if (config.objects != RECORD_OBJECTS_OFF)
        python_objects_start(config.objects == RECORD_OBJECTS_SAMPLED, config.sampling_seed);
    bool sampled = config.objects == RECORD_OBJECTS_SAMPLED;
    if (!live_open() || !place_open() || !tree_open() || !journal_init() || (sampled && !estimate_open())) {
        recording_abandon();
        recording_missing();
        return false;
    }
    recording_ready();
    if (scope_of_contexts)
        shim.look_twice = SHIM_CONTEXTS; // a child goes on in the scopes it was forked in
    if (stack_met_greenlets)
        shim.look_twice |= SHIM_GREENLETS; // and with the greenlets
    // In a forked child the loader's lock may be held by a thread that is not there any more.
    if (shim.pid == process_image_pid)
        dl_iterate_phdr(process_first_module, &process_has_malloc);
    if (process_has_malloc)
        shim.header->flags |= RECORD_FLAG_OWN_MALLOC;
    if (config.frees)
        shim.header->flags |= RECORD_FLAG_FREES;
    if (shim.pid != process_image_pid)
        shim.header->flags |= RECORD_FLAG_FORKED;
    shim.opening = false;
    __atomic_store_n(&shim.generation, generation, __ATOMIC_RELEASE);
    return true;
}

// What is known of an interpreter by now. A refusal may come later than the version (selftest.h), or without
// one (PyPy).
static void process_note_python(void) {
    struct record_header *header = shim.header;
    const char *version = header->python_version ? NULL : python_version();
    const char *note = header->python_note ? NULL : python_note();
    if (!version && !note)
        return;
    enum lock_got locked = lock_take(&shim.lock);
    if (locked == LOCK_REFUSED)
        return;
    if (version && !header->python_version) {
        header->python_version = recording_string(version, __builtin_strlen(version));
        if (!note) {
            header->flags |= RECORD_FLAG_PYTHON | RECORD_FLAG_FREES;
            if (config.native)
                header->flags |= RECORD_FLAG_NATIVE_IN_PYTHON;
            header->objects = config.objects;
            if (config.objects == RECORD_OBJECTS_SAMPLED)
                header->sampling_bytes = SAMPLING_MEAN;
        }
    }
    if (note && !header->python_note) {
        header->python_note = recording_string(note, __builtin_strlen(note));
        header->flags |= RECORD_FLAG_PYTHON_UNSUPPORTED;
    }
    lock_drop(&shim.lock, locked);
}

void process_poll(void) {
    __atomic_store_n(&shim.modules_new, false, __ATOMIC_RELAXED);
    lock_begin();
    // In a forked child the loader's lock may be held by a thread that is not there any more. What the parent
    // knew of an interpreter is still known, and one that comes later is met in calls.
    python_poll(shim.pid == process_image_pid ? dl_iterate_phdr : place_each_interpreter);
    lock_end();
    process_note_python();
}

// Where the kernel must not be asked for it, another one: all that is lost is that a holder of a lock is
// known to be at work.
static uint32_t process_thread_number(void) {
    const int tid = sys_gettid();
    return tid > 0 ? (uint32_t)tid : (uint32_t)((uintptr_t)&lock_thread >> 4);
}

__attribute__((noinline, cold)) bool process_enter(void) {
    struct thread *thread = &thread_self;
    if (process_off || !real.resolved || guard_gave_up())
        return false;
    // In a forked child, too, which may have been forked in a hook.
    lock_thread = (struct lock_thread){.tid = process_thread_number()};
    if (!shim.generation)
        shim.opening = true;
    if (!process_tried) {
        process_tried = true;
        process_image_pid = (uint32_t)sys_getpid();
        config_read();
        if (!config.active) {
            process_off = true;
            return false;
        }
    }
    int saved_errno = errno;
    if (!shim.generation && !process_open()) {
        process_off = true;
        errno = saved_errno;
        return false;
    }
    const uint32_t generation = shim.generation;
    thread->last_block = 0;
    thread->late_head = thread->late_tail = 0;
    thread->until_sample = 512; // not the first events: they are as slow as no other
    thread->until_object = 0;
    thread->object_random = 0; // a forked child draws its own
    thread->stack = NULL;
    thread->journal = shim.journal_shared;
    __builtin_memset(thread->leaf_tags, 0, sizeof thread->leaf_tags);
    if (!thread->ending) {
        // Before any lock is taken, so that it is known when the thread dies with one. Allocates when the
        // process has many keys; the guard is held.
        if (process_key_made)
            pthread_setspecific(process_key, thread);
        stack_open(thread);
        journal_open(thread);
    }
    if (lock_needed())
        __atomic_fetch_or(&shim.header->flags, RECORD_FLAG_THREADS, __ATOMIC_RELAXED);
    thread->generation = generation; // which is not the present one if recording has been given up
    process_poll();
    errno = saved_errno;
    return true;
}

// The thread's destructors run in any order and may still allocate: from now on it has no stack memory of its
// own.
static void process_thread_ends(void *value) {
    struct thread *thread = value;
    thread->ending = 1;
    // Its frames are gone: it was cancelled in a hook, perhaps in its first.
    if (thread->busy && !guard_bury(thread, RECORD_GAVE_UP_DIED))
        return;
    if (thread->generation != shim.generation)
        return;
    thread->busy = guard_word(__builtin_frame_address(0), __builtin_return_address(0));
    enum lock_got locked = lock_take(&shim.lock);
    if (locked != LOCK_REFUSED)
        scope_close_all(&thread->scopes);
    lock_drop(&shim.lock, locked);
    stack_close(thread);
    journal_close(thread);
    thread->busy = 0;
}

// Makes the child's recording at once, so that a child that allocates nothing is listed as well.
static void process_forked(void) {
    struct thread *thread = guard_enter();
    if (thread)
        guard_leave(thread);
}

// Whether this is a child that shares our memory (of vfork), not the process that the recording is about, or
// one must not ask. It may have no thread-local memory: asked before the guard is.
static bool process_is_another(void) {
    return shim.header && shim.pid != (uint32_t)sys_getpid();
}

// With the guard held. The last words of this image.
static void process_last(enum record_end end, int status) {
    process_note_python();
    if (python_objects_replaced())
        shim.header->lost[RECORD_LOST_OBJECTS] = 1;
    track_tick();
    const struct journal_still still = journal_keep_still();
    recording_end(end, status);
    journal_go_on(still);
}

bool process_confined(bool filtered) {
    if (process_is_another())
        return false;
    struct thread *thread = guard_enter();
    if (!thread)
        return false;
    if (filtered)
        arena_stock();
    enum lock_got locked = lock_take(&shim.lock);
    if (locked != LOCK_REFUSED && filtered) {
        recording_stock();
        journal_fence_all();
    } else if (locked != LOCK_REFUSED) {
        recording_map_ahead();
    }
    lock_drop(&shim.lock, locked);
    if (filtered)
        __atomic_store_n(&sys_confined, true, __ATOMIC_RELAXED);
    guard_leave(thread);
    return filtered;
}

void process_unconfined(void) {
    __atomic_store_n(&sys_confined, false, __ATOMIC_RELAXED);
    struct thread *thread = guard_enter();
    if (!thread)
        return;
    enum lock_got locked = lock_take(&shim.lock);
    if (locked != LOCK_REFUSED)
        recording_unstock();
    lock_drop(&shim.lock, locked);
    guard_leave(thread);
}

void process_exits(int status) {
    if (process_is_another())
        return;
    struct thread *thread = guard_enter();
    if (!thread) {
        // The books are closed, but what became of the process is known.
        if (guard_gave_up() && shim.header)
            recording_end(RECORD_EXITED, status);
        return;
    }
    process_last(RECORD_EXITED, status);
    guard_leave(thread);
}

static void process_at_exit(int status, void *unused) {
    (void)unused;
    process_exits(status);
}

bool process_replaced(void) {
    if (process_is_another())
        return false;
    struct thread *thread = guard_enter();
    if (thread) {
        process_last(RECORD_REPLACED, 0);
        guard_leave(thread);
        return true;
    }
    if (!guard_gave_up() || !shim.header)
        return false;
    recording_end(RECORD_REPLACED, 0);
    return true;
}

void process_not_replaced(void) {
    recording_go_on();
}

void process_reaped(int pid, int status) {
    if (pid <= 0 || !(WIFEXITED(status) || WIFSIGNALED(status)) || process_is_another())
        return;
    struct thread *thread = guard_enter();
    if (!thread)
        return;
    struct record_reaped reaped = {.pid = (uint32_t)pid, .status = status};
    reaped.time_ns = clock_monotonic() - shim.header->start_monotonic_ns;
    enum lock_got locked = lock_take(&shim.lock);
    if (locked != LOCK_REFUSED)
        recording_append(RECORD_REAPED, &reaped);
    lock_drop(&shim.lock, locked);
    guard_leave(thread);
}

// Variables that the new image needs, in this order.
enum {
    PROCESS_PRELOAD,
    PROCESS_OUTPUT,
    PROCESS_SHIM,
    PROCESS_OBJECTS,
    PROCESS_NATIVE,
    PROCESS_FREES,
    PROCESS_MAX_SIZE,
    PROCESS_VARIABLES
};
static const char *const process_names[PROCESS_VARIABLES] = {
    "LD_PRELOAD=",      "PEAKLINE_OUTPUT=", "PEAKLINE_SHIM=",    "PEAKLINE_PYTHON_OBJECTS=",
    "PEAKLINE_NATIVE=", "PEAKLINE_FREES=",  "PEAKLINE_MAX_SIZE="};

// What the variable is to hold.
static const char *process_value(int which, char number[SYS_DECIMAL]) {
    static const char *const objects[] = {
        [RECORD_OBJECTS_OFF] = "off", [RECORD_OBJECTS_EXACT] = "exact", [RECORD_OBJECTS_SAMPLED] = "sampled"};
    switch (which) {
    case PROCESS_OUTPUT:
        return config.output;
    case PROCESS_OBJECTS:
        return objects[config.objects];
    case PROCESS_NATIVE:
        return config.native ? "1" : "0";
    case PROCESS_FREES:
        return config.frees ? "1" : "0";
    case PROCESS_MAX_SIZE:
        break;
    default:
        return config.shim;
    }
    sys_decimal(number, config.max_size);
    return number;
}

static bool process_starts(const char *text, const char *prefix) {
    return __builtin_strncmp(text, prefix, __builtin_strlen(prefix)) == 0;
}

static bool process_preloads(const char *list) {
    size_t length = __builtin_strlen(config.shim);
    for (const char *at = list; (at = __builtin_strstr(at, config.shim)) != NULL; at += length)
        if ((at == list || at[-1] == ':' || at[-1] == ' ') &&
            (!at[length] || at[length] == ':' || at[length] == ' '))
            return true;
    return false;
}

static void process_look(char *const envp[], bool found[PROCESS_VARIABLES]) {
    for (; envp && *envp; envp++)
        for (int i = 0; i < PROCESS_VARIABLES; i++)
            if (process_starts(*envp, process_names[i]))
                found[i] =
                    i != PROCESS_PRELOAD || process_preloads(*envp + __builtin_strlen(process_names[i]));
}

size_t process_environment_bytes(char *const envp[], bool with) {
    if (!config.active || !config.shim[0] || (with && (!config.follow || process_off)))
        return 0;
    bool found[PROCESS_VARIABLES] = {false};
    process_look(envp, found);
    if (with ? found[PROCESS_PRELOAD] && found[PROCESS_OUTPUT] : !found[PROCESS_PRELOAD])
        return 0;
    size_t entries = PROCESS_VARIABLES + 1, text = 0;
    for (; envp && *envp; envp++) {
        entries++;
        if (process_starts(*envp, process_names[PROCESS_PRELOAD]))
            text += __builtin_strlen(*envp);
    }
    char number[SYS_DECIMAL];
    for (int i = 0; i < PROCESS_VARIABLES; i++)
        text += __builtin_strlen(process_names[i]) + __builtin_strlen(process_value(i, number)) + 2;
    return entries * sizeof(char *) + text;
}

static char *process_put(char *text, const char *part) {
    size_t length = __builtin_strlen(part);
    __builtin_memcpy(text, part, length + 1);
    return text + length;
}

// The list without us, which is in it.
static void process_put_others(char *text, const char *list) {
    const size_t length = __builtin_strlen(config.shim);
    while (*list) {
        if (process_starts(list, config.shim) &&
            (!list[length] || list[length] == ':' || list[length] == ' '))
            list += length;
        while (*list && *list != ':' && *list != ' ')
            *text++ = *list++;
        while (*list == ':' || *list == ' ')
            *text++ = *list++;
    }
    *text = '\0';
}

static char **process_environment_without(char *const envp[], void *room) {
    size_t entries = 1, count = 0;
    while (envp[entries - 1])
        entries++;
    char **list = room, *text = (char *)(list + entries);
    for (char *const *entry = envp; *entry; entry++) {
        const char *value = *entry + __builtin_strlen(process_names[PROCESS_PRELOAD]);
        list[count++] = *entry;
        if (!process_starts(*entry, process_names[PROCESS_PRELOAD]) || !process_preloads(value))
            continue;
        list[count - 1] = text;
        process_put_others(process_put(text, process_names[PROCESS_PRELOAD]), value);
        text += __builtin_strlen(text) + 1;
    }
    list[count] = NULL;
    return list;
}

char **process_environment(char *const envp[], bool with, void *room) {
    if (!with)
        return process_environment_without(envp, room);
    bool found[PROCESS_VARIABLES] = {false};
    process_look(envp, found);
    size_t entries = PROCESS_VARIABLES + 1, count = 0;
    while (envp && envp[entries - PROCESS_VARIABLES - 1])
        entries++;
    char **list = room;
    char *text = (char *)(list + entries);
    const char *preload = "";
    for (char *const *entry = envp; entry && *entry; entry++) {
        if (!found[PROCESS_PRELOAD] && process_starts(*entry, process_names[PROCESS_PRELOAD]))
            preload = *entry + __builtin_strlen(process_names[PROCESS_PRELOAD]);
        else
            list[count++] = *entry;
    }
    for (int i = 0; i < PROCESS_VARIABLES; i++) {
        if (found[i])
            continue;
        list[count++] = text;
        text = process_put(text, process_names[i]);
        char number[SYS_DECIMAL];
        text = process_put(text, process_value(i, number));
        if (i == PROCESS_PRELOAD && *preload) {
            text = process_put(text, ":");
            text = process_put(text, preload);
        }
        text++; // its NUL
    }
    list[count] = NULL;
    return list;
}

void process_unloaded(void) {
    enum lock_got locked = lock_take(&shim.lock);
    if (locked != LOCK_REFUSED)
        place_unloaded();
    lock_drop(&shim.lock, locked);
}

__attribute__((constructor)) static void process_constructed(void) {
    if (!real_resolve())
        return;
    process_key_made = pthread_key_create(&process_key, process_thread_ends) == 0;
    pthread_atfork(NULL, NULL, process_forked);
    on_exit(process_at_exit, NULL);
    struct thread *thread = guard_enter();
    if (!thread)
        return;
    // The first hooks may have run before there was a key.
    if (process_key_made)
        pthread_setspecific(process_key, thread);
    guard_leave(thread);
}
