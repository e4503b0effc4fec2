// SPDX-License-Identifier: MIT
//
// What programs may ask the shim for: scopes, marks, a pause, the tables of some functions. peakline.h is the
// C side of it, the Python package the other; both find these functions by name and do without them where
// there is no shim.
//
// Every function may be called in any process and thread, recorded or not, and by a signal handler, where it
// may do nothing.

#include "shim/scope.h"
#include "shim/clock.h"
#include "shim/guard.h"
#include "shim/journal.h"
#include "shim/place.h"
#include "shim/recording.h"
#include "shim/stack.h"
#include "shim/timeline.h"

#include <string.h>

#define SCOPE_EXPORT __attribute__((visibility("default")))

#define SCOPE_TEXT_MOST 4096 // bytes of a mark's name

SCOPE_EXPORT scope_handle peakline_shim_begin(const char *name);
SCOPE_EXPORT void peakline_shim_end(void);
SCOPE_EXPORT void peakline_shim_leave(scope_handle scope);
SCOPE_EXPORT void peakline_shim_mark(const char *name);
SCOPE_EXPORT void peakline_shim_pause(void);
SCOPE_EXPORT void peakline_shim_resume(void);
SCOPE_EXPORT void peakline_shim_aside(void);
SCOPE_EXPORT void peakline_shim_open_frame(const char *name, unsigned up, scope_handle *scope);
SCOPE_EXPORT scope_handle peakline_shim_enter_code(const char *name, const void *code);
SCOPE_EXPORT void peakline_shim_exit(scope_handle scope);
SCOPE_EXPORT uint32_t peakline_shim_follow(const void *variable, int64_t hash, const void *value);
SCOPE_EXPORT uint32_t peakline_shim_choose(const void *code);
SCOPE_EXPORT const char *peakline_shim_recording(void);
SCOPE_EXPORT void peakline_shim_source(const char *file, size_t file_length, const char *text, size_t length);

// A scope of a Python frame can be entered in one thread and met in another.
static void scope_changed(struct thread *thread, bool python) {
    if (python && lock_needed()) {
        __atomic_fetch_add(&shim.code_epoch, 1, __ATOMIC_RELEASE);
        shim_doubt();
    } else {
        stack_forget(thread);
    }
}

// With shim.lock.
static void scope_note_contexts(void) {
    if (scope_of_contexts)
        shim.look_twice |= SHIM_CONTEXTS;
    else
        shim.look_twice &= ~(uint32_t)SHIM_CONTEXTS;
}

// Where frames of Python cannot be read, `frame` is NULL, and the thread's scope it is.
static scope_handle scope_enter(struct thread *thread, const struct python_frame *frame, const void *context,
                                const char *name) {
    enum lock_got locked = lock_take(&shim.lock);
    if (locked == LOCK_REFUSED)
        return 0;
    scope_handle scope = frame ? scope_open_python(frame->frame, frame->code, context, name)
                               : scope_open(&thread->scopes, name);
    scope_note_contexts();
    lock_drop(&shim.lock, locked);
    if (!scope)
        shim_lose(RECORD_LOST_TABLE_FULL);
    scope_changed(thread, frame);
    return scope;
}

static void scope_exit(scope_handle scope, bool python) {
    struct thread *thread = guard_enter();
    if (!thread)
        return;
    enum lock_got locked = lock_take(&shim.lock);
    bool closed = false;
    if (locked != LOCK_REFUSED) {
        closed = scope_close(&thread->scopes, scope, !python);
        scope_note_contexts();
    }
    lock_drop(&shim.lock, locked);
    if (closed)
        scope_changed(thread, python);
    guard_leave(thread);
}

scope_handle peakline_shim_begin(const char *name) {
    struct thread *thread = name ? guard_enter() : NULL;
    if (!thread)
        return 0;
    scope_handle scope = scope_enter(thread, NULL, NULL, name);
    guard_leave(thread);
    return scope;
}

void peakline_shim_leave(scope_handle scope) {
    if (scope)
        scope_exit(scope, false);
}

void peakline_shim_end(void) {
    if (thread_self.scopes)
        scope_exit(scope_innermost(thread_self.scopes), false);
}

// For the block of the Python function `up` calls outside of the one that calls this. The handle is put down
// before Python can raise anything.
void peakline_shim_open_frame(const char *name, unsigned up, scope_handle *scope) {
    struct thread *thread = name ? guard_enter() : NULL;
    if (!thread)
        return;
    struct python_frame frame;
    const void *context = NULL;
    bool found = stack_python_caller(thread, up, &frame, &context);
    *scope = scope_enter(thread, found ? &frame : NULL, context, name);
    guard_leave(thread);
}

// For all frames of a code object, which must never go away. 0: frames of Python cannot be read.
scope_handle peakline_shim_enter_code(const char *name, const void *code) {
    struct thread *thread = name && code ? guard_enter() : NULL;
    if (!thread)
        return 0;
    struct python_frame frame;
    const void *context;
    scope_handle scope = 0;
    if (stack_python_caller(thread, 0, &frame, &context)) {
        frame.frame = frame.code = code;
        scope = scope_enter(thread, &frame, NULL, name);
    }
    guard_leave(thread);
    return scope;
}

void peakline_shim_exit(scope_handle scope) {
    if (scope)
        scope_exit(scope, true);
}

// Contexts name their scopes in this variable (python.h). False: they cannot be read.
uint32_t peakline_shim_follow(const void *variable, int64_t hash, const void *value) {
    struct thread *thread = guard_enter();
    if (!thread)
        return false;
    bool found = stack_python_follow(thread, variable, hash, value);
    guard_leave(thread);
    return found;
}

void peakline_shim_mark(const char *name) {
    struct thread *thread = name ? guard_enter() : NULL;
    if (!thread)
        return;
    struct record_header *header = shim.header;
    struct place_text text = {name, strnlen(name, SCOPE_TEXT_MOST)};
    journal_flush(thread);
    enum lock_got locked = lock_take(&shim.lock);
    if (locked == LOCK_REFUSED) {
        guard_leave(thread);
        return;
    }
    if (header->marks < RECORD_MARKS_MAX &&
        recording_reserve_head(RECORD_MARKS_AT + header->marks * sizeof *shim.marks)) {
        uint64_t resident = timeline_resident() / 1024;
        shim.marks[header->marks] = (struct record_mark){
            .time_ns = clock_monotonic() - header->start_monotonic_ns,
            .heap_bytes = header->heap_live,
            .mapped_bytes = header->mapped_live,
            .name = place_name(text),
            .rss_kib = resident < UINT32_MAX ? (uint32_t)resident : UINT32_MAX,
        };
        __atomic_store_n(&header->marks, header->marks + 1, __ATOMIC_RELEASE);
    } else {
        header->marks_left_out++;
    }
    lock_drop(&shim.lock, locked);
    guard_leave(thread);
}

void peakline_shim_pause(void) {
    thread_self.paused++;
}

void peakline_shim_resume(void) {
    if (thread_self.paused & ~THREAD_ASIDE)
        thread_self.paused--;
}

// What the Python function that calls this takes from now on until it ends, however that comes about, is not
// the program's. Unlike a pause it cannot stay behind when a signal handler raises an exception.
void peakline_shim_aside(void) {
    struct thread *thread = guard_enter();
    if (!thread)
        return;
    struct python_frame frame;
    const void *context;
    if (!stack_is_paused(thread) && stack_python_caller(thread, 0, &frame, &context)) {
        thread->aside_frame = frame.frame;
        thread->aside_code = frame.code;
        thread->paused = THREAD_ASIDE;
    }
    guard_leave(thread);
}

// The number of this Python function in the recording, whose table is wanted; 0: there will be none.
uint32_t peakline_shim_choose(const void *code) {
    struct thread *thread = guard_enter();
    if (!thread)
        return 0;
    char text[SCOPE_TEXT_MOST];
    struct python_location location;
    uint32_t number = 0;
    if (python_locate_code(code, &location, text, sizeof text)) {
        enum lock_got locked = lock_take(&shim.lock);
        if (locked != LOCK_REFUSED)
            number =
                place_choose((struct place_text){location.file, location.file_length},
                             (struct place_text){location.name, location.name_length}, location.first_line);
        lock_drop(&shim.lock, locked);
    }
    guard_leave(thread);
    return number;
}

// The text of a file that is none on disk, if functions of it are recorded: for the report.
void peakline_shim_source(const char *file, size_t file_length, const char *text, size_t length) {
    struct thread *thread = guard_enter();
    if (!thread)
        return;
    enum lock_got locked = lock_take(&shim.lock);
    if (locked != LOCK_REFUSED)
        place_source((struct place_text){file, file_length}, (struct place_text){text, length});
    lock_drop(&shim.lock, locked);
    guard_leave(thread);
}

// The file of this process, up to date; NULL: it is not recorded.
const char *peakline_shim_recording(void) {
    struct thread *thread = guard_enter();
    if (!thread)
        return guard_gave_up() && shim.header ? shim.file_path : NULL; // what there is
    const struct journal_still still = journal_keep_still();
    if (still.locked != LOCK_REFUSED)
        recording_flush();
    journal_go_on(still);
    guard_leave(thread);
    return shim.file_path;
}
