// SPDX-License-Identifier: MIT
// needs: shim/unwind.c shim/unwind_walk.c shim/unwind_row.c shim/unwind_rule.c
// needs: shim/unwind_cfi.c shim/unwind_expression.c shim/unwind_find.c shim/unwind_maps.c -ldl
// needs: tests/unit/unwind_double.c
//
// Unwind tables: those that linkers make, those made by hand, those that are damaged, and the rules compiled
// from them.

#include "shim/unwind_cfi.h"
#include "shim/unwind_expression.h"
#include "shim/unwind_find.h"
#include "shim/unwind_maps.h"
#include "shim/unwind_rule.h"
#include "tests/unit/unwind_double.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define pick unwind_double_pick
#define fresh unwind_double_fresh
#define state unwind_double_state

// An address inside the caller.
__attribute__((noinline)) static uintptr_t return_address(void) {
    return (uintptr_t)__builtin_return_address(0);
}

struct bytes {
    uint8_t at[512];
    size_t size;
};

static void put(struct bytes *bytes, uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; i++)
        bytes->at[bytes->size++] = (uint8_t)(value >> (8 * i));
}

// A record: room for its length, which `end_record` fills in.
static size_t begin_record(struct bytes *bytes) {
    put(bytes, 0, 4);
    return bytes->size;
}

static void end_record(struct bytes *bytes, size_t start) {
    while (bytes->size % 8)
        put(bytes, 0, 1);
    uint32_t length = (uint32_t)(bytes->size - start);
    memcpy(bytes->at + start - 4, &length, sizeof length);
}

#define CODE 0x10000000u // where the made-up function is
#define CODE_SIZE 0x1000u

static void put_text(struct bytes *bytes, const uint8_t *text, size_t size) {
    memcpy(bytes->at + bytes->size, text, size);
    bytes->size += size;
}

// A CIE as compilers make it (CFA = rsp + 8, rip at CFA - 8) and an FDE with the given program. Returns where
// the FDE is.
static size_t make_table(struct bytes *bytes, unsigned version, const char *augmentation,
                         const uint8_t *program, size_t size) {
    memset(bytes, 0, sizeof *bytes);
    size_t cie = begin_record(bytes);
    put(bytes, 0, 4);
    put(bytes, version, 1);
    put_text(bytes, (const uint8_t *)augmentation, strlen(augmentation) + 1);
    if (version == 4)
        put(bytes, 0x0008, 2); // eight-byte addresses, no segments
    put(bytes, 1, 1);          // code alignment
    put(bytes, 0x78, 1);       // data alignment: -8
    put(bytes, 16, 1);         // return address
    if (augmentation[0] == 'z') {
        size_t length = bytes->size;
        put(bytes, 0, 1);
        for (const char *letter = augmentation + 1; *letter; letter++) {
            if (*letter == 'R')
                put(bytes, 0x00, 1); // absolute
            else if (*letter == 'L')
                put(bytes, 0x00, 1);
            else if (*letter == 'P')
                put(bytes, 0x0b, 1), put(bytes, 0x1234, 4); // four signed bytes
        }
        bytes->at[length] = (uint8_t)(bytes->size - length - 1);
    }
    const uint8_t initial[] = {0x0c, 7, 8, 0x90, 1};
    put_text(bytes, initial, sizeof initial);
    end_record(bytes, cie);
    size_t fde = begin_record(bytes);
    put(bytes, fde - (cie - 4), 4);
    put(bytes, CODE, 8);
    put(bytes, CODE_SIZE, 8);
    if (augmentation[0] == 'z')
        put(bytes, 0, 1);
    put_text(bytes, program, size);
    end_record(bytes, fde);
    return fde - 4;
}

static bool row_of(const struct bytes *bytes, size_t fde, uint64_t pc, struct unwind_row *row) {
    struct unwind_fde parsed;
    return unwind_cfi_parse(bytes->at + fde, bytes->at, bytes->at + bytes->size, 0, &parsed) &&
           unwind_cfi_row(&parsed, pc, row);
}

#define ROW(row, pc, ...)                                                                                    \
    do {                                                                                                     \
        static struct bytes table;                                                                           \
        const uint8_t program[] = {__VA_ARGS__};                                                             \
        size_t fde = make_table(&table, 1, "zR", program, sizeof program);                                   \
        assert_true(row_of(&table, fde, CODE + (pc), &(row)));                                               \
    } while (0)

static void reads_each_kind_of_cie(void **unused) {
    (void)unused;
    static const struct {
        unsigned version;
        const char *augmentation;
        bool signal;
    } kinds[] = {{1, "", false},  {1, "zR", false},   {3, "zR", false}, {4, "zR", false},
                 {1, "z", false}, {3, "zPLR", false}, {1, "zRS", true}, {1, "zRB", false}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct bytes table;
        const uint8_t program[] = {0x41, 0x0e, 16};
        size_t fde = make_table(&table, kinds[i].version, kinds[i].augmentation, program, sizeof program);
        struct unwind_fde parsed;
        struct unwind_row row;
        assert_true(unwind_cfi_parse(table.at + fde, table.at, table.at + table.size, 0, &parsed));
        assert_int_equal(parsed.start, CODE);
        assert_int_equal(parsed.end, CODE + CODE_SIZE);
        assert_int_equal(parsed.signal, kinds[i].signal);
        assert_int_equal(parsed.data_align, -8);
        assert_true(unwind_cfi_row(&parsed, CODE, &row));
        assert_int_equal(row.cfa_offset, 8);
        assert_true(unwind_cfi_row(&parsed, CODE + 1, &row));
        assert_int_equal(row.cfa_offset, 16);
        assert_int_equal(row.cfa_register, UNWIND_RSP);
        assert_int_equal(row.how[UNWIND_RIP], UNWIND_AT);
        assert_int_equal(row.what[UNWIND_RIP], -8);
        assert_null(unwind_cfi_next(table.at + fde, table.at + table.size));
        assert_ptr_equal(unwind_cfi_next(table.at, table.at + table.size), table.at + fde);
        // The CIE is no FDE.
        assert_false(unwind_cfi_parse(table.at, table.at, table.at + table.size, 0, &parsed));
    }
}

static void refuses_foreign_cies(void **unused) {
    (void)unused;
    struct bytes table;
    struct unwind_fde parsed;
    const uint8_t program[] = {0};
    size_t fde = make_table(&table, 2, "zR", program, sizeof program);
    assert_false(unwind_cfi_parse(table.at + fde, table.at, table.at + table.size, 0, &parsed));
    fde = make_table(&table, 1, "xR", program, sizeof program);
    assert_false(unwind_cfi_parse(table.at + fde, table.at, table.at + table.size, 0, &parsed));
    fde = make_table(&table, 1, "zR", program, sizeof program);
    table.at[8 + 1 + 3 + 2] = 17; // another register for the return address
    assert_false(unwind_cfi_parse(table.at + fde, table.at, table.at + table.size, 0, &parsed));
    fde = make_table(&table, 1, "zR", program, sizeof program);
    table.at[8 + 1 + 3 + 4] = 0x80; // code addresses behind pointers
    assert_false(unwind_cfi_parse(table.at + fde, table.at, table.at + table.size, 0, &parsed));
    // Before, at and behind the end of the table.
    fde = make_table(&table, 1, "zR", program, sizeof program);
    assert_false(unwind_cfi_parse(table.at + fde, table.at + fde, table.at + table.size, 0, &parsed));
    assert_false(unwind_cfi_parse(table.at + fde, table.at, table.at + fde + 3, 0, &parsed));
    assert_false(unwind_cfi_parse(table.at + fde, table.at, table.at + fde, 0, &parsed));
}

static void runs_each_instruction(void **unused) {
    (void)unused;
    struct unwind_row row;
    ROW(row, 0x20, 0x02, 0x10, 0x0e, 24, 0x02, 0x10, 0x0e, 32, 0x41, 0x0e, 40);
    assert_int_equal(row.cfa_offset, 32); // advance_loc1, twice, and not beyond
    ROW(row, 0x304, 0x03, 0x04, 0x03, 0x0e, 24);
    assert_int_equal(row.cfa_offset, 24); // advance_loc2
    ROW(row, 0x303, 0x03, 0x04, 0x03, 0x0e, 24);
    assert_int_equal(row.cfa_offset, 8);
    ROW(row, 0x104, 0x04, 0x04, 0x01, 0x00, 0x00, 0x0e, 24);
    assert_int_equal(row.cfa_offset, 24); // advance_loc4
    ROW(row, 0x10, 0x01, 0x10, 0x00, 0x00, 0x10, 0, 0, 0, 0, 0x0e, 24, 0x01, 0x11, 0x00, 0x00, 0x10, 0, 0, 0,
        0, 0x0e, 32);
    assert_int_equal(row.cfa_offset, 24); // set_loc
    ROW(row, 1, 0x0c, 6, 16, 0x86, 2);
    assert_int_equal(row.cfa_register, UNWIND_RBP); // def_cfa, offset
    assert_int_equal(row.how[UNWIND_RBP], UNWIND_AT);
    assert_int_equal(row.what[UNWIND_RBP], -16);
    ROW(row, 1, 0x0d, 6);
    assert_int_equal(row.cfa_register, UNWIND_RBP); // def_cfa_register keeps the offset
    assert_int_equal(row.cfa_offset, 8);
    ROW(row, 1, 0x12, 6, 0x7d, 0x13, 0x7c);
    assert_int_equal(row.cfa_offset, 32); // def_cfa_sf, def_cfa_offset_sf
    ROW(row, 1, 0x05, 3, 3, 0x11, 12, 0x7f, 0x2f, 13, 2);
    assert_int_equal(row.what[3], -24); // offset_extended, its signed form, GNU_negative_offset_extended
    assert_int_equal(row.what[12], 8);
    assert_int_equal(row.what[13], 16);
    ROW(row, 1, 0x14, 3, 2, 0x15, 12, 0x7f);
    assert_int_equal(row.how[3], UNWIND_IS); // val_offset, val_offset_sf
    assert_int_equal(row.what[3], -16);
    assert_int_equal(row.what[12], 8);
    ROW(row, 1, 0x07, 16, 0x08, 3, 0x09, 12, 13);
    assert_int_equal(row.how[UNWIND_RIP], UNWIND_UNDEFINED); // undefined, same_value, register
    assert_int_equal(row.how[3], UNWIND_SAME);
    assert_int_equal(row.how[12], UNWIND_REGISTER);
    assert_int_equal(row.what[12], 13);
    ROW(row, 1, 0x86, 2, 0x0a, 0x0e, 64, 0xc6, 0x0a, 0x83, 3, 0x0b, 0x0b);
    assert_int_equal(row.cfa_offset, 8); // remember_state and restore_state, nested
    assert_int_equal(row.how[UNWIND_RBP], UNWIND_AT);
    assert_int_equal(row.how[3], UNWIND_UNSET);
    ROW(row, 1, 0x83, 2, 0xc3, 0x84, 2, 0x06, 4, 0xd0);
    assert_int_equal(row.how[3], UNWIND_UNSET); // restore, restore_extended: as in the CIE
    assert_int_equal(row.how[4], UNWIND_UNSET);
    assert_int_equal(row.how[UNWIND_RIP], UNWIND_AT);
    ROW(row, 1, 0x2e, 0x80, 0x01, 0x0e, 48);
    assert_int_equal(row.cfa_offset, 48); // GNU_args_size is skipped
    ROW(row, 1, 0x0f, 2, 0x77, 16, 0x10, 6, 2, 0x76, 0, 0x16, 3, 1, 0x30);
    assert_non_null(row.cfa_expression);
    assert_int_equal(row.how[UNWIND_RBP], UNWIND_AT_EXPRESSION);
    assert_int_equal(row.how[3], UNWIND_IS_EXPRESSION);
    ROW(row, 1, 0x0f, 2, 0x77, 16, 0x0c, 7, 24);
    assert_null(row.cfa_expression);
    ROW(row, 1, 0x92, 1, 0x05, 60, 1, 0x0e, 16); // registers that do not matter here
    assert_int_equal(row.cfa_offset, 16);
}

static void refuses_bad_instructions(void **unused) {
    (void)unused;
    static const uint8_t programs[][4] = {
        {0x0b},                // nothing remembered
        {0x3f},                // no such instruction
        {0x0d, 40},            // no such register
        {0x0f, 0x7f},          // an expression that ends behind the program
        {0x16, 3, 0xff, 0x7f}, // likewise
    };
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        struct bytes table;
        struct unwind_row row;
        size_t fde = make_table(&table, 1, "zR", programs[i], sizeof programs[i]);
        assert_false(row_of(&table, fde, CODE + 1, &row));
    }
    uint8_t nested[16];
    memset(nested, 0x0a, sizeof nested); // remembers more than there is room for
    struct bytes table;
    struct unwind_row row;
    size_t fde = make_table(&table, 1, "zR", nested, sizeof nested);
    assert_false(row_of(&table, fde, CODE + 1, &row));
}

// Any damage gives a row or none, and never a read outside: the table ends where unmapped memory begins.
static void survives_damaged_tables(void **unused) {
    (void)unused;
    size_t page = 4096;
    uint8_t *memory = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory, page, PROT_NONE), 0);
    assert_int_equal(mprotect(memory + 2 * page, page, PROT_NONE), 0);
    const uint8_t program[] = {0x41, 0x0e, 16,   0x86, 2,    0x02, 0x10, 0x0d, 6,    0x0a,
                               0x0f, 6,    0x77, 8,    0x80, 0,    0x22, 0x06, 0x0b, 0x10,
                               6,    2,    0x76, 0,    0x16, 3,    1,    0x30};
    unsigned rows = 0;
    for (unsigned round = 0; round < 100000; round++) {
        struct bytes table;
        size_t fde =
            make_table(&table, 1 + 2 * (round % 2), round % 3 ? "zR" : "zPLR", program, sizeof program);
        for (unsigned damage = 1 + pick(4); damage; damage--)
            table.at[pick((unsigned)table.size)] = (uint8_t)pick(256);
        size_t size = table.size - pick(round % 5 ? 1 : (unsigned)table.size);
        uint8_t *copy = round % 2 ? memory + page : memory + 2 * page - size;
        memcpy(copy, table.at, size);
        struct unwind_fde parsed;
        struct unwind_row row;
        if (!unwind_cfi_parse(copy + fde, copy, copy + size, 0, &parsed))
            continue;
        for (const uint8_t *record = copy; record; record = unwind_cfi_next(record, copy + size))
            ;
        if (!unwind_cfi_row(&parsed, CODE + pick(64), &row))
            continue;
        rows++;
        unwind_rule_compile(&parsed, &row, CODE);
    }
    assert_true(rows > 1000);
    munmap(memory, 3 * page);
}

// --- Expressions

static bool number_register(void *context, unsigned number, struct unwind_term *out) {
    (void)context;
    *out = (struct unwind_term){UNWIND_NUMBER, 1000 + number, 0};
    return number < UNWIND_REGISTERS;
}

static bool number_load(void *context, struct unwind_term address, struct unwind_term *out) {
    (void)context;
    *out = (struct unwind_term){UNWIND_NUMBER, (int64_t)((uint64_t)address.offset * 2), 0};
    return address.offset != 13;
}

static bool evaluate(int64_t *out, size_t size, const uint8_t *code) {
    uint8_t expression[256];
    assert_true(size < 128);
    expression[0] = (uint8_t)size;
    memcpy(expression + 1, code, size);
    const struct unwind_environment environment = {NULL, number_register, number_load};
    struct unwind_term term;
    if (!unwind_expression_run(expression, NULL, &environment, &term))
        return false;
    *out = term.offset;
    return true;
}

#define VALUE(expected, ...)                                                                                 \
    do {                                                                                                     \
        const uint8_t code[] = {__VA_ARGS__};                                                                \
        int64_t value = 0;                                                                                   \
        assert_true(evaluate(&value, sizeof code, code));                                                    \
        assert_int_equal(value, (int64_t)(expected));                                                        \
    } while (0)

#define REFUSED(...)                                                                                         \
    do {                                                                                                     \
        const uint8_t code[] = {__VA_ARGS__};                                                                \
        int64_t value;                                                                                       \
        assert_false(evaluate(&value, sizeof code, code));                                                   \
    } while (0)

static void evaluates_expressions(void **unused) {
    (void)unused;
    VALUE(5, 0x35);
    VALUE(255, 0x08, 0xff);
    VALUE(-1, 0x09, 0xff);
    VALUE(0xff00, 0x0a, 0x00, 0xff);
    VALUE(-256, 0x0b, 0x00, 0xff);
    VALUE(0xfffffffe, 0x0c, 0xfe, 0xff, 0xff, 0xff);
    VALUE(-2, 0x0d, 0xfe, 0xff, 0xff, 0xff);
    VALUE(0x0807060504030201, 0x0e, 1, 2, 3, 4, 5, 6, 7, 8);
    VALUE(300, 0x10, 0xac, 0x02);
    VALUE(-128, 0x11, 0x80, 0x7f);
    VALUE(1007 + 8, 0x77, 8);
    VALUE(1006 - 16, 0x76, 0x70);
    VALUE(1012 + 3, 0x92, 12, 3);
    VALUE(2 * 1015, 0x77, 8, 0x06);
    VALUE(3 + 4, 0x33, 0x34, 0x22);
    VALUE(3 - 4, 0x33, 0x34, 0x1c);
    VALUE(12, 0x33, 0x34, 0x1e);
    VALUE(-3, 0x33, 0x1f);
    VALUE(3, 0x33, 0x1f, 0x19);
    VALUE(~3, 0x33, 0x20);
    VALUE(-2, 0x37, 0x1f, 0x33, 0x1b);
    VALUE(1, 0x37, 0x33, 0x1d);
    VALUE(0x18, 0x33, 0x33, 0x24);
    VALUE(0, 0x33, 0x08, 64, 0x24);
    VALUE(1, 0x33, 0x31, 0x25);
    VALUE(-1, 0x31, 0x1f, 0x08, 99, 0x26);
    VALUE(7 ^ 2, 0x37, 0x32, 0x27);
    VALUE(7 & 10, 0x37, 0x3a, 0x1a);
    VALUE(7 | 10, 0x37, 0x3a, 0x21);
    VALUE(1, 0x33, 0x33, 0x2a);
    VALUE(0, 0x32, 0x33, 0x2a); // ge
    VALUE(1, 0x33, 0x33, 0x29);
    VALUE(0, 0x32, 0x33, 0x29); // eq
    VALUE(1, 0x34, 0x33, 0x2b);
    VALUE(1, 0x33, 0x33, 0x2c);
    VALUE(1, 0x32, 0x33, 0x2d);
    VALUE(1, 0x32, 0x33, 0x2e);
    VALUE(6, 0x33, 0x12, 0x22);                                     // dup
    VALUE(3, 0x33, 0x34, 0x13);                                     // drop
    VALUE(3, 0x33, 0x34, 0x14);                                     // over
    VALUE(2, 0x32, 0x33, 0x34, 0x15, 2);                            // pick
    VALUE(1, 0x33, 0x34, 0x16, 0x1c);                               // swap
    VALUE(1, 0x31, 0x32, 0x33, 0x17, 0x13, 0x13, 0x96, 0x31, 0x1a); // rot: 1 2 3 becomes 3 1 2
    VALUE(9, 0x31, 0x28, 1, 0, 0x35, 0x39);                         // bra over one byte
    VALUE(5, 0x30, 0x28, 1, 0, 0x35);                               // bra not taken
    VALUE(9, 0x2f, 1, 0, 0x35, 0x39);                               // skip
    VALUE(1003, 0x73, 0);
}

static void refuses_bad_expressions(void **unused) {
    (void)unused;
    REFUSED(0x22);             // nothing on the stack
    REFUSED(0x33, 0x22);       // not enough
    REFUSED(0x33, 0x30, 0x1b); // division by zero
    REFUSED(0x33, 0x30, 0x1d);
    REFUSED(0x0e, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x31, 0x1f, 0x1b); // and the one that overflows
    REFUSED(0x2f, 0xfd, 0xff);                                  // for ever
    REFUSED(0x2f, 0x10, 0);                                     // out of the expression
    REFUSED(0x2f, 0xf0, 0xff);
    REFUSED(0x0e, 1, 2);          // cut
    REFUSED(0xff);                // unknown
    REFUSED(0x92, 0x80, 0x02, 0); // no such register
    REFUSED(0x3d, 0x06);          // what cannot be read
    REFUSED(0x33, 0x15, 3);       // pick too deep
    uint8_t many[20];
    memset(many, 0x31, sizeof many);
    int64_t value;
    assert_false(evaluate(&value, sizeof many, many));
    assert_false(evaluate(&value, 0, many));
    for (unsigned round = 0; round < 200000; round++) {
        uint8_t code[24];
        for (size_t i = 0; i < sizeof code; i++)
            code[i] = (uint8_t)(pick(4) ? 0x03 + pick(0x50) : pick(256));
        evaluate(&value, pick(sizeof code + 1), code);
    }
}

// --- Rules

static uint64_t rule_at(uint64_t pc, const uint8_t *program, size_t size) {
    struct bytes table;
    struct unwind_fde fde;
    struct unwind_row row;
    size_t at = make_table(&table, 1, "zR", program, size);
    assert_true(unwind_cfi_parse(table.at + at, table.at, table.at + table.size, 0, &fde));
    assert_true(unwind_cfi_row(&fde, CODE + pc, &row));
    return unwind_rule_compile(&fde, &row, CODE + pc);
}

#define RULE(pc, ...)                                                                                        \
    ({                                                                                                       \
        const uint8_t program[] = {__VA_ARGS__};                                                             \
        rule_at(pc, program, sizeof program);                                                                \
    })

static void compiles_rules(void **unused) {
    (void)unused;
    uint64_t rule = RULE(1, 0x0e, 0xe0, 0x00, 0x86, 2);
    assert_int_equal(unwind_rule_cfa(rule), UNWIND_CFA_SP);
    assert_int_equal(unwind_rule_cfa_offset(rule), 96);
    assert_int_equal(unwind_rule_fp(rule), UNWIND_FP_AT_CFA);
    assert_int_equal(unwind_rule_fp_offset(rule), -16);
    rule = RULE(1, 0x0c, 6, 16);
    assert_int_equal(unwind_rule_cfa(rule), UNWIND_CFA_FP);
    assert_int_equal(unwind_rule_cfa_offset(rule), 16);
    assert_int_equal(unwind_rule_fp(rule), UNWIND_FP_SAME);
    assert_int_equal(unwind_rule_cfa(RULE(1, 0x07, 16)), UNWIND_CFA_END);
    assert_int_equal(unwind_rule_fp(RULE(1, 0x07, 6)), UNWIND_FP_LOST);
    // gcc, in a function that realigns its stack: CFA = *(rbp - 8), rbp at *(rbp + 0).
    rule = RULE(1, 0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0);
    assert_int_equal(unwind_rule_cfa(rule), UNWIND_CFA_FP_WORD);
    assert_int_equal(unwind_rule_inner_offset(rule), -8);
    assert_int_equal(unwind_rule_outer_offset(rule), 0);
    assert_int_equal(unwind_rule_fp(rule), UNWIND_FP_AT_FP);
    assert_int_equal(unwind_rule_fp_offset(rule), 0);
    rule = RULE(1, 0x0f, 5, 0x76, 0x70, 0x06, 0x23, 24);
    assert_int_equal(unwind_rule_inner_offset(rule), -16);
    assert_int_equal(unwind_rule_outer_offset(rule), 24);
    // Procedure linkage: rsp + 8, and 8 more behind the push, which is 11 bytes into each entry of 16.
    for (uint64_t pc = 0; pc < 16; pc++) {
        rule = RULE(pc, 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22);
        assert_int_equal(unwind_rule_cfa(rule), UNWIND_CFA_SP);
        assert_int_equal(unwind_rule_cfa_offset(rule), pc >= 11 ? 16 : 8);
    }
    // What one word cannot say.
    assert_int_equal(unwind_rule_cfa(RULE(1, 0x0c, 3, 16)), UNWIND_CFA_ROW);
    assert_int_equal(unwind_rule_cfa(RULE(1, 0x90, 2)), UNWIND_CFA_ROW);
    assert_int_equal(unwind_rule_cfa(RULE(1, 0x09, 6, 3)), UNWIND_CFA_ROW);
    assert_int_equal(unwind_rule_cfa(RULE(1, 0x14, 6, 1)), UNWIND_CFA_ROW);
    assert_int_equal(unwind_rule_cfa(RULE(1, 0x0e, 0x80, 0x80, 0x80, 0x80, 0x08)), UNWIND_CFA_ROW); // 2 GiB
    assert_int_equal(unwind_rule_cfa_offset(RULE(1, 0x0e, 0xf8, 0xff, 0xff, 0xff, 0x07)), 0x7ffffff8);
    assert_int_equal(unwind_rule_cfa(RULE(1, 0x05, 6, 0x81, 0x80, 0x40)), UNWIND_CFA_ROW); // 8 MiB
    assert_int_equal(unwind_rule_fp_offset(RULE(1, 0x05, 6, 0xff, 0xff, 0x3f)), -8 * 0xfffff);
    assert_int_equal(unwind_rule_cfa(RULE(1, 0x0f, 4, 0x76, 0x78, 0x06, 0x06)), UNWIND_CFA_ROW);
}

static void caches_rules(void **unused) {
    (void)unused;
    uintptr_t address = return_address();
    struct unwind_rules rules = unwind_rule_open(&state, 0);
    uint64_t rule = unwind_rule_find(&rules, address);
    assert_true(unwind_rule_cfa(rule) == UNWIND_CFA_SP || unwind_rule_cfa(rule) == UNWIND_CFA_FP);
    rules = unwind_rule_open(&state, 0);
    assert_non_null(rules.entries);
    assert_int_equal(unwind_rule_find(&rules, address), rule);
    // It is really the cache that answers: a changed entry gives another answer, and one that is half written
    // none.
    struct unwind_entry *entry = state.rules + UNWIND_BUCKET * unwind_rule_bucket(address, state.mask);
    uint64_t other = UNWIND_CFA_SP | (uint64_t)12345 << 32;
    entry->check ^= unwind_rule_mix(rule) ^ unwind_rule_mix(other);
    entry->rule = other;
    assert_int_equal(unwind_rule_find(&rules, address), other);
    entry->rule = other + ((uint64_t)8 << 32);
    assert_int_equal(unwind_rule_find(&rules, address), rule);
    // Nothing from before unwind_forget, nor from 65,536 of them ago.
    for (int i = 0; i < UNWIND_BUCKET; i++) {
        entry[i].rule = other;
        entry[i].check = unwind_rule_key(0, address) ^ unwind_rule_mix(other);
    }
    assert_int_equal(unwind_rule_find(&rules, address), other);
    unwind_forget(0, 0);
    rules = unwind_rule_open(&state, state.generation);
    assert_int_equal(unwind_rule_find(&rules, address), rule);
    for (unsigned i = 1; i < 65536; i++)
        unwind_rule_forget(&state);
    rules = unwind_rule_open(&state, state.generation);
    assert_int_equal(unwind_rule_find(&rules, address), rule);
    // No code, no address.
    assert_int_equal(unwind_rule_find(&rules, 8), UNWIND_CFA_NONE);
    assert_int_equal(unwind_rule_find(&rules, (uintptr_t)&rules), UNWIND_CFA_NONE);
    assert_int_equal(unwind_rule_find(&rules, address | (uintptr_t)1 << 48), UNWIND_CFA_NONE);
    assert_int_equal(unwind_rule_find(&rules, UINTPTR_MAX), UNWIND_CFA_NONE);
    assert_int_equal(unwind_rule_find(&rules, 0), UNWIND_CFA_NONE);
}

static void cache_grows_and_stays_right(void **unused) {
    (void)unused;
    struct unwind_object object;
    assert_true(unwind_find((uintptr_t)qsort, &object));
    for (unsigned round = 0; round < 2; round++)
        for (uintptr_t address = (uintptr_t)qsort - 100000; address < (uintptr_t)qsort + 100000;
             address += 2) {
            struct unwind_rules rules = unwind_rule_open(&state, 0);
            struct unwind_fde fde;
            struct unwind_row row;
            uint64_t expected = UNWIND_CFA_NONE;
            if (unwind_find_fde(address - 1, &fde) == UNWIND_FOUND && unwind_cfi_row(&fde, address - 1, &row))
                expected = unwind_rule_compile(&fde, &row, address - 1);
            else if (unwind_find_origin(address))
                expected = UNWIND_CFA_END;
            assert_int_equal(unwind_rule_find(&rules, address), expected);
        }
    assert_true(state.mask > UNWIND_BUCKETS_MIN);
    assert_true(state.mask < UNWIND_BUCKETS_MAX);
}

// --- Modules

static void finds_modules(void **unused) {
    (void)unused;
    struct unwind_object object;
    char program[4096] = "";
    assert_true(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
    assert_true(unwind_find((uintptr_t)finds_modules, &object));
    assert_string_equal(object.path, program);
    assert_true((uintptr_t)finds_modules - object.start < object.end - object.start);
    Dl_info info;
    assert_true(dladdr((void *)qsort, &info));
    assert_true(unwind_find((uintptr_t)info.dli_saddr, &object));
    assert_string_equal(object.path, info.dli_fname);
    assert_int_equal(object.start, info.dli_fbase);
    assert_int_equal(object.bias, info.dli_fbase);
    uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
    if (vdso) {
        assert_true(unwind_find(vdso + 100, &object));
        assert_string_equal(object.path, "linux-vdso.so.1");
        assert_int_equal(object.start, vdso);
    }
    int local;
    assert_false(unwind_find((uintptr_t)&local, &object));
    assert_false(unwind_find(0, &object));
    assert_false(unwind_find(UINTPTR_MAX, &object));
}

static void finds_functions(void **unused) {
    (void)unused;
    uintptr_t self = (uintptr_t)finds_functions;
    assert_int_equal(unwind_function_start(self), self);
    assert_int_equal(unwind_function_start(self + 20), self);
    uintptr_t inside = return_address();
    assert_int_equal(unwind_function_start(inside), self);
    assert_int_equal(unwind_function_start((uintptr_t)qsort), (uintptr_t)dlsym(RTLD_DEFAULT, "qsort"));
    assert_int_equal(unwind_function_start((uintptr_t)&self), 0);
    assert_int_equal(unwind_function_start(16), 0);
}

// What older loaders are asked through gives the same answers.
static void maps_agree_with_the_loader(void **unused) {
    (void)unused;
    void *const places[] = {(void *)maps_agree_with_the_loader, dlsym(RTLD_DEFAULT, "qsort"),
                            dlsym(RTLD_DEFAULT, "_cmocka_run_group_tests"),
                            dlsym(RTLD_DEFAULT, "__tls_get_addr")};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct unwind_object loader, maps;
        if (!places[i])
            continue;
        assert_true(unwind_find((uintptr_t)places[i], &loader));
        assert_true(unwind_maps_find((uintptr_t)places[i], &maps));
        assert_int_equal(maps.start, loader.start);
        assert_int_equal(maps.end, loader.end);
        assert_int_equal(maps.bias, loader.bias);
        assert_int_equal(maps.frame_header, loader.frame_header);
    }
    struct unwind_object object;
    assert_false(unwind_maps_find((uintptr_t)&object, &object));
    assert_false(unwind_maps_find(0, &object));
    // A module that is only read as a file is none.
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    void *copy = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    assert_ptr_not_equal(copy, MAP_FAILED);
    close(file);
    unwind_maps_forget();
    assert_false(unwind_maps_find((uintptr_t)copy, &object));
    munmap(copy, 4096);
    // What comes later is found once it has been said that code has come.
    void *library = dlopen("libresolv.so.2", RTLD_NOW);
    if (!library)
        return;
    uintptr_t place = *(uintptr_t *)library + 64; // a handle is a struct link_map, which begins with l_addr
    unwind_maps_forget();
    assert_true(unwind_maps_find(place, &object));
    assert_non_null(strstr(object.path, "libresolv"));
    dlclose(library);
    unwind_maps_forget();
    struct unwind_object loader;
    assert_int_equal(unwind_maps_find(place, &object), unwind_find(place, &loader));
}

// An image with an .eh_frame_hdr as other linkers might make it.
static void searches_and_scans(void **unused) {
    (void)unused;
    uint8_t *image = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(image, MAP_FAILED);
    assert_int_equal(mprotect(image + 2 * 4096, 4096, PROT_NONE), 0);
    Elf64_Ehdr *elf = (Elf64_Ehdr *)(void *)image;
    memcpy(elf->e_ident, ELFMAG, SELFMAG);
    elf->e_ident[EI_CLASS] = ELFCLASS64;
    elf->e_phentsize = sizeof(Elf64_Phdr);
    elf->e_phoff = sizeof *elf;
    elf->e_phnum = 2;
    Elf64_Phdr *segments = (Elf64_Phdr *)(void *)(image + sizeof *elf);
    segments[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R, .p_memsz = 2 * 4096, .p_filesz = 2 * 4096};
    segments[1] = (Elf64_Phdr){.p_type = PT_GNU_EH_FRAME, .p_vaddr = 4096, .p_flags = PF_R};
    struct unwind_object object;
    assert_true(unwind_find_image((uintptr_t)image, &object));
    assert_int_equal(object.frame_header, (uintptr_t)image + 4096);
    object.end = (uintptr_t)image + 3 * 4096;

    struct bytes table;
    const uint8_t program[] = {0x41, 0x0e, 16};
    size_t fde = make_table(&table, 1, "zR", program, sizeof program);
    uint8_t *header = image + 4096, *frames = header + 64;
    memcpy(frames, table.at, table.size);
    const uint8_t bare[8] = {1, 0x1b, 0xff, 0xff, 60, 0, 0, 0}; // where the frames are, and no table
    memcpy(header, bare, sizeof bare);
    struct unwind_fde found;
    for (unsigned with_table = 0; with_table < 2; with_table++) {
        if (with_table) {
            struct {
                uint8_t head[8];
                int32_t count;
                int32_t entry[2];
            } sorted = {{1, 0x1b, 0x03, 0x3b, 60, 0, 0, 0}, 1, {0, (int32_t)(64 + fde)}};
            // Too far from here for 32 bits: so the made-up code starts where the header is.
            uint64_t start = (uintptr_t)header;
            memcpy(frames + fde + 8, &start, sizeof start);
            memcpy(header, &sorted, sizeof sorted);
        }
        uintptr_t code = with_table ? (uintptr_t)header : CODE;
        assert_int_equal(unwind_find_in(&object, code, &found), UNWIND_FOUND);
        assert_int_equal(found.start, code);
        assert_int_equal(unwind_find_in(&object, code + CODE_SIZE - 1, &found), UNWIND_FOUND);
        assert_int_equal(unwind_find_in(&object, code + CODE_SIZE, &found), UNWIND_NO_FDE);
        assert_int_equal(unwind_find_in(&object, code - 1, &found), UNWIND_NO_FDE);
    }
    // Any damage.
    uint8_t copy[1024];
    memcpy(copy, header, sizeof copy);
    for (unsigned round = 0; round < 100000; round++) {
        memcpy(header, copy, sizeof copy);
        memcpy(header, round % 2 ? bare : copy, sizeof bare);
        for (unsigned damage = 1 + pick(4); damage; damage--)
            header[pick(64 + (unsigned)table.size)] = (uint8_t)pick(256);
        unwind_find_in(&object, (uintptr_t)header + pick(2 * CODE_SIZE), &found);
    }
    elf->e_phoff = 5000;
    assert_int_equal(unwind_find_in(&object, CODE, &found), UNWIND_NO_FDE);
    munmap(image, 3 * 4096);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_kind_of_cie),
        cmocka_unit_test(refuses_foreign_cies),
        cmocka_unit_test(runs_each_instruction),
        cmocka_unit_test(refuses_bad_instructions),
        cmocka_unit_test(survives_damaged_tables),
        cmocka_unit_test(evaluates_expressions),
        cmocka_unit_test(refuses_bad_expressions),
        cmocka_unit_test_setup(compiles_rules, fresh),
        cmocka_unit_test_setup(caches_rules, fresh),
        cmocka_unit_test_setup(cache_grows_and_stays_right, fresh),
        cmocka_unit_test_setup(finds_modules, fresh),
        cmocka_unit_test_setup(finds_functions, fresh),
        cmocka_unit_test_setup(maps_agree_with_the_loader, fresh),
        cmocka_unit_test_setup(searches_and_scans, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
