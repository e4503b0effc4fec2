// SPDX-License-Identifier: MIT
//
// Short-lived small blocks from many call sites: an expression evaluator with a hundred kinds of node.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct value {
    int64_t number;
    char room[];
};

static struct value *apply(unsigned kind, struct value *a, struct value *b, unsigned depth);
static uint64_t state = 88172645463325252u;

static unsigned next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 32);
}

static struct value *fresh(int64_t number) {
    struct value *value = malloc(sizeof *value + (size_t)(number & 63));

    if (value == NULL)
        abort();
    value->number = number;
    return value;
}

static struct value *evaluate(unsigned depth) {
    struct value *a;
    struct value *b;

    if (depth == 0)
        return fresh((int64_t)(next() & 1023));
    a = evaluate(depth - 1);
    b = evaluate(depth - 1);
    return apply(next() % 100, a, b, depth);
}

#define KIND(n)                                                                                              \
    static __attribute__((noinline)) struct value *kind_##n(struct value *a, struct value *b) {              \
        struct value *result = malloc(sizeof *result + n);                                                   \
                                                                                                             \
        if (result == NULL)                                                                                  \
            abort();                                                                                         \
        result->number = a->number * (n + 1) + b->number;                                                    \
        free(a);                                                                                             \
        free(b);                                                                                             \
        return result;                                                                                       \
    }
#define KIND10(n)                                                                                            \
    KIND(n##0)                                                                                               \
    KIND(n##1) KIND(n##2) KIND(n##3) KIND(n##4) KIND(n##5) KIND(n##6) KIND(n##7) KIND(n##8) KIND(n##9)
KIND10(1)
KIND10(2)
KIND10(3)
KIND10(4)
KIND10(5)
KIND10(6)
KIND10(7)
KIND10(8)
KIND10(9)
KIND10(10)

#define NAME10(n)                                                                                            \
    kind_##n##0, kind_##n##1, kind_##n##2, kind_##n##3, kind_##n##4, kind_##n##5, kind_##n##6, kind_##n##7,  \
        kind_##n##8, kind_##n##9

static struct value *apply(unsigned kind, struct value *a, struct value *b, unsigned depth) {
    static struct value *(*const kinds[100])(struct value *, struct value *) = {
        NAME10(1), NAME10(2), NAME10(3), NAME10(4), NAME10(5),
        NAME10(6), NAME10(7), NAME10(8), NAME10(9), NAME10(10)};
    struct value *result = kinds[kind](a, b);

    if (depth == 3) {
        struct value *copy = fresh(result->number);

        free(result);
        result = copy;
    }
    return result;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 1;
    int64_t total = 0;

    for (int i = 0; i < rounds; i++) {
        struct value *value = evaluate(10);

        total ^= value->number;
        free(value);
    }
    printf("%lld\n", (long long)total);
    return 0;
}
