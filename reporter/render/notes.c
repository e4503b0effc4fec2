// SPDX-License-Identifier: MIT
//
// What the reader of a process's numbers must know, in sentences. See render.h.

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "reporter/render/render.h"
#include "reporter/text.h"

#define MAPPED_MUCH (64 << 20) // bytes: more than the stacks of some threads

struct notes {
    char **list;
    size_t count, capacity;
};

// Takes ownership of the text.
static void add(struct notes *notes, char *text) {
    notes->list = memory_grow(notes->list, notes->count, &notes->capacity, sizeof *notes->list);
    notes->list[notes->count++] = text;
}

static void add_string(struct notes *notes, const char *text) {
    add(notes, memory_copy(text, strlen(text)));
}

static void add_flags(struct notes *notes, const struct model_process *process) {
    uint32_t flags = process->image->header.flags;
    if (process->python_note)
        add(notes, memory_print("%s.", process->python_note));
    else if (flags & RECORD_FLAG_PYTHON_UNSUPPORTED)
        add_string(notes, "Python's frames could not be read: native stacks are shown instead.");
    if (flags & RECORD_FLAG_NO_UNWINDER)
        add_string(notes,
                   "Native stacks could not be walked: only the call sites of the allocations are known.");
    if (flags & RECORD_FLAG_OWN_MALLOC)
        add_string(notes, "The program has a malloc of its own, linked into it: only what that passes on to "
                          "the C library's is "
                          "seen; what it takes by mmap is counted as mapped.");
    if (flags & RECORD_FLAG_FORKED)
        add_string(notes, "Started by fork: what it inherited from its parent is not counted here.");
    if (flags & RECORD_FLAG_DISK_SHORT)
        add_string(notes,
                   "The disk became full: what was recorded from then on stayed in memory, and was not "
                   "written any more; free some space, or name another place with `run -o`.");
    if (flags & RECORD_FLAG_PRIVATE)
        add_string(notes, "The file system had no shared mappings: the recording was written when the "
                          "process ended. One that is "
                          "killed leaves none there; `run -o` names another place.");
}

// Why a file could not be made, or grow, and what helps.
static const char *file_error(uint32_t error) {
    switch (error) {
    case RECORD_ROOM_LIMIT:
        return "files may not grow beyond a limit (RLIMIT_FSIZE); raise it with `ulimit -f`";
    case RECORD_ROOM_MOVED:
    case ENOENT:
    case ENOTDIR:
        return "the recording was not where it had been (moved, deleted, or the process has changed its "
               "root); leave it there, or name a place with `run -o` that stays in reach";
    case EACCES:
    case EPERM:
        return "the process was not allowed to open its file any more (it has changed its user, or what it "
               "may do); run it as that user, or without that restriction";
    case EMFILE:
    case ENFILE:
        return "the process had too many files open; raise the limit with `ulimit -n`";
    case ENOSPC:
    case EDQUOT:
        return "the disk is full; free some space, or name another place with `run -o`";
    default:
        return "the file could not be written; name another place with `run -o`";
    }
}

const char *notes_room(const struct record_header *header) {
    const uint64_t *lost = header->lost;
    if (lost[RECORD_LOST_NO_SPACE])
        return file_error(header->room_error);
    // That lines are forgotten is nothing unusual, but where there was less room than there should be.
    const bool scarce =
        header->flags & (RECORD_FLAG_SCARCE | RECORD_FLAG_SCARCE_DATA) || header->room_error == EPERM;
    if (!lost[RECORD_LOST_TABLE_FULL] && !header->estimates_missing && !(header->forgotten_lines && scarce))
        return NULL;
    if (header->room_error == EPERM) // all that there could be
        return file_error(EPERM);
    if (header->flags & RECORD_FLAG_SCARCE_DATA)
        return "writable memory is limited (RLIMIT_DATA), and it may take but little of that; raise the "
               "limit "
               "with `ulimit -d`";
    return header->flags & RECORD_FLAG_SCARCE ? "address space is limited (RLIMIT_AS), and it may take but "
                                                "little of that; raise the limit with "
                                                "`ulimit -v`"
                                              : "`run --max-size` gives it more (16M without)";
}

// Whatever came later is missing, so this comes first.
static void add_given_up(struct notes *notes, const struct record_header *h) {
    static const char *const why[] = {
        [RECORD_GAVE_UP_STUCK] =
            "a thread was held in the middle of an update that another one waited for, as by a garbage "
            "collector that stops all threads",
        [RECORD_GAVE_UP_ABANDONED] = "a signal handler jumped out of a call that was being recorded",
        [RECORD_GAVE_UP_DIED] = "a thread was cancelled inside a call that was being recorded",
    };
    static const char *const advice[] = {
        [RECORD_GAVE_UP_STUCK] = "run it again, if possible with collections that are rarer or of one thread",
        [RECORD_GAVE_UP_ABANDONED] =
            "have the handler set a flag instead, or block the signal where memory is allocated",
        [RECORD_GAVE_UP_DIED] = "cancel threads at cancellation points only (PTHREAD_CANCEL_DEFERRED)",
    };
    const uint32_t reason = h->given_up;
    if (reason == RECORD_NOT_GIVEN_UP)
        return;
    const bool known = reason < sizeof why / sizeof *why;
    add(notes, memory_print("Recording ended after %.3f s, though the process went on: %s. What was "
                            "allocated and freed later is missing; %s.",
                            (double)h->given_up_ns / 1e9, known ? why[reason] : "the reason is not known",
                            known ? advice[reason] : "run it again"));
}

static void add_unfinished(struct notes *notes, const struct model_process *process) {
    switch (model_unfinished(process)) {
    case RECORD_UPDATING_NOTHING:
        break;
    case RECORD_UPDATING_EVENTS:
        add(notes,
            memory_print(
                "It ended in the midst of an update: the last events of one line's blocks, at most %d, "
                "or one sample, may have been counted in part or twice, in the totals as well.",
                RECORD_JOURNAL_EVENTS));
        break;
    case RECORD_UPDATING_CONTEXTS:
        add(notes,
            memory_print("It ended while contexts were being folded: the numbers of one of them "
                         "may be missing or counted twice in lines and functions; the totals are exact."));
        break;
    }
}

static void add_losses(struct notes *notes, const struct model_process *process) {
    static const struct {
        enum record_loss loss;
        const char *one, *many, *what;
    } losses[] = {
        {RECORD_LOST_REENTRANT, "allocation is", "allocations are",
         "not counted: made inside the profiler, or by a signal handler that interrupted it."},
        {RECORD_LOST_ABANDONED, "call", "calls",
         "never ended, as a signal handler jumped out or the thread was cancelled: each may be missing, or "
         "its block seem alive."},
        {RECORD_LOST_TABLE_FULL, "time", "times",
         "there was no room for a new context: the bytes are counted at the nearest caller that had room."},
        {RECORD_LOST_NO_MEMORY, "block", "blocks",
         "could not be followed, for want of memory; raise the limit if there is one (`ulimit -v`)."},
        {RECORD_LOST_DEEP, "stack was", "stacks were",
         "deeper than what is followed (16,384 Python frames, a million native ones): what was freed there "
         "may be missing in the increments of lines further out."},
        {RECORD_LOST_UNWIND, "native stack", "native stacks",
         "could not be followed to the end: the outermost callers are missing there."},
        {RECORD_LOST_SPLICE, "Python stack", "Python stacks",
         "could not be matched with the native one: of --native, only what the innermost line called is "
         "shown "
         "there."},
    };
    const uint64_t *counts = process->image->header.lost;
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        uint64_t lost = counts[losses[i].loss];
        char number[TEXT_SIZE_MAX];
        if (lost)
            add(notes, memory_print("%s %s %s", text_count(number, lost),
                                    lost == 1 ? losses[i].one : losses[i].many, losses[i].what));
    }
    const uint64_t children = counts[RECORD_LOST_CHILDREN];
    char number[TEXT_SIZE_MAX];
    if (children)
        add(notes,
            memory_print("%s forked child process%s not recorded: %s.", text_count(number, children),
                         children == 1 ? " was" : "es were",
                         process->image->header.room_error ? file_error(process->image->header.room_error)
                                                           : "there was no memory for that"));
    const char *room = notes_room(&process->image->header);
    if (room)
        add(notes, memory_print("The recording had no room for more: %s.", room));
}

// What folding cost. To be freed.
static char *folding_cost(const struct reader_image *image) {
    if (image->header.lost[RECORD_LOST_TABLE_FULL])
        return memory_print("%s", "");
    const char *what = image->header.forgotten_lines
                           ? "functions, and lines other than those of the next note, kept their numbers"
                           : "lines and functions kept their numbers";
    const char *but = "";
    for (uint32_t i = 1; i < image->folded_count; i++)
        if (image->folded[i].unseen_bytes > 0)
            but = ", but for blocks that were alive then and too many to remember whose they are: what is "
                  "live of them is known of some callers only";
    return memory_print("; %s%s", what, but);
}

static void add_folded(struct notes *notes, const struct model_process *process) {
    uint64_t folded = process->image->header.folded_nodes;
    char number[TEXT_SIZE_MAX];
    if (folded) {
        char *cost = folding_cost(process->image);
        add(notes, memory_print("%s small context%s folded into %s to keep the recording small%s.",
                                text_count(number, folded), folded == 1 ? " was" : "s were",
                                folded == 1 ? "its caller" : "their callers", cost));
        free(cost);
    }
    const struct record_header *h = &process->image->header;
    char peak[TEXT_SIZE_MAX], bytes[TEXT_SIZE_MAX];
    bool one = h->forgotten_lines == 1;
    if (h->forgotten_lines)
        add(notes,
            memory_print(
                one ? "%s line with a peak of %s is shown only as part of its function, to keep the "
                      "recording small; it allocated %s.%s"
                    : "%s lines with peaks up to %s are shown only as part of their functions, to keep the "
                      "recording small; they allocated %s.%s",
                text_count(number, h->forgotten_lines), text_size(peak, h->forgotten_peak),
                text_size(bytes, model_signed(h->forgotten_bytes)),
                notes_room(h) ? "" : " `run --max-size` keeps more (16M without)."));
    if (process->image->orphan_count)
        add(notes,
            memory_print("%s context%s being changed at the last moment: the callers are missing there.",
                         text_count(number, process->image->orphan_count),
                         process->image->orphan_count == 1 ? " was" : "s were"));
}

static void add_sampling(struct notes *notes, const struct model_process *process) {
    const struct record_header *h = &process->image->header;
    char size[TEXT_SIZE_MAX], number[TEXT_SIZE_MAX];
    if (h->objects == RECORD_OBJECTS_SAMPLED)
        add(notes,
            memory_print(
                "Of small Python objects, one in each %s was recorded: numbers that they are part of are "
                "estimates, and peaks rather too high than too low. `run --python-objects=exact` records "
                "each.",
                text_size(size, model_signed(h->sampling_bytes))));
    if (h->estimates_missing)
        add(notes,
            memory_print(
                "%s times there was no room for a standard error: it is missing, or too small, for some "
                "lines.",
                text_count(number, h->estimates_missing)));
    if (h->lost[RECORD_LOST_OBJECTS])
        add_string(notes, "The program had allocators of its own for Python's objects: small objects that "
                          "these did not pass on to Python's are missing.");
}

// Whether functions of a file were met that has this in its path.
static bool has_file(const struct model_process *process, const char *part) {
    for (uint32_t i = 0; i < process->function_count; i++)
        if (process->functions[i].file && strstr(process->functions[i].file, part))
            return true;
    return false;
}

// Python packages whose libraries have allocators of their own, in which lines do not see what is taken.
static void add_own_allocators(struct notes *notes, const struct model_process *process) {
    static const struct {
        const char *path, *name, *advice;
    } packages[] = {
        {"/pyarrow/__init__.py", "pyarrow",
         " With ARROW_DEFAULT_MEMORY_POOL=system in the environment, pyarrow asks malloc."},
        {"/polars/__init__.py", "polars", NULL},
        {"/duckdb/__init__.py", "duckdb", NULL},
        {"/catboost/__init__.py", "catboost", NULL},
    };
    if (process->image->header.mapped_peak < MAPPED_MUCH)
        return;
    char *names = memory_copy("", 0);
    const char *advice = "";
    for (size_t i = 0; i < sizeof packages / sizeof *packages; i++) {
        if (!has_file(process, packages[i].path))
            continue;
        char *longer = memory_print("%s%s%s", names, *names ? ", " : "", packages[i].name);
        free(names);
        names = longer;
        if (packages[i].advice)
            advice = packages[i].advice;
    }
    if (*names)
        add(notes, memory_print("What %s may have taken by allocators of their own is part of Mapped, and on "
                                "no line.%s",
                                names, advice));
    free(names);
}

char **notes_collect(const struct model_process *process, size_t *count) {
    struct notes notes = {0};
    if (process->end == MODEL_RUNNING)
        add_string(&notes, "Still running: these are the numbers so far.");
    if (process->end == MODEL_UNKNOWN)
        add_string(&notes, "Nothing recorded how it ended: these are the numbers up to its last moment.");
    add_given_up(&notes, &process->image->header);
    add_unfinished(&notes, process);
    add_flags(&notes, process);
    uint64_t error = process->image->header.peak_error_bytes;
    char size[TEXT_SIZE_MAX];
    if (error)
        add(&notes, memory_print("Peaks may be off by up to %s, as threads allocated at the same time.",
                                 text_size(size, model_signed(error))));
    add_own_allocators(&notes, process);
    add_sampling(&notes, process);
    add_folded(&notes, process);
    add_losses(&notes, process);
    uint32_t marks = process->image->header.marks_left_out;
    if (marks)
        add(&notes, memory_print("%s more mark%s had no room: a process keeps its first %d.",
                                 text_count(size, marks), marks == 1 ? "" : "s", RECORD_MARKS_MAX));
    *count = notes.count;
    return notes.list;
}
