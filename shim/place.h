// SPDX-License-Identifier: MIT
//
// Places in code: each line, call site, function and module gets its number in the recording once.
// Callers hold shim.lock. 0 where the recording is full.

#ifndef PEAKLINE_PLACE_H
#define PEAKLINE_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// False: no memory.
bool place_open(void);

struct place_text {
    const char *bytes;
    size_t length;
};

// Frame of a line of a Python function, by the function's number or by what it is. `line` 0 = none.
uint32_t place_python_line(uint32_t function, uint32_t line);
uint32_t place_python(struct place_text file, struct place_text name, uint32_t first_line, uint32_t line);

// Whether the Python function is in a file that is not the program's own.
bool place_is_library(uint32_t function);

// Neither the standard library's, nor an installed package's, nor the interpreter's: by its file's name.
bool place_is_own(struct place_text file);

// A Python function's number.
uint32_t place_python_function(struct place_text file, struct place_text name, uint32_t first_line);

// The program wants to see this Python function. Its number; in the order in which they were first met.
uint32_t place_choose(struct place_text file, struct place_text name, uint32_t first_line);

// Frame of the threads that a line of a Python function of the program's own started, by that function's
// number. Is never forgotten.
uint32_t place_threads(uint32_t function, uint32_t line);

// Frame of a scope, which is known by its name.
uint32_t place_scope(struct place_text name);

// Keeps the text of a file of Python functions that have been met. False: none has, or there is no room.
bool place_source(struct place_text file, struct place_text text);

// The string's offset in the recording.
uint32_t place_name(struct place_text name);

// Instead of a frame: the C++ library's operator new, which is to the program what malloc is, and the shim
// itself. Neither gets a frame.
#define PLACE_ALLOCATOR UINT32_MAX

// Has the processor fetch what place_native will look at. Without a lock.
void place_native_fetch(uintptr_t address);

// Frame of a native call site: a return address, or, with `exact`, the address of an interrupted instruction.
uint32_t place_native(uintptr_t address, bool exact);

// Frames have been forgotten (frame.h): those that are free now are looked up again, before any of their
// numbers is used again.
void place_forgotten(void);

struct dl_phdr_info;

// As dl_iterate_phdr, but without the loader's lock, and only of modules that calls have come from and that
// have a part of Python's. The caller does not hold shim.lock. `size` says that only what comes before
// dlpi_adds is there.
int place_each_interpreter(int (*each)(struct dl_phdr_info *info, size_t size, void *data), void *data);

// Code may have been unloaded: addresses learnt so far are looked up again.
void place_unloaded(void);

#endif
