# SPDX-License-Identifier: MIT
"""Random programs that keep their own books, by brute force.

`native_program(seed)` and `python_program(seed)` return the text of a program of a dozen functions that allocate, free, reallocate
and call each other (and themselves) at random. Run with the argument `oracle`, it prints as JSON what a profiler should say about each of its
lines; run without, it does the same things silently (the native one keeps its books in any case: they need no allocations).

The books: a block remembers which lines were on the stack when it was made. With every event, all affected lines are brought up to date,
and with every new peak of the process all of them are copied. Nothing clever; that is the point.
"""
import random
import re

FUNCTIONS = 12

NATIVE_HEAD = r"""
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum { LINES = @LINES@, FUNCTIONS = @FUNCTIONS@, ACCOUNTS = LINES + FUNCTIONS, SLOTS = 64, DEEPEST = 24 };

// Accounts are lines, by number, and then functions.
static const unsigned char function_of[LINES];

struct books {
    long long live, peak, at_peak, allocated, allocations, temporary, freed, frees, highest;
};
static struct books self[ACCOUNTS], total[ACCOUNTS];
static long long heap, heap_peak;
static struct block {
    char *start;
    size_t size;
    int line;
    unsigned char stack[ACCOUNTS];
} slots[SLOTS];
static char *latest;
static int stack[DEEPEST + 2], depth_now;
static int budget = @BUDGET@;
static uint64_t state = @SEED@;

static unsigned next(unsigned n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % n;
}

static void mark(unsigned char *set, int line) {
    set[line] = 1;
    set[LINES + function_of[line]] = 1;
}

static void raise_books(struct books *books, long long size) {
    books->live += size;
    if (books->live > books->peak)
        books->peak = books->live;
}

static void allocated(int slot, char *start, size_t size, int line) {
    struct block *block = &slots[slot];
    block->start = start;
    block->size = size;
    block->line = line;
    memset(block->stack, 0, sizeof block->stack);
    for (int i = 0; i < depth_now; i++)
        mark(block->stack, stack[i]);
    mark(block->stack, line);
    heap += (long long)size;
    for (int i = 0; i < 2; i++) {
        struct books *own = &self[i == 0 ? line : LINES + function_of[line]];
        raise_books(own, (long long)size);
        own->allocated += (long long)size;
        own->allocations++;
    }
    for (int i = 0; i < ACCOUNTS; i++)
        if (block->stack[i]) {
            raise_books(&total[i], (long long)size);
            total[i].allocated += (long long)size;
            total[i].allocations++;
            if (heap > total[i].highest)
                total[i].highest = heap;
        }
    if (heap > heap_peak) {
        heap_peak = heap;
        for (int i = 0; i < ACCOUNTS; i++) {
            self[i].at_peak = self[i].live;
            total[i].at_peak = total[i].live;
        }
    }
    latest = start;
}

static void released(int slot, int line, int freed) {
    struct block *block = &slots[slot];
    unsigned char here[ACCOUNTS] = {0};
    int temporary = freed && block->start == latest; // growing is not letting go
    heap -= (long long)block->size;
    for (int i = 0; i < 2; i++) {
        struct books *own = &self[i == 0 ? block->line : LINES + function_of[block->line]];
        own->live -= (long long)block->size;
        own->temporary += temporary;
        own = &self[i == 0 ? line : LINES + function_of[line]];
        own->freed += (long long)block->size;
        own->frees++;
    }
    if (temporary)
        latest = NULL;
    for (int i = 0; i < ACCOUNTS; i++)
        if (block->stack[i]) {
            total[i].live -= (long long)block->size;
            total[i].temporary += temporary;
        }
    for (int i = 0; i < depth_now; i++)
        mark(here, stack[i]);
    mark(here, line);
    for (int i = 0; i < ACCOUNTS; i++)
        if (here[i]) {
            total[i].freed += (long long)block->size;
            total[i].frees++;
        }
    block->start = NULL;
}

static void print_books(const char *name, const struct books *b) {
    printf("\"%s\": {\"live_at_exit_bytes\": %lld, \"peak_bytes\": %lld, \"at_peak_bytes\": %lld, "
           "\"allocated_bytes\": %lld, \"allocations\": %lld, \"temporary_allocations\": %lld, "
           "\"freed_bytes\": %lld, \"frees\": %lld}", name, b->live, b->peak, b->at_peak, b->allocated,
           b->allocations, b->temporary, b->freed, b->frees);
}

static void print_all(void) {
    static char buffer[4096];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    printf("{\"peak\": %lld, \"live\": %lld, \"lines\": {", heap_peak, heap);
    for (int i = 0, first = 1; i < ACCOUNTS; i++)
        if (total[i].allocations || total[i].frees) {
            printf(i < LINES ? "%s\"%d\": {" : "%s\"f%d\": {", first ? "" : ",\n", i < LINES ? i : i - LINES);
            first = 0;
            print_books("self", &self[i]);
            printf(", ");
            print_books("total", &total[i]);
            printf(", \"mem_usage_bytes\": %lld}", total[i].highest);
        }
    printf("}}\n");
}

"""

NATIVE_FUNCTION = r"""
static void f@N@(int depth) {
    for (int step = 0; step < @STEPS@ && budget-- > 0; step++) {
        int slot = (int)next(SLOTS);
        size_t size = 1 + next(@SIZE@);
        char *block;
        switch (next(@CASES@)) {
@BODY@
        }
    }
}
"""


def native_program(seed):
    """The C source of a random program."""
    choose = random.Random(seed)
    declarations = "".join("static void f%d(int depth);\n" % n for n in range(FUNCTIONS))
    bodies = []
    for n in range(FUNCTIONS):
        body = []
        kinds = [choose.choice(["malloc", "calloc", "realloc", "free", "call", "call"]) for _ in range(choose.randint(4, 8))]
        kinds += ["malloc", "free", "call"]
        for case, kind in enumerate(kinds):
            body.append("        case %d:" % case)
            if kind in ("malloc", "calloc"):
                call = "malloc(size)" if kind == "malloc" else "calloc(1, size)"
                body += [
                    "            if (slots[slot].start == NULL) {",
                    "                block = %s;" % call,
                    "                allocated(slot, block, size, @LINE-1@);",
                    "            }",
                ]
            elif kind == "realloc":
                body += [
                    "            if (slots[slot].start != NULL) {",
                    "                block = realloc(slots[slot].start, size);",
                    "                released(slot, @LINE-1@, 0);",
                    "                allocated(slot, block, size, @LINE-2@);",
                    "            }",
                ]
            elif kind == "free":
                body += [
                    "            if (slots[slot].start != NULL) {",
                    "                free(slots[slot].start);",
                    "                released(slot, @LINE-1@, 1);",
                    "            }",
                ]
            else:
                body += [
                    "            if (depth > 0) {",
                    "                stack[depth_now++] = @LINE+1@;",
                    "                f%d(depth - 1);" % choose.randrange(FUNCTIONS),
                    "                depth_now--;",
                    "            }",
                ]
            body.append("            break;")
        text = NATIVE_FUNCTION.replace("@N@", str(n)).replace("@STEPS@", str(choose.randint(5, 30)))
        text = text.replace("@SIZE@", str(choose.choice([50, 500, 5000, 200000]))).replace("@CASES@", str(len(kinds)))
        bodies.append(text.replace("@BODY@", "\n".join(body)))
    main = [
        "", "int main(int argc, char **argv) {", "    (void)argv;", "    while (budget > 0) {",
        "        stack[depth_now++] = @LINE+1@;", "        f%d(DEEPEST);" % choose.randrange(FUNCTIONS), "        depth_now--;", "    }",
        "    if (argc > 1)", "        print_all();", "    return 0;", "}", "",
    ]
    text = NATIVE_HEAD.replace("@BUDGET@", "20000").replace("@SEED@", str(seed * 7919 + 1)) + declarations
    text += "".join(bodies) + "\n".join(main)
    count = len(text.split("\n")) + 1
    text = text.replace("@LINES@", str(count)).replace("@FUNCTIONS@", str(FUNCTIONS + 1))
    # main is the last function.
    function_of, now = [], FUNCTIONS
    for line in text.split("\n"):
        started = re.match(r"static void f(\d+)\(int depth\) \{", line)
        if started:
            now = int(started.group(1))
        elif line.startswith("int main"):
            now = FUNCTIONS
        function_of.append(str(now))
    table = "static const unsigned char function_of[LINES] = {0, %s};\n" % ", ".join(function_of)
    return number_lines(text + table)


def number_lines(text):
    """Replaces @LINE+n@ and @LINE-n@ by the number of the line that is n further."""
    result = []
    for number, line in enumerate(text.split("\n"), 1):
        for offset in range(-6, 7):
            line = line.replace("@LINE%+d@" % offset, str(number + offset))
        result.append(line)
    return "\n".join(result)


PYTHON_HEAD = r'''
import gc
import os
import sys

gc.disable()  # the interpreter's start has left cycles, and they would be freed on whatever line a collection comes
ORACLE = len(sys.argv) > 1
SLOTS = [None] * 48
state = @SEED@
budget = @BUDGET@


def next_random(n):
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state >> 33) % n


if ORACLE:
    import collections
    import json

    FIELDS = ("live_at_exit_bytes", "peak_bytes", "at_peak_bytes", "allocated_bytes", "allocations", "freed_bytes", "frees")
    books = {"self": collections.defaultdict(lambda: dict.fromkeys(FIELDS, 0)), "total": collections.defaultdict(lambda: dict.fromkeys(FIELDS, 0))}
    blocks = {}
    heap = [0, 0]
    BLOCK = sys.getsizeof(bytearray(1000)) - bytearray.__basicsize__ - 1000

    def stack_of(frame):
        lines = []
        while frame is not None:
            lines.append((frame.f_lineno, frame.f_code.co_name))
            frame = frame.f_back
        return lines

    def apply(lines, size, change):
        for kind, places in (("self", lines[:1]), ("total", lines)):
            for account in {part for place in places for part in place}:
                change(books[kind][account], size)

    def up(book, size):
        book["live_at_exit_bytes"] += size
        book["peak_bytes"] = max(book["peak_bytes"], book["live_at_exit_bytes"])
        book["allocated_bytes"] += size
        book["allocations"] += 1

    def down(book, size):
        book["live_at_exit_bytes"] -= size

    def freed(book, size):
        book["freed_bytes"] += size
        book["frees"] += 1

    def allocated(slot, size, line):
        lines = [(line, sys._getframe(1).f_code.co_name)] + stack_of(sys._getframe(2))
        size += BLOCK
        blocks[slot] = (size, lines)
        heap[0] += size
        apply(lines, size, up)
        if heap[0] > heap[1]:
            heap[1] = heap[0]
            for kind in books.values():
                for book in kind.values():
                    book["at_peak_bytes"] = book["live_at_exit_bytes"]

    def released(slot, line):
        size, lines = blocks.pop(slot)
        heap[0] -= size
        apply(lines, size, down)
        apply([(line, sys._getframe(1).f_code.co_name)] + stack_of(sys._getframe(2)), size, freed)
else:

    def allocated(slot, size, line):
        pass

    def released(slot, line):
        pass

'''

PYTHON_FUNCTION = '''
def g@N@(depth):
    for _ in range(2):
        f@N@(depth)
        yield


def f@N@(depth):
    global budget
    for step in range(@STEPS@):
        budget -= 1
        if budget <= 0:
            return
        slot = next_random(len(SLOTS))
        size = 1000 + next_random(@SIZE@)
        kind = next_random(@CASES@)
@BODY@
'''


# Calls that go through C: of a library, and of the interpreter itself.
PYTHON_THROUGH = r'''
import ctypes

waiting = None
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
ONE = ctypes.c_size_t(1)


def step(*_):
    function, depth = waiting
    function(depth)
    return 0


COMPARE_STEP = COMPARE(step)
bsearch = ctypes.CDLL(None).bsearch


def through(function, depth):
    global waiting
    waiting = function, depth
    way = next_random(3)
    if way == 0:
        bsearch(b"k", b"k", ONE, ONE, COMPARE_STEP)
    elif way == 1:
        sum(map(step, "1"))
    else:
        sorted("1", key=step)

'''


def python_program(seed, mixed=False):
    """The Python source of a random program. Its blocks are the buffers of bytearrays: N + 1 bytes each, from 3.15 on bytes
    objects of such. `mixed`: with calls through C."""
    choose = random.Random(seed)
    functions = []
    for n in range(FUNCTIONS):
        kinds = [choose.choice(["make", "replace", "drop", "call", "call", "generator"]) for _ in range(choose.randint(4, 7))]
        kinds += ["make", "drop", "call"]
        if mixed:
            kinds += ["through", "through"]
        body = []
        for case, kind in enumerate(kinds):
            body.append("        %s kind == %d:" % ("if" if case == 0 else "elif", case))
            called = choose.randrange(FUNCTIONS)
            if kind == "make":
                body += [
                    "            if SLOTS[slot] is None:",
                    "                SLOTS[slot] = bytearray(size)",
                    "                allocated(slot, size, @LINE-1@)",
                ]
            elif kind == "replace":
                # The new one exists before the old one goes.
                body += [
                    "            if SLOTS[slot] is not None:",
                    "                block = bytearray(size)",
                    "                old = blocks.pop(slot) if ORACLE else None",
                    "                allocated(slot, size, @LINE-2@)",
                    "                SLOTS[slot] = block",
                    "                if ORACLE:",
                    "                    new = blocks.pop(slot)",
                    "                    blocks[slot] = old",
                    "                    released(slot, @LINE-4@)",
                    "                    blocks[slot] = new",
                    "                block = old = new = None",
                ]
            elif kind == "drop":
                body += [
                    "            if SLOTS[slot] is not None:",
                    "                SLOTS[slot] = None",
                    "                released(slot, @LINE-1@)",
                ]
            elif kind == "call":
                body += ["            if depth > 0:", "                f%d(depth - 1)" % called]
            elif kind == "through":
                body += ["            if depth > 0:", "                through(f%d, depth - 1)" % called]
            else:
                body += [
                    "            if depth > 0:",
                    "                for _ in g%d(depth - 1):" % called,
                    "                    pass",
                ]
        text = PYTHON_FUNCTION.replace("@N@", str(n)).replace("@STEPS@", str(choose.randint(4, 20)))
        text = text.replace("@SIZE@", str(choose.choice([500, 5000, 100000]))).replace("@CASES@", str(len(kinds)))
        functions.append(text.replace("@BODY@", "\n".join(body)))
    tail = '''

def main():
    while budget > 0:
        f%d(20)


main()
if ORACLE:
    print(json.dumps({"peak": heap[1], "live": heap[0], "lines": {
        n: {kind: books[kind][n] for kind in books} for n in set(books["total"]) | set(books["self"])}}))
os._exit(0) if not ORACLE else None
''' % choose.randrange(FUNCTIONS)
    text = PYTHON_HEAD.replace("@SEED@", str(seed * 7919 + 1)).replace("@BUDGET@", "6000")
    text += (PYTHON_THROUGH if mixed else "") + "\n".join(functions) + tail
    return number_lines(text)
