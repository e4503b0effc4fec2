// SPDX-License-Identifier: MIT
//
// From an offset in the bytecode to a line: CPython's three formats of line tables. Pure.
//
// `first` is the code object's first line, `offset` in bytes. The result is -1 where the instruction has no
// line (the compiler's own); *near, when it is not NULL, is then the line of what comes before it, and else
// the same as the result. Tables that are cut short end early, and are never read beyond `size`.

#ifndef PEAKLINE_PYTHON_LINES_H
#define PEAKLINE_PYTHON_LINES_H

#include <stddef.h>

int lines_lnotab(const unsigned char *table, size_t size, int first, int offset);            // 3.8, 3.9
int lines_ranges(const unsigned char *table, size_t size, int first, int offset, int *near); // 3.10

// Where reading of a table has come to: before the entry at `at`, which begins at the offset `end`.
struct lines_cursor {
    size_t at;
    int line, end;
};

#define LINES_START(first) ((struct lines_cursor){.line = (first)})

// 3.11 and later. Reads on from the cursor, which must not lie behind `offset` (cursor->end <= offset), and
// leaves it at the entry found: the body of a module, executed line by line, is read once and not once for
// each of its lines.
int lines_locations(struct lines_cursor *cursor, const unsigned char *table, size_t size, int offset,
                    int *near);

#endif
