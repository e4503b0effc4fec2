// SPDX-License-Identifier: MIT
//
// Which small objects are looked at when not all of them are: arithmetic only.
//
// Sample points fall on the bytes that a thread allocates as a Poisson process, SAMPLING_MEAN bytes apart on
// average. An object is sampled when a point falls into it; so each is sampled independently of all others,
// with a probability p that depends on its size alone. It then stands for 1/p objects of that size
// (Horvitz and Thompson, "A Generalization of Sampling Without Replacement From a Finite Universe", 1952),
// which makes every sum of sizes and every count unbiased.
//
// Books hold integers. So p is chosen as 1/W with W an integer: objects are treated in classes of 16 bytes,
// as pymalloc has them, a class of m bytes weighs W = round(1 / (1 - exp(-m / SAMPLING_MEAN))), and counts
// for as many bytes as make p = 1/W exactly: SAMPLING_MEAN * -ln(1 - 1/W), which is m but for the rounding.
// What is left of a bias comes from fractions of bytes: less than one part in 10^7.
//
// An object of s bytes that was sampled adds (W s)^2 (1 - p) = s^2 W (W - 1) to the estimated variance of any
// sum it is part of, and W (W - 1) to that of a count; these estimates are unbiased themselves.
//
// Pure: no state but the table, which is written once. Threads: a state each.

#ifndef PEAKLINE_SAMPLING_H
#define PEAKLINE_SAMPLING_H

#include "shim/own.h"

#include <stddef.h>
#include <stdint.h>

#define SAMPLING_MEAN (16u << 10) // bytes; shim/README.md, "Samples", says why
#define SAMPLING_LARGEST 512u     // bytes: larger objects are never sampled (pymalloc hands them to malloc)
#define SAMPLING_CLASS 16u        // bytes
#define SAMPLING_CLASSES (SAMPLING_LARGEST / SAMPLING_CLASS + 1)
#define SAMPLING_FRACTION 20 // bits: distances are in bytes / 2^20

struct sampling_class {
    int64_t distance; // what an object takes off the way to the next sample point
    uint32_t weight;  // how many objects one that was sampled stands for
};

extern SHIM_OWN struct sampling_class sampling_classes[SAMPLING_CLASSES];

// At start. Idempotent.
void sampling_open(void);

// size <= SAMPLING_LARGEST.
static inline const struct sampling_class *sampling_class(size_t size) {
    return &sampling_classes[(size + SAMPLING_CLASS - 1) / SAMPLING_CLASS];
}

static inline uint32_t sampling_weight(size_t size) {
    return sampling_class(size)->weight;
}

// From one sample point to the next. *state is any number at first, and changes.
int64_t sampling_distance(uint64_t *state);

// The natural logarithm of a normal number > 0, to 14 digits. Here, because the shim links no libm.
double sampling_log(double x);

#endif
