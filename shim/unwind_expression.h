// SPDX-License-Identifier: MIT
//
// DWARF expressions, as they occur in call frame information: on numbers when a stack is walked, and on
// symbols
// ("rsp + 24", "the word at rbp - 16, plus 8") when a rule is compiled.
//
// Pure but for what the two callbacks do. Bounded in time; refuses what it does not know.

#ifndef PEAKLINE_UNWIND_EXPRESSION_H
#define PEAKLINE_UNWIND_EXPRESSION_H

#include <stdbool.h>
#include <stdint.h>

enum unwind_base {
    UNWIND_NUMBER = 0, // `offset` is the value
    UNWIND_SP,         // rsp + offset
    UNWIND_FP,         // rbp + offset
    UNWIND_FP_WORD,    // the word at rbp + inner, plus offset
};

struct unwind_term {
    enum unwind_base base;
    int64_t offset;
    int64_t inner;
};

struct unwind_environment {
    void *context;
    bool (*read_register)(void *context, unsigned number, struct unwind_term *out);
    bool (*load)(void *context, struct unwind_term address, struct unwind_term *out);
};

// `expression`: its length as ULEB128, then its bytes (see struct unwind_row). With `start`, that is on the
// stack when it begins (the CFA, in rules for registers).
bool unwind_expression_run(const uint8_t *expression, const struct unwind_term *start,
                           const struct unwind_environment *environment, struct unwind_term *out);

#endif
