// SPDX-License-Identifier: MIT
//
// The recording: the one contract between the shim, which writes it, and the reporter, which reads it.
//
// A recording is a directory. Each process image (a process between two calls of exec) has one file in
// it, named `<pid>.<n>`, where n counts from 0 the images and the reuses of that pid. Nothing else in the
// directory belongs to the format.
//
// Glossary
//   node      one calling context: a parent node and a frame. Node 1 is the root, which has no frame.
//   frame     one place in the code: a line of a Python function or a native call site. It is also the
//             account of that line: the frame's counters are merged over all nodes that hold it.
//   function  a Python code object or a native function. Likewise an account, merged over its frames.
//   scope     a named span of a program's own choosing (peakline.h). On a path it is a frame like any other,
//             of a function that has a name and nothing else: outside of all frames of its thread, or just
//             outside of the Python frame whose block it is. No event is ever at its node, unless frames
//             inside it found no room.
//   threads   the threads that a line of Python started. On their paths it is a frame like any other, outside
//             of all others and of scopes, whose file, line and function are the starting ones'. As a scope,
//             it is innermost of no language.
//   event     a change of a node's live bytes: an allocation there, or the release of such a block,
//             wherever the release happens.
//   heap      bytes in live blocks of the malloc family and in live Python objects, as requested.
//   mapped    bytes in live anonymous mappings made by the program itself, counted apart from heap.
//   self, total   of a frame or function: what was allocated with it innermost of its language; with it
//   anywhere on the stack.
//
// Layout of a file, all integers little-endian, all structures naturally aligned:
//
//   0       struct record_header
//   4096    struct record_extent  [RECORD_EXTENTS_MAX]
//   20480   struct record_tick    [RECORD_TICKS_MAX]     the timeline
//   36864   struct record_mark    [RECORD_MARKS_MAX]
//   49152   extents: whole multiples of RECORD_GRAIN bytes, each belonging to one table
//
// Most of the first three lists is never written in most files, and takes no room on the disk then.
//
// A table is the concatenation of its extents, in the order of their list. Its records have a fixed size
// (strings excepted) and are numbered from 0; record 0 of each table is unused, so 0 always means "none".
//
// Valid at every instant. The file is a shared mapping of the process that it describes; that process may be
// killed between any two instructions, or still be running. An entry is filled in first and then published
// by a release store of its count: `extents`, `tables[].count`, `ticks`, `marks`. Counters change in place. A
// reader of a file whose process is dead finds at most one change half made, which `updating` names then; of
// a running process, counters that are a few events apart from each other. A free record's flag is set before
// anything else in it changes, and cleared after everything else.
//
// Peaks
//   Process: heap_live, heap_peak and peak_seq, which counts the raises of heap_peak.
//   Node: before its `live` changes, `if (saved_seq != peak_seq) { saved = live; saved_seq = peak_seq; }`.
//   So a node's bytes at the process's peak are  saved_seq == peak_seq ? saved : live.
//   Inclusive peaks (`total_peak`): each node holds a pending segment of its subtree's history, the net
//   change `segment_net` and the highest prefix `segment_high` (>= 0), which has not reached its frame, its
//   function or its parent yet. Only nodes on the path from the root to `current_node` have one. To read
//   final values, walk from `current_node` to the root and at each node, in this order:
//     - if RECORD_NODE_OUTERMOST_FRAME: frame.total_peak = max(frame.total_peak, frame.total_live +
//     segment_high),
//       then frame.total_live += segment_net; the same for its function with RECORD_NODE_OUTERMOST_FUNCTION;
//     - parent.segment_high = max(parent.segment_high, parent.segment_net + segment_high),
//       then parent.segment_net += segment_net; and clear the node's segment.
//   A flush may be half done. If `flushing` is current_node, first put back what `flushed` has: its parent's
//   segment_net, and total_live of its frame and function, where these apply. If it is another node, its
//   segment has reached them: clear it.
//
// Journals
//   Threads note events in a journal each (struct record_journal) and apply them to everything above many at
//   a time. To read final values, first apply the events [applied, count) of each journal, one after the
//   other: those of one journal are in order; between journals there is no order, which is what
//   peak_error_bytes bounds. To apply an event to its node N, where change is +size or, with
//   RECORD_EVENT_FREE, -size:
//     - if N is not current_node: flush the nodes from current_node up to where the paths to both meet,
//     without the node
//       where they meet, as below; N is current_node now;
//     - saved, saved_seq as above; live += change; segment_net += change; peak and segment_high follow;
//     self_live and
//       self_peak of its frame and function likewise, and of its other frame (record_node.flags) and that
//       one's function;
//     - heap_live += change, slack_live likewise with `slack`; if heap_live > heap_peak: heap_peak =
//     heap_live,
//       slack_at_peak = slack_live, peak_seq++;
//     - an allocation counts in N's and the header's allocated_bytes and allocations, and raises N's
//     heap_high to heap_live;
//       a free counts in the header's freed_bytes and frees, in those of the node `freeing`, unless that is
//       0, and with RECORD_EVENT_TEMPORARY in N's temporary.
//
// Recursion is folded: a frame that is already on its node's path gets no node again, except where it is the
// innermost frame, or the innermost of its language. A node's path therefore names each frame of the stack at
// least once, outermost first, and its last frame of a language is the stack's.
//
// Mixed stacks (RECORD_FLAG_NATIVE_IN_PYTHON). Between Python frames stand the native frames through which
// one called the other, and inside the innermost one those that it called; the interpreter's own are left
// out. The Python frames are those that the path has without them, so what a Python line or function did is
// the same.
//
// Forgetting. When the nodes or frames reach their budget, subtrees that matter little are folded: a node's
// numbers go to a sibling that stands for all folded children of their parent (RECORD_NODE_FOLDED, frame 0),
// so that every sum over a subtree stays exact, and to the records of struct record_folded of its frame and
// of its function, which would miss them otherwise. Records of folded nodes are marked RECORD_NODE_FREE and
// used again, so numbers of nodes say nothing about their order: a node's depth is its parent's plus one.
// Blocks that are alive when their node is folded belong to the sibling from then on. For the lines and
// functions that were on their path they are live as before, until they are freed (record_folded.live). Such
// a free is in no journal, it is applied at once. A frame whose nodes are all folded may then be forgotten:
// its record is marked RECORD_FRAME_FREE and used again, and what it did is left in its function
// (record_function.forgotten) and in the tree only. A function's own numbers, and all totals, stay exact. The
// header says how many lines went that way, what they had allocated, and how small their peaks were. When
// such a line comes back, it begins anew (RECORD_FRAME_AGAIN). So does, in its place, a line whose folded
// nodes find no record in a file that has reached its cap.
//
// Sampling. With RECORD_OBJECTS_SAMPLED, small objects of Python's own allocators are sampled (sampling.h):
// one of s bytes, in a class that is sampled with the probability 1/W, stands for W objects. Wherever bytes
// and blocks are counted, it counts W s and W. These are estimates: unbiased, but for peaks, which are the
// highest of values that are off by chance and so rather too high. How far off they may be is kept for the
// process and for each frame and function (struct record_estimate): estimated variances, which are what a
// sample adds, (W s)^2 (1 - 1/W) = s^2 W (W - 1) for bytes and W (W - 1) for counts, summed up. The square
// root is the standard error. Samples are applied at once, none is in a journal.
//
// Bump RECORD_VERSION with every change of meaning or layout; a reader refuses other versions.

#ifndef PEAKLINE_RECORD_FORMAT_H
#define PEAKLINE_RECORD_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define RECORD_MAGIC "PEAKLINE" // 8 bytes, without the NUL
#define RECORD_VERSION 11
#define RECORD_GRAIN 4096 // bytes; extents start at and consist of multiples of it
#define RECORD_EXTENTS_AT 4096
#define RECORD_TICKS_AT 20480
#define RECORD_MARKS_AT 36864
#define RECORD_FIRST_EXTENT 49152
#define RECORD_EXTENTS_MAX 1024
#define RECORD_TICKS_MAX 512
#define RECORD_MARKS_MAX 384

enum record_table {
    RECORD_STRINGS = 0, // struct record_string, variable size, each 8-aligned; "count" is bytes used
    RECORD_MODULES,     // struct record_module
    RECORD_FUNCTIONS,   // struct record_function
    RECORD_FRAMES,      // struct record_frame
    RECORD_NODES,       // struct record_node
    RECORD_REAPED,      // struct record_reaped
    RECORD_FOLDED,      // struct record_folded
    RECORD_JOURNALS,    // struct record_journal
    RECORD_ESTIMATES,   // struct record_estimate
    RECORD_SOURCES,     // struct record_source
    RECORD_TABLES       // how many there are
};

// How the process ended, as far as it could say itself. A file that still says RUNNING belongs to a process
// that runs, or to one that had no time to say more: compare pid, start_ticks and boot_id with /proc.
enum record_end {
    RECORD_RUNNING = 0,
    RECORD_EXITED = 1,    // exit_code holds
    RECORD_SIGNALLED = 2, // end_signal holds; written by the launcher after the process's death
    RECORD_REPLACED = 3,  // exec succeeded, or was about to
};

enum record_objects { RECORD_OBJECTS_OFF = 0, RECORD_OBJECTS_EXACT = 1, RECORD_OBJECTS_SAMPLED = 2 };

enum record_flags {
    RECORD_FLAG_PYTHON = 1 << 0, // Python stacks are recorded
    RECORD_FLAG_PYTHON_UNSUPPORTED =
        1 << 1,                 // an interpreter was found, its frames could not be read (see python_note)
    RECORD_FLAG_FREES = 1 << 2, // frees are attributed to the place that frees
    RECORD_FLAG_NATIVE_IN_PYTHON = 1 << 3, // native frames stand between Python frames
    RECORD_FLAG_PRIVATE = 1 << 4,          // no shared mapping: the file was written when the process ended
    RECORD_FLAG_FORKED = 1 << 5,      // started by fork: blocks inherited from the parent are not counted
    RECORD_FLAG_THREADS = 1 << 6,     // more than one thread was seen
    RECORD_FLAG_NO_UNWINDER = 1 << 7, // native stacks could not be walked: call sites only
    // RLIMIT_AS, or with the second one RLIMIT_DATA: the file's cap is a small part of that, less than was
    // asked for.
    RECORD_FLAG_SCARCE = 1 << 8,
    RECORD_FLAG_SCARCE_DATA = 1 << 11,
    RECORD_FLAG_OWN_MALLOC = 1 << 9, // the program's own malloc, linked into it, comes before ours
    // The disk became full: the rest stayed in memory, to be written when the process ended, and was not.
    RECORD_FLAG_DISK_SHORT = 1 << 10,
};

// Why something was not recorded. Each index counts events (or entries) in `lost[]`.
enum record_loss {
    RECORD_LOST_REENTRANT = 0, // allocations made inside the shim, or by a signal handler that interrupted it
    RECORD_LOST_TABLE_FULL,    // contexts, frames, functions, strings or modules that no longer fitted: their
                               // bytes went to the nearest caller that had a node
    RECORD_LOST_NO_MEMORY,     // blocks that could not be followed, for want of memory for the shim's tables
    RECORD_LOST_NO_SPACE,      // extents that the file system refused
    RECORD_LOST_DEEP,          // stacks cut at the depth limit (their outermost frames are missing)
    RECORD_LOST_UNWIND,        // native stacks that ended before the thread's first frame
    // 1: the program put allocators of its own in front of Python's, or in their place; small objects that
    // these did not pass on are missing.
    RECORD_LOST_OBJECTS,
    RECORD_LOST_SPLICE,    // Python stacks whose native frames could not be told apart: only those inside the
                           // innermost Python frame are there
    RECORD_LOST_ABANDONED, // calls that never ended, since a signal handler jumped out of them or their
                           // thread was cancelled: each may be missing, or its block be alive for ever
    RECORD_LOST_CHILDREN,  // forked children without a recording, for none could be made
    RECORD_LOSSES = 10
};

// header.room_error, where Linux has no number for it.
#define RECORD_ROOM_LIMIT 0x10000 // RLIMIT_FSIZE
#define RECORD_ROOM_MOVED 0x10001 // another file is at its path

// What is half done at this instant, and stays so when the process ends here.
enum record_updating {
    RECORD_UPDATING_NOTHING = 0,
    RECORD_UPDATING_EVENTS, // a run of events, at most RECORD_JOURNAL_EVENTS of one node, or one mapping, or
                            // one sample with all that it stands for
    RECORD_UPDATING_CONTEXTS, // nodes are being folded: one's numbers may be in two places, or in none
};

// Why recording ended before the process did: the books are as they were then, and whatever was allocated or
// freed later is missing.
enum record_given_up {
    RECORD_NOT_GIVEN_UP = 0,
    RECORD_GAVE_UP_STUCK,     // a thread was stopped while it changed the books, and another one needed them
    RECORD_GAVE_UP_ABANDONED, // a signal handler jumped out of a call that was changing the books
    RECORD_GAVE_UP_DIED,      // a thread was cancelled while it changed the books
};

struct record_table_info {
    uint64_t count; // entries in use, the unused entry 0 included; bytes for RECORD_STRINGS; 0: no extent yet
    uint32_t record_size; // bytes; 1 for RECORD_STRINGS
    uint32_t reserved;
};

struct record_flushed {
    int64_t parent_net, frame_live, function_live;
};

struct record_header {
    char magic[8];
    uint32_t version;
    uint32_t header_size; // sizeof (struct record_header)
    uint32_t byte_order;  // 0x01020304 as written by the process
    uint32_t grain;       // RECORD_GRAIN

    uint32_t pid, parent_pid;
    uint32_t image;   // the n of the file's name
    uint32_t flags;   // enum record_flags
    uint32_t objects; // enum record_objects
    uint32_t extents; // published entries of the extent list

    uint64_t start_realtime_ns;  // when recording began, since 1970-01-01 UTC
    uint64_t start_monotonic_ns; // the same instant on CLOCK_MONOTONIC: the zero of all *_ns below
    uint64_t start_ticks;        // field 22 of /proc/PID/stat: with pid and boot_id, names the process
    uint8_t boot_id[16];

    uint32_t end;       // enum record_end
    int32_t exit_code;  // 0..255
    int32_t end_signal; // number
    uint32_t given_up;  // enum record_given_up; then given_up_ns holds
    uint64_t end_ns;    // since the start; valid unless RECORD_RUNNING
    uint64_t last_ns;   // since the start; of the last tick: how long a killed process is known to have lived

    // Strings: byte offsets into RECORD_STRINGS.
    uint32_t command;        // argv, each argument followed by a NUL
    uint32_t cwd;            // when recording began
    uint32_t executable;     // what /proc/self/exe pointed to
    uint32_t python_version; // "3.11.2"; 0 when no interpreter was seen
    uint32_t python_note;    // why Python frames could not be read; 0 when there is nothing to say
    uint32_t shim_version;
    uint32_t marks;          // published entries of the list of marks
    uint32_t marks_left_out; // marks for which there was no room any more

    struct record_table_info tables[RECORD_TABLES];

    // Totals. Signed where an instant of disorder between threads can make them negative.
    int64_t heap_live;
    int64_t heap_peak;
    uint64_t peak_seq; // raises of heap_peak
    uint64_t peak_ns;  // of the last raise: when the first event was noted of those that were applied with it
    int64_t slack_live; // usable minus requested bytes of live blocks
    int64_t slack_at_peak;
    int64_t mapped_live;
    int64_t mapped_peak;
    uint64_t allocated_bytes, allocations;
    uint64_t freed_bytes, frees; // of blocks that were counted when allocated
    uint64_t unknown_frees;      // of blocks that were not: older than the recording, or lost
    uint64_t rss_peak_bytes;     // 0 = not known yet
    uint64_t peak_error_bytes; // with several threads: heap_peak and all other peaks may be off by this much
    uint64_t hook_ns;          // time spent in the shim, estimated (track.c)
    uint64_t hook_samples;     // on how many samples hook_ns rests
    uint64_t table_bytes;      // the shim's own memory beside this file
    uint64_t folded_nodes;     // how many nodes were folded
    uint64_t lost[RECORD_LOSSES];
    uint64_t forgotten_lines; // how many frames were forgotten; again and again, where they came back
    uint64_t forgotten_bytes; // what they themselves had allocated
    int64_t forgotten_peak;   // the highest of their peaks, unseen bytes included

    uint32_t current_node; // where the last event was: where flushing the segments starts; 0 = nowhere
    uint32_t ticks;        // published entries of the timeline
    uint64_t tick_ns;      // the timeline's present resolution

    uint64_t sampling_bytes; // from one sample point to the next, on average; 0 = nothing is sampled
    uint64_t
        estimates_missing; // times that an estimate's record had no room: standard errors are too low there

    uint64_t given_up_ns; // since the start

    // Why the file could not grow, or that of a child not be made, when that happened first: Linux's number
    // of the error, or RECORD_ROOM_*; 0 = it never did.
    uint32_t room_error;
    uint32_t updating; // enum record_updating

    uint32_t flushing; // node whose segment is being handed on (Peaks); 0 = none
    uint32_t reserved;
    struct record_flushed flushed; // as these were before
};

struct record_extent {
    uint32_t table;  // enum record_table
    uint32_t grains; // length in RECORD_GRAIN bytes
    uint64_t offset; // in the file; a multiple of RECORD_GRAIN
};

// One interval of the timeline. When the list is full, neighbours are merged and tick_ns doubles.
struct record_tick {
    uint64_t time_ns;     // since the start; the end of the interval
    int64_t heap_bytes;   // the highest heap in the interval
    int64_t mapped_bytes; // at the end of the interval
    uint64_t rss_bytes;   // at the end of the interval
};

// An instant that the program named.
struct record_mark {
    uint64_t time_ns; // since the start
    int64_t heap_bytes, mapped_bytes;
    uint32_t name;    // string
    uint32_t rss_kib; // resident KiB; 0 = not known
};

// A string in RECORD_STRINGS, at an 8-aligned offset >= 8: any bytes, no terminator; padded to 8 bytes.
struct record_string {
    uint32_t length; // bytes that follow
    char bytes[];
};

struct record_module {
    uint32_t path;            // string; as the dynamic loader names it, made absolute
    uint32_t build_id_length; // 0 when it has none
    uint8_t build_id[24];
    uint64_t start, end;  // where it was mapped
    uint64_t bias;        // what the loader added to the ELF file's virtual addresses
    uint64_t loaded_ns;   // when it was first seen, since the start
    uint64_t unloaded_ns; // when it was found gone; 0 = never
};

enum record_language { RECORD_PYTHON = 1, RECORD_NATIVE = 2, RECORD_SCOPE = 3, RECORD_THREADS = 4 };

// Whether frames of that language are places in code that runs.
#define RECORD_RUNS(language) ((language) != RECORD_SCOPE && (language) != RECORD_THREADS)

// The account of a line or of a function. live: now; peak: the most at one time. `total` as far as flushed.
struct record_account {
    int64_t self_live, self_peak;
    int64_t total_live, total_peak;
};

struct record_function {
    uint16_t language;
    uint16_t chosen; // 1: the program wants this function's table (memory_profiler's @profile)
    uint32_t module; // native: module, 0 = not known (generated code)
    union {
        uint64_t offset;   // native: the function's start, as an ELF virtual address of its module (address -
                           // bias); without a module, the address. 0 with a module = start not known
        struct {           // Python, threads and scopes:
            uint32_t file; // co_filename, as UTF-8 with surrogateescape bytes restored
            uint32_t name; // co_qualname (co_name before 3.11); a scope's name
        };
    };
    uint32_t first_line;                // Python, threads: co_firstlineno
    uint32_t forgotten;                 // how many of its frames were forgotten
    uint32_t folded_self, folded_total; // as in frames
    struct record_account account;
};

enum record_frame_flags {
    RECORD_FRAME_EXACT_PC =
        1 << 0, // offset is the instruction itself (a signal interrupted it), not a return address
    // It was forgotten before, or (one time in hundreds) looks as if it had been: what it did until then is
    // missing, itself at most forgotten_bytes, and its peaks may be too low by up to forgotten_peak.
    RECORD_FRAME_AGAIN = 1 << 1,
    RECORD_FRAME_FREE = 1 << 2, // not in use; other fields say nothing
};

struct record_frame {
    uint32_t function;
    uint32_t line;   // Python, threads: line number; 0 = none
    uint32_t module; // native: as in its function
    uint32_t flags;  // enum record_frame_flags
    uint64_t offset; // native: the return address, less the module's bias: look up offset - 1
    struct record_account account;
    // What its folded nodes held: those with it innermost, and those with it anywhere on the path. Often the
    // same, then it is one record. 0 = nothing.
    uint32_t folded_self, folded_total;
};

enum record_node_flags {
    RECORD_NODE_OUTERMOST_FRAME = 1 << 0,    // no node above it has the same frame
    RECORD_NODE_OUTERMOST_FUNCTION = 1 << 1, // no node above it has a frame of the same function
    RECORD_NODE_FOLDED = 1 << 2,             // stands for the folded children of its parent; frame 0
    RECORD_NODE_FREE = 1 << 3,               // not in use; other fields say nothing
};

// Mixed stacks: above this bit of a node's flags stands the number of its other frame, the last one on its
// path that is native where the node's is Python's, or the other way round. 0 = there is none.
#define RECORD_NODE_OTHER_SHIFT 8

struct record_node {
    uint32_t parent; // 0 for the root only
    uint32_t frame;  // 0 for the root and RECORD_NODE_FOLDED
    uint32_t depth;  // root 0
    uint32_t flags;  // enum record_node_flags
    int64_t live;
    int64_t peak;  // of `live`
    int64_t saved; // `live` at the process's peak number saved_seq
    uint64_t saved_seq;
    int64_t segment_net;
    int64_t segment_high;
    uint64_t allocated_bytes, allocations;
    uint64_t temporary;          // blocks freed before their thread's next allocation
    uint64_t freed_bytes, frees; // what was freed while executing here, wherever allocated
    int64_t
        heap_high; // highest process heap at an allocation here, that allocation included; 0 = no allocation
    int64_t mapped_live, mapped_peak; // anonymous mappings made here
};

// A child process that this process waited for: how it ended.
struct record_reaped {
    uint32_t pid;
    int32_t status; // as wait(2) gives it
    uint64_t time_ns;
};

// Sums over nodes that were folded, of a frame or of a function: to be added to those over the nodes that are
// left.
struct record_folded {
    uint64_t allocated_bytes, allocations, temporary, freed_bytes, frees;
    int64_t live; // of the blocks that these nodes had
    int64_t saved;
    uint64_t saved_seq; // all as in nodes
    int64_t heap_high;
    // Live bytes that were no longer remembered when these nodes were folded: account.*_live and `live` lack
    // them from then on; account.*_peak and `saved` may be too low by as much, and freed_bytes by what of
    // them these lines freed themselves, in the memory of free lists.
    int64_t unseen_bytes;
};

// The text of a file of functions that is none on disk: a notebook's cell. Both are strings; a text is cut at
// 65,535 bytes.
struct record_source {
    uint32_t file, text;
};

// How far off sums are by chance, as variances: of bytes in bytes^2, of counts without a unit.
struct record_variance {
    uint64_t allocated, allocations;
    uint64_t net;     // of bytes allocated minus bytes freed while it was executing
    uint64_t live;    // of bytes live now
    uint64_t at_peak; // `live` when the account's peak was `peak`; if that was raised since, `live` is valid
    int64_t peak;
};

enum record_estimated { RECORD_OF_NOTHING = 0, RECORD_OF_PROCESS, RECORD_OF_FRAME, RECORD_OF_FUNCTION };

// Of the process (in `total`), a frame or a function. `self` here: it is innermost of its language.
struct record_estimate {
    uint32_t kind;   // enum record_estimated; RECORD_OF_NOTHING: not in use
    uint32_t number; // of the frame or function
    struct record_variance self, total;
};

enum record_event_flags {
    RECORD_EVENT_FREE = 1 << 0,
    RECORD_EVENT_TEMPORARY = 1 << 1, // freed before its thread's next allocation
    RECORD_EVENT_FLAG_BITS = 8,
};

struct record_event {
    uint64_t size;    // requested bytes
    uint32_t node;    // where it was allocated
    uint32_t owner;   // the process's own
    uint32_t freeing; // the node that frees; 0 = not recorded
    uint32_t
        slack_flags; // usable minus requested bytes << RECORD_EVENT_FLAG_BITS, and enum record_event_flags
};

#define RECORD_JOURNAL_EVENTS 84

struct record_journal {
    uint32_t count;   // events noted; 0 when they have all been applied
    uint32_t applied; // the first so many of them have been applied; > count = all
    uint64_t since;   // the first one was noted at this time of CLOCK_MONOTONIC_COARSE, in ns
    uint64_t reserved[2];
    struct record_event events[RECORD_JOURNAL_EVENTS];
};

#define RECORD_CHECK(condition) _Static_assert(condition, #condition)
RECORD_CHECK(sizeof(struct record_header) <= RECORD_EXTENTS_AT);
RECORD_CHECK(sizeof(struct record_extent) == 16);
RECORD_CHECK(RECORD_EXTENTS_AT + RECORD_EXTENTS_MAX * 16 <= RECORD_TICKS_AT);
RECORD_CHECK(sizeof(struct record_tick) == 32);
RECORD_CHECK(RECORD_TICKS_AT + RECORD_TICKS_MAX * 32 <= RECORD_MARKS_AT);
RECORD_CHECK(sizeof(struct record_mark) == 32);
RECORD_CHECK(RECORD_MARKS_AT + RECORD_MARKS_MAX * 32 <= RECORD_FIRST_EXTENT);
RECORD_CHECK(offsetof(struct record_string, bytes) == 4);
RECORD_CHECK(sizeof(struct record_module) == 72);
RECORD_CHECK(sizeof(struct record_account) == 32);
RECORD_CHECK(sizeof(struct record_function) == 64);
RECORD_CHECK(sizeof(struct record_frame) == 64);
RECORD_CHECK(sizeof(struct record_node) == 128);
RECORD_CHECK(sizeof(struct record_reaped) == 16);
RECORD_CHECK(sizeof(struct record_folded) == 80);
RECORD_CHECK(sizeof(struct record_event) == 24);
RECORD_CHECK(sizeof(struct record_journal) == 2048);
RECORD_CHECK(sizeof(struct record_variance) == 48);
RECORD_CHECK(sizeof(struct record_estimate) == 104);
RECORD_CHECK(sizeof(struct record_source) == 8);
RECORD_CHECK(offsetof(struct record_header, start_realtime_ns) == 48);
#undef RECORD_CHECK

#endif
