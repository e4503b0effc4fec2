// SPDX-License-Identifier: MIT
//
// What the target programs share. A target has one hazard. Its allocations have odd sizes, and a comment
// `// @name` marks each line that a test asks for.

#ifndef PEAKLINE_TESTS_TARGET_H
#define PEAKLINE_TESTS_TARGET_H

#include <string.h>
#include <unistd.h>

// Returns p in a way that hides from the compiler what it points to, so that no allocation is optimised away.
static inline void *opaque(void *p) {
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

// Prints without allocating: stdio's buffers would show up in the process's totals.
static inline void say(const char *text) {
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        _exit(99);
}

// Prints a label and a number without allocating.
static inline void say_number(const char *label, long long number) {
    char digits[24];
    char *at = digits + sizeof digits;
    unsigned long long rest = number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;

    *--at = '\0';
    *--at = '\n';
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0)
        *--at = '-';
    say(label);
    say(at);
}

// Ends the program with the line's number as a hint when a promise of the C library is broken.
#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            say_number("broken promise in line ", __LINE__);                                                 \
            _exit(98);                                                                                       \
        }                                                                                                    \
    } while (0)

#endif
