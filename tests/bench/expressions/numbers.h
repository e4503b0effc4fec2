// SPDX-License-Identifier: MIT
//
// Numbers of any length: not negative, base 2^32, least digit first, without leading zeros. Every result is a
// fresh block that belongs to the caller.

#ifndef EXPRESSIONS_NUMBERS_H
#define EXPRESSIONS_NUMBERS_H

#include <stdint.h>
#include <stdlib.h>

struct number {
    uint32_t count, digit[];
};

static inline void *checked(void *block) {
    if (block == NULL)
        abort();
    return block;
}

struct number *number_of(uint64_t value);
uint64_t value_of(const struct number *a); // of its lowest 64 bits
struct number *copy(const struct number *a);
int compare(const struct number *a, const struct number *b); // -1, 0, 1
struct number *add(const struct number *a, const struct number *b);
struct number *subtract(const struct number *a, const struct number *b); // a - b, or 0
struct number *multiply(const struct number *a, const struct number *b);
struct number *divide_small(const struct number *a, uint32_t b, uint32_t *rest);
struct number *quotient(const struct number *a, const struct number *b);
struct number *remainder_of(const struct number *a, const struct number *b);

// The functions that the language has.
enum { PARAMETERS = 4 };
struct builtin {
    const char *name;
    struct number *(*call)(struct number **arguments);
};
extern const struct builtin builtins[]; // ends with a NULL name

// Replaces *a, which is freed.
static inline void become(struct number **a, struct number *by) {
    free(*a);
    *a = by;
}

#endif
