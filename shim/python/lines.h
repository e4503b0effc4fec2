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

int lines_lnotab(const unsigned char *table, size_t size, int first, int offset);               // 3.8, 3.9
int lines_ranges(const unsigned char *table, size_t size, int first, int offset, int *near);    // 3.10
int lines_locations(const unsigned char *table, size_t size, int first, int offset, int *near); // 3.11+

#endif
