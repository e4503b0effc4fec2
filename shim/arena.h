// SPDX-License-Identifier: MIT
//
// Memory for the shim's own tables, straight from the kernel, never from the host's malloc.
//
// Blocks are zeroed and 16-aligned, those of a multiple of 64 bytes 64-aligned. Memory is never given back to
// the kernel; arena_free keeps blocks for reuse by size class. In a forked child all of it reads as zero
// (MADV_WIPEONFORK): whoever keeps a pointer into the arena must keep it in memory that is wiped as well
// (struct shim, shim.h).
//
// Threads: any; arena_alloc and arena_free lock internally for a few instructions, or a system call.
// Signals: only with the guard held (guard.h).
// Failure: NULL; the caller degrades and counts the loss.

#ifndef PEAKLINE_ARENA_H
#define PEAKLINE_ARENA_H

#include <stddef.h>
#include <stdint.h>

void *arena_alloc(size_t size);

// `size` as it was given to arena_alloc. NULL is ignored.
void arena_free(void *block, size_t size);

// Large private region that is zero until touched and costs address space only: for sparse tables. Never
// freed.
void *arena_reserve(size_t size);

// Lays up some, so that the kernel need not be asked soon.
void arena_stock(void);

// Bytes taken from the kernel so far, without those of arena_reserve.
uint64_t arena_bytes(void);

// With those of arena_reserve that have been touched. Takes a system call for each 4 MiB reserved.
uint64_t arena_resident(void);

#endif
