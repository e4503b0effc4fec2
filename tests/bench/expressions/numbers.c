// SPDX-License-Identifier: MIT
//
// See numbers.h.

#include "numbers.h"

#include <string.h>

static inline __attribute__((always_inline)) struct number *number_new(uint32_t count) {
    struct number *number = checked(malloc(sizeof *number + count * sizeof number->digit[0]));
    number->count = count;
    return number;
}

static struct number *trim(struct number *a) {
    while (a->count > 0 && a->digit[a->count - 1] == 0)
        a->count--;
    return a;
}

struct number *number_of(uint64_t value) {
    struct number *number = number_new(2);
    number->digit[0] = (uint32_t)value;
    number->digit[1] = (uint32_t)(value >> 32);
    return trim(number);
}

uint64_t value_of(const struct number *a) {
    return a->count == 0 ? 0 : a->count == 1 ? a->digit[0] : (uint64_t)a->digit[1] << 32 | a->digit[0];
}

struct number *copy(const struct number *a) {
    struct number *result = number_new(a->count);
    memcpy(result->digit, a->digit, a->count * sizeof a->digit[0]);
    return result;
}

int compare(const struct number *a, const struct number *b) {
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    for (uint32_t i = a->count; i-- > 0;)
        if (a->digit[i] != b->digit[i])
            return a->digit[i] < b->digit[i] ? -1 : 1;
    return 0;
}

struct number *add(const struct number *a, const struct number *b) {
    uint32_t count = a->count > b->count ? a->count : b->count;
    struct number *result = number_new(count + 1);
    uint64_t carry = 0;
    for (uint32_t i = 0; i < count; i++) {
        carry += (uint64_t)(i < a->count ? a->digit[i] : 0) + (i < b->count ? b->digit[i] : 0);
        result->digit[i] = (uint32_t)carry;
        carry >>= 32;
    }
    result->digit[count] = (uint32_t)carry;
    return trim(result);
}

struct number *subtract(const struct number *a, const struct number *b) {
    if (compare(a, b) <= 0)
        return number_new(0);
    struct number *result = number_new(a->count);
    uint64_t borrow = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        uint64_t taken = (uint64_t)(i < b->count ? b->digit[i] : 0) + borrow;
        borrow = a->digit[i] < taken;
        result->digit[i] = (uint32_t)(a->digit[i] - taken);
    }
    return trim(result);
}

struct number *multiply(const struct number *a, const struct number *b) {
    struct number *result = number_new(a->count + b->count);
    memset(result->digit, 0, result->count * sizeof result->digit[0]);
    for (uint32_t i = 0; i < a->count; i++) {
        uint64_t carry = 0;
        for (uint32_t k = 0; k < b->count; k++) {
            carry += (uint64_t)a->digit[i] * b->digit[k] + result->digit[i + k];
            result->digit[i + k] = (uint32_t)carry;
            carry >>= 32;
        }
        result->digit[i + b->count] = (uint32_t)carry;
    }
    return trim(result);
}

struct number *divide_small(const struct number *a, uint32_t b, uint32_t *rest) {
    struct number *result = number_new(a->count);
    uint64_t left = 0;
    for (uint32_t i = a->count; i-- > 0;) {
        left = left << 32 | a->digit[i];
        result->digit[i] = (uint32_t)(left / b);
        left %= b;
    }
    *rest = (uint32_t)left;
    return trim(result);
}

static struct number *shifted(const struct number *a, unsigned bits) {
    struct number *result = number_new(a->count + 1);
    uint64_t carry = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        carry |= (uint64_t)a->digit[i] << bits;
        result->digit[i] = (uint32_t)carry;
        carry >>= 32;
    }
    result->digit[a->count] = (uint32_t)carry;
    return result; // not trimmed: divide wants that digit
}

// Knuth's algorithm D. The rest goes to *rest.
static struct number *divide(const struct number *a, const struct number *b, struct number **rest) {
    if (b->count < 2) {
        uint32_t small;
        struct number *result = divide_small(a, b->count ? b->digit[0] : 1, &small);
        *rest = number_of(small);
        return result;
    }
    if (compare(a, b) < 0) {
        *rest = copy(a);
        return number_new(0);
    }
    unsigned bits = (unsigned)__builtin_clz(b->digit[b->count - 1]);
    struct number *u = shifted(a, bits), *v = trim(shifted(b, bits));
    uint32_t n = v->count, top = v->digit[n - 1];
    struct number *result = number_new(a->count - n + 1);
    for (uint32_t j = result->count; j-- > 0;) {
        uint64_t head = (uint64_t)u->digit[j + n] << 32 | u->digit[j + n - 1];
        uint64_t guess = head / top, left = head % top;
        while (guess >> 32 || guess * v->digit[n - 2] > (left << 32 | u->digit[j + n - 2])) {
            guess--;
            left += top;
            if (left >> 32)
                break;
        }
        int64_t borrow = 0;
        uint64_t carry = 0;
        for (uint32_t i = 0; i <= n; i++) {
            carry += i < n ? guess * v->digit[i] : 0;
            borrow += (int64_t)u->digit[j + i] - (int64_t)(uint32_t)carry;
            u->digit[j + i] = (uint32_t)borrow;
            borrow >>= 32;
            carry >>= 32;
        }
        if (borrow < 0) {
            guess--;
            carry = 0;
            for (uint32_t i = 0; i <= n; i++) {
                carry += (uint64_t)u->digit[j + i] + (i < n ? v->digit[i] : 0);
                u->digit[j + i] = (uint32_t)carry;
                carry >>= 32;
            }
        }
        result->digit[j] = (uint32_t)guess;
    }
    for (uint32_t i = 0; i < u->count; i++)
        u->digit[i] = u->digit[i] >> bits |
                      (i + 1 < u->count ? (uint32_t)((uint64_t)u->digit[i + 1] << 32 >> bits) : 0);
    *rest = trim(u);
    free(v);
    return trim(result);
}

struct number *quotient(const struct number *a, const struct number *b) {
    struct number *rest, *result = divide(a, b, &rest);
    free(rest);
    return result;
}

struct number *remainder_of(const struct number *a, const struct number *b) {
    struct number *rest;
    free(divide(a, b, &rest));
    return rest;
}
