// SPDX-License-Identifier: MIT
//
// See sampling.h.

#include "shim/sampling.h"

#define SAMPLING_LN2 0.693147180559945309417
#define SAMPLING_SQRT2 1.41421356237309504880

struct sampling_class sampling_classes[SAMPLING_CLASSES];

// x = 2^k m with m around 1, and ln m = 2 artanh((m - 1) / (m + 1)), as its power series.
double sampling_log(double x) {
    uint64_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffull) | 1023ull << 52;
    double m;
    __builtin_memcpy(&m, &bits, sizeof m);
    if (m > SAMPLING_SQRT2) {
        m /= 2;
        exponent++;
    }
    const double t = (m - 1) / (m + 1), square = t * t; // |t| < 0.172
    double sum = 0;
    for (int i = 19; i >= 1; i -= 2)
        sum = sum * square + 1.0 / i;
    return exponent * SAMPLING_LN2 + 2 * t * sum;
}

void sampling_open(void) {
    for (uint32_t i = 0; i < SAMPLING_CLASSES; i++) {
        const double bytes = SAMPLING_CLASS * (i ? i : 1); // nothing at all takes as much as one byte
        // 1 - exp(-x) for x < 1/100, as its power series.
        const double x = bytes / SAMPLING_MEAN, p = x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4)));
        const uint32_t weight = (uint32_t)(1 / p + 0.5);
        const double distance = -sampling_log(1 - 1.0 / weight) * SAMPLING_MEAN;
        sampling_classes[i] = (struct sampling_class){
            .distance = (int64_t)(distance * (1 << SAMPLING_FRACTION) + 0.5), .weight = weight};
    }
}

// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
static uint64_t sampling_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

// Exponentially distributed, by inversion; a tail of probability 2^-53 is cut.
int64_t sampling_distance(uint64_t *state) {
    const double uniform = ((double)(sampling_random(state) >> 11) + 1) * 0x1p-53; // in (0, 1]
    return (int64_t)(-sampling_log(uniform) * SAMPLING_MEAN * (1 << SAMPLING_FRACTION));
}
