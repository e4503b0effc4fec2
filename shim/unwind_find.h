// SPDX-License-Identifier: MIT
//
// Which module an address belongs to, and the unwind table entry (FDE) that covers it.
//
// With glibc 2.35 and later the loader answers (_dl_find_object: lock-free, async-signal-safe). Before, it is
// read from /proc/self/maps: dl_iterate_phdr takes the loader's lock, which the thread that runs us may hold.
// Threads: any. Nothing is allocated but, with older loaders, one table from the arena.

#ifndef PEAKLINE_UNWIND_FIND_H
#define PEAKLINE_UNWIND_FIND_H

#include <stdbool.h>
#include <stdint.h>

struct unwind_object {
    uintptr_t start, end;   // where it is mapped, whole pages
    uintptr_t bias;         // what the loader added to the file's virtual addresses
    const char *path;       // as the loader names it; valid until it is unloaded. The vDSO: "linux-vdso.so.1"
    uintptr_t frame_header; // its .eh_frame_hdr; 0 = it has none
};

// Once before the others.
void unwind_find_init(void);

// False: no module there.
bool unwind_find(uintptr_t address, struct unwind_object *out);

struct unwind_fde;

enum unwind_found {
    UNWIND_NO_MODULE = 0, // what is not code of a module now may be later
    UNWIND_NO_FDE,        // the module says nothing about this address
    UNWIND_FOUND,
};

// The FDE that covers `address`. Its bytes stay in place until the module is unloaded.
enum unwind_found unwind_find_fde(uintptr_t address, struct unwind_fde *out);

// The same in a module that is known already.
enum unwind_found unwind_find_in(const struct unwind_object *object, uintptr_t address,
                                 struct unwind_fde *out);

// Is `address`, which follows no instruction of a function, the first one of another? A return address like
// that was put there by hand (makecontext does): nothing called the frames above it, and the stack begins
// there.
bool unwind_find_origin(uintptr_t address);

// Start of the function (to be exact: of the FDE) that covers `address`; 0 = not known.
uintptr_t unwind_function_start(uintptr_t address);

#endif
