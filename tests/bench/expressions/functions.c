// SPDX-License-Identifier: MIT
//
// The functions that the language has. See numbers.h.

#include "numbers.h"

static struct number *call_square(struct number **a) {
    return multiply(a[0], a[0]);
}

static struct number *call_cube(struct number **a) {
    struct number *square = multiply(a[0], a[0]), *result = multiply(square, a[0]);
    free(square);
    return result;
}

static struct number *call_triangle(struct number **a) {
    uint32_t rest;
    struct number *one = number_of(1), *next = add(a[0], one), *twice = multiply(a[0], next);
    struct number *result = divide_small(twice, 2, &rest);
    free(one);
    free(next);
    free(twice);
    return result;
}

static struct number *call_power(struct number **a) {
    struct number *base = copy(a[0]), *result = number_of(1);
    for (uint64_t n = value_of(a[1]); n > 0; n >>= 1) {
        if (n & 1)
            become(&result, multiply(result, base));
        become(&base, multiply(base, base));
    }
    free(base);
    return result;
}

static struct number *call_powmod(struct number **a) {
    struct number *base = remainder_of(a[0], a[2]), *result = number_of(1);
    for (uint64_t n = value_of(a[1]); n > 0; n >>= 1) {
        if (n & 1) {
            become(&result, multiply(result, base));
            become(&result, remainder_of(result, a[2]));
        }
        become(&base, multiply(base, base));
        become(&base, remainder_of(base, a[2]));
    }
    free(base);
    return result;
}

static struct number *call_gcd(struct number **a) {
    struct number *x = copy(a[0]), *y = copy(a[1]);
    while (y->count > 0) {
        struct number *rest = remainder_of(x, y);
        free(x);
        x = y;
        y = rest;
    }
    free(y);
    return x;
}

static struct number *call_lcm(struct number **a) {
    struct number *common = call_gcd(a), *part = quotient(a[0], common), *result = multiply(part, a[1]);
    free(common);
    free(part);
    return result;
}

// Newton's method, from above.
static struct number *call_root(struct number **a) {
    uint32_t rest;
    struct number *guess = add(a[0], a[0]);
    for (;;) {
        struct number *other = quotient(a[0], guess), *both = add(guess, other);
        struct number *next = divide_small(both, 2, &rest);
        free(other);
        free(both);
        if (compare(next, guess) >= 0) {
            free(next);
            return guess;
        }
        become(&guess, next);
    }
}

// The sum of the decimal digits.
static struct number *call_digits(struct number **a) {
    struct number *left = copy(a[0]), *sum = number_of(0);
    while (left->count > 0) {
        uint32_t digit;
        become(&left, divide_small(left, 10, &digit));
        struct number *more = number_of(digit);
        become(&sum, add(sum, more));
        free(more);
    }
    free(left);
    return sum;
}

static struct number *call_min(struct number **a) {
    return copy(compare(a[0], a[1]) < 0 ? a[0] : a[1]);
}

static struct number *call_max(struct number **a) {
    return copy(compare(a[0], a[1]) > 0 ? a[0] : a[1]);
}

const struct builtin builtins[] = {
    {"square", call_square}, {"cube", call_cube}, {"triangle", call_triangle}, {"power", call_power},
    {"powmod", call_powmod}, {"gcd", call_gcd},   {"lcm", call_lcm},           {"root", call_root},
    {"digits", call_digits}, {"min", call_min},   {"max", call_max},           {NULL, NULL}};
