// SPDX-License-Identifier: MIT
//
// Anonymous mappings that the program made itself, as disjoint ranges of pages, each with the node that
// mapped it. Mappings are few and large beside heap blocks: a sorted array and a lock (shim.lock, held by the
// caller). Units: bytes, multiples of the page size.

#ifndef PEAKLINE_MAPPED_H
#define PEAKLINE_MAPPED_H

#include <stddef.h>
#include <stdint.h>

// [start, start + length) now belongs to `node`; what was known there before is taken off the books first.
void mapped_add(uintptr_t start, size_t length, uint32_t node);

// What is known within [start, start + length) is gone. Bytes that were.
size_t mapped_remove(uintptr_t start, size_t length);

// Node of the range that holds `address`; 0 = not known.
uint32_t mapped_find(uintptr_t address);

#endif
