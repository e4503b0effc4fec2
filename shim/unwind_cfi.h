// SPDX-License-Identifier: MIT
//
// Call frame information: from the bytes of .eh_frame to the row that holds at one address.
//
// Pure: reads only the bytes given, allocates nothing, and takes any bytes; what makes no sense is refused.

#ifndef PEAKLINE_UNWIND_CFI_H
#define PEAKLINE_UNWIND_CFI_H

#include <stdbool.h>
#include <stdint.h>

// DWARF's numbers for x86-64. The return address counts as a register, which unwinds to the caller's rip.
enum unwind_register {
    UNWIND_RBX = 3,
    UNWIND_RBP = 6,
    UNWIND_RSP = 7,
    UNWIND_RIP = 16,
    UNWIND_REGISTERS = 17
};

// One FDE with what it takes from its CIE.
struct unwind_fde {
    uint64_t start, end;                  // the code that it covers
    const uint8_t *initial, *initial_end; // the CIE's instructions
    const uint8_t *program, *program_end; // its own
    uint64_t code_align;
    int64_t data_align;
    bool signal; // the frame that the kernel makes for a signal handler
};

// Where the caller's value of a register is.
enum unwind_how {
    UNWIND_UNSET = 0,     // nothing said: unchanged, in practice
    UNWIND_SAME,          // unchanged
    UNWIND_UNDEFINED,     // lost; of rip: there is no caller
    UNWIND_AT,            // in memory at CFA + what
    UNWIND_IS,            // it is CFA + what
    UNWIND_REGISTER,      // in register `what`
    UNWIND_AT_EXPRESSION, // in memory at the value of the expression `what` points to
    UNWIND_IS_EXPRESSION, // the value of that expression
};

// An expression is stored as a pointer to its length (ULEB128), which its bytes follow; both were checked to
// lie inside the program.
struct unwind_row {
    const uint8_t *cfa_expression; // NULL: CFA = cfa_register + cfa_offset
    int64_t cfa_offset;
    uint8_t cfa_register;
    uint8_t how[UNWIND_REGISTERS];
    int64_t what[UNWIND_REGISTERS];
};

// The FDE at `record`. Records lie within [low, high). `data`: what data-relative pointers are relative to.
// False: not an FDE, or not one for us.
bool unwind_cfi_parse(const uint8_t *record, const uint8_t *low, const uint8_t *high, uint64_t data,
                      struct unwind_fde *out);

// The record after this one; NULL at the end of the table.
const uint8_t *unwind_cfi_next(const uint8_t *record, const uint8_t *high);

// The row that holds for the instruction at `pc`, which `fde` covers.
bool unwind_cfi_row(const struct unwind_fde *fde, uint64_t pc, struct unwind_row *out);

#endif
