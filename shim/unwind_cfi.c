// SPDX-License-Identifier: MIT
//
// CIE, FDE and their programs, as the Linux Standard Base describes .eh_frame and DWARF 5, section 6.4, the
// instructions.

#include "shim/unwind_cfi.h"
#include "shim/unwind_read.h"

#define CFI_REMEMBERED 8 // DW_CFA_remember_state nests; compilers nest it twice at the most

// Reads a record's length and leaves the cursor bounded to its contents. False: terminator, or nonsense.
static bool cfi_enter(struct unwind_cursor *cursor) {
    uint64_t length = unwind_read_unsigned(cursor, 4);
    if (length == 0xffffffff)
        length = unwind_read_unsigned(cursor, 8);
    if (cursor->bad || length == 0 || (uint64_t)(cursor->end - cursor->at) < length)
        return false;
    cursor->end = cursor->at + length;
    return true;
}

struct cie {
    uint8_t pointers; // encoding of the addresses in its FDEs
    bool augmented;   // its FDEs have augmentation data
};

// Augmentation letters say what the augmentation data hold; 'z' says how long they are.
static bool cfi_augmentation(struct unwind_cursor *cursor, const char *letters, struct cie *cie,
                             struct unwind_fde *out) {
    struct unwind_cursor data = *cursor;
    if (*letters == 'z') {
        uint64_t length = unwind_read_uleb(cursor);
        data = *cursor;
        if (!unwind_read_bytes(cursor, length))
            return false;
        data.end = data.at + length;
        cie->augmented = true;
        letters++;
    }
    for (; *letters; letters++) {
        switch (*letters) {
        case 'R':
            cie->pointers = unwind_read_byte(&data);
            break;
        case 'P': {
            uint8_t encoding = unwind_read_byte(&data);
            unwind_read_pointer(&data, encoding & 0x7f, 0);
            break;
        }
        case 'L':
            unwind_read_byte(&data);
            break;
        case 'S':
            out->signal = true;
            break;
        case 'B':
            break;
        default:
            // Unknown data can be skipped where their length is known, and only what came before counts.
            return cie->augmented && !data.bad;
        }
    }
    if (!cie->augmented)
        cursor->at = data.at;
    return !data.bad;
}

static bool cfi_parse_cie(const uint8_t *record, const uint8_t *high, struct cie *cie,
                          struct unwind_fde *out) {
    struct unwind_cursor cursor = {record, high, false};
    if (!cfi_enter(&cursor) || unwind_read_unsigned(&cursor, 4) != 0)
        return false;
    uint8_t version = unwind_read_byte(&cursor);
    if (version != 1 && version != 3 && version != 4)
        return false;
    const char *letters = (const char *)cursor.at;
    while (unwind_read_byte(&cursor) != 0)
        ;
    if (cursor.bad)
        return false;
    if (letters[0] == 'e' && letters[1] == 'h') { // gcc 2: a pointer of no use to us
        unwind_read_bytes(&cursor, 8);
        letters += 2;
    }
    if (version == 4 && (unwind_read_byte(&cursor) != 8 || unwind_read_byte(&cursor) != 0))
        return false;
    out->code_align = unwind_read_uleb(&cursor);
    out->data_align = unwind_read_sleb(&cursor);
    uint64_t return_register = version == 1 ? unwind_read_byte(&cursor) : unwind_read_uleb(&cursor);
    if (cursor.bad || return_register != UNWIND_RIP)
        return false;
    if (!cfi_augmentation(&cursor, letters, cie, out))
        return false;
    out->initial = cursor.at;
    out->initial_end = cursor.end;
    return !cursor.bad;
}

bool unwind_cfi_parse(const uint8_t *record, const uint8_t *low, const uint8_t *high, uint64_t data,
                      struct unwind_fde *out) {
    *out = (struct unwind_fde){0};
    if (record < low || record >= high)
        return false;
    struct unwind_cursor cursor = {record, high, false};
    if (!cfi_enter(&cursor))
        return false;
    const uint8_t *back_from = cursor.at;
    uint64_t back = unwind_read_unsigned(&cursor, 4);
    if (cursor.bad || back == 0 || back > (uint64_t)(back_from - low))
        return false;
    struct cie cie = {UNWIND_ENCODE_ABSOLUTE, false};
    if (!cfi_parse_cie(back_from - back, high, &cie, out))
        return false;
    if (cie.pointers & UNWIND_ENCODE_INDIRECT)
        return false;
    out->start = unwind_read_pointer(&cursor, cie.pointers, data);
    uint64_t length = unwind_read_format(&cursor, cie.pointers);
    if (cie.augmented)
        unwind_read_bytes(&cursor, unwind_read_uleb(&cursor));
    if (cursor.bad || length > UINT64_MAX - out->start)
        return false;
    out->end = out->start + length;
    out->program = cursor.at;
    out->program_end = cursor.end;
    return true;
}

const uint8_t *unwind_cfi_next(const uint8_t *record, const uint8_t *high) {
    struct unwind_cursor cursor = {record, high, false};
    return cfi_enter(&cursor) && cursor.end < high ? cursor.end : NULL;
}

// The machine that runs the programs.
struct cfi {
    const struct unwind_fde *fde;
    uint64_t pc, location;
    struct unwind_row row;
    struct unwind_row initial; // after the CIE's program: what DW_CFA_restore goes back to
    struct unwind_row remembered[CFI_REMEMBERED];
    unsigned depth;
};

// Registers beyond ours (vectors and such) are skipped over: nothing that we need is found through them.
static void cfi_set(struct cfi *cfi, uint64_t number, enum unwind_how how, int64_t what) {
    if (number < UNWIND_REGISTERS) {
        cfi->row.how[number] = (uint8_t)how;
        cfi->row.what[number] = what;
    }
}

static void cfi_restore(struct cfi *cfi, uint64_t number) {
    if (number < UNWIND_REGISTERS) {
        cfi->row.how[number] = cfi->initial.how[number];
        cfi->row.what[number] = cfi->initial.what[number];
    }
}

static void cfi_set_cfa(struct cfi *cfi, struct unwind_cursor *cursor, uint64_t number, int64_t offset) {
    if (number >= UNWIND_REGISTERS) {
        cursor->bad = true;
        return;
    }
    cfi->row.cfa_expression = NULL;
    cfi->row.cfa_register = (uint8_t)number;
    cfi->row.cfa_offset = offset;
}

static const uint8_t *cfi_expression(struct unwind_cursor *cursor) {
    const uint8_t *start = cursor->at;
    unwind_read_bytes(cursor, unwind_read_uleb(cursor));
    return start;
}

// Offsets are factored by what the CIE says; the products of nonsense may overflow, so they wrap.
static int64_t cfi_scale(const struct cfi *cfi, uint64_t factored) {
    return (int64_t)(factored * (uint64_t)cfi->fde->data_align);
}

// False: the program has gone beyond pc.
static bool cfi_advance(struct cfi *cfi, uint64_t delta) {
    cfi->location += delta * cfi->fde->code_align;
    return cfi->location <= cfi->pc;
}

enum {
    CFA_SET_LOC = 0x01,
    CFA_ADVANCE_LOC1,
    CFA_ADVANCE_LOC2,
    CFA_ADVANCE_LOC4,
    CFA_OFFSET_EXTENDED,
    CFA_RESTORE_EXTENDED,
    CFA_UNDEFINED,
    CFA_SAME_VALUE,
    CFA_REGISTER,
    CFA_REMEMBER_STATE,
    CFA_RESTORE_STATE,
    CFA_DEF_CFA,
    CFA_DEF_CFA_REGISTER,
    CFA_DEF_CFA_OFFSET,
    CFA_DEF_CFA_EXPRESSION,
    CFA_EXPRESSION,
    CFA_OFFSET_EXTENDED_SF,
    CFA_DEF_CFA_SF,
    CFA_DEF_CFA_OFFSET_SF,
    CFA_VAL_OFFSET,
    CFA_VAL_OFFSET_SF,
    CFA_VAL_EXPRESSION,
    CFA_GNU_ARGS_SIZE = 0x2e,
    CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

// One instruction whose opcode has its operands apart. False: stop, at pc or because of nonsense (then
// `bad`).
static bool cfi_extended(struct cfi *cfi, struct unwind_cursor *cursor, uint8_t opcode) {
    struct unwind_row *row = &cfi->row;
    uint64_t number = 0;
    switch (opcode) {
    case 0: // no operation
        break;
    case CFA_SET_LOC:
        // No encoding is known to make sense here but the plain one.
        cfi->location = unwind_read_unsigned(cursor, 8);
        return cfi->location <= cfi->pc;
    case CFA_ADVANCE_LOC1:
        return cfi_advance(cfi, unwind_read_unsigned(cursor, 1));
    case CFA_ADVANCE_LOC2:
        return cfi_advance(cfi, unwind_read_unsigned(cursor, 2));
    case CFA_ADVANCE_LOC4:
        return cfi_advance(cfi, unwind_read_unsigned(cursor, 4));
    case CFA_OFFSET_EXTENDED:
        number = unwind_read_uleb(cursor);
        cfi_set(cfi, number, UNWIND_AT, cfi_scale(cfi, unwind_read_uleb(cursor)));
        break;
    case CFA_OFFSET_EXTENDED_SF:
        number = unwind_read_uleb(cursor);
        cfi_set(cfi, number, UNWIND_AT, cfi_scale(cfi, (uint64_t)unwind_read_sleb(cursor)));
        break;
    case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
        number = unwind_read_uleb(cursor);
        cfi_set(cfi, number, UNWIND_AT, cfi_scale(cfi, -unwind_read_uleb(cursor)));
        break;
    case CFA_VAL_OFFSET:
        number = unwind_read_uleb(cursor);
        cfi_set(cfi, number, UNWIND_IS, cfi_scale(cfi, unwind_read_uleb(cursor)));
        break;
    case CFA_VAL_OFFSET_SF:
        number = unwind_read_uleb(cursor);
        cfi_set(cfi, number, UNWIND_IS, cfi_scale(cfi, (uint64_t)unwind_read_sleb(cursor)));
        break;
    case CFA_RESTORE_EXTENDED:
        cfi_restore(cfi, unwind_read_uleb(cursor));
        break;
    case CFA_UNDEFINED:
        cfi_set(cfi, unwind_read_uleb(cursor), UNWIND_UNDEFINED, 0);
        break;
    case CFA_SAME_VALUE:
        cfi_set(cfi, unwind_read_uleb(cursor), UNWIND_SAME, 0);
        break;
    case CFA_REGISTER:
        number = unwind_read_uleb(cursor);
        cfi_set(cfi, number, UNWIND_REGISTER, (int64_t)unwind_read_uleb(cursor));
        break;
    case CFA_REMEMBER_STATE:
        if (cfi->depth == CFI_REMEMBERED) {
            cursor->bad = true;
            break;
        }
        cfi->remembered[cfi->depth++] = *row;
        break;
    case CFA_RESTORE_STATE:
        if (cfi->depth == 0) {
            cursor->bad = true;
            break;
        }
        *row = cfi->remembered[--cfi->depth];
        break;
    case CFA_DEF_CFA:
        number = unwind_read_uleb(cursor);
        cfi_set_cfa(cfi, cursor, number, (int64_t)unwind_read_uleb(cursor));
        break;
    case CFA_DEF_CFA_SF:
        number = unwind_read_uleb(cursor);
        cfi_set_cfa(cfi, cursor, number, cfi_scale(cfi, (uint64_t)unwind_read_sleb(cursor)));
        break;
    case CFA_DEF_CFA_REGISTER:
        cfi_set_cfa(cfi, cursor, unwind_read_uleb(cursor), row->cfa_offset);
        break;
    case CFA_DEF_CFA_OFFSET:
        cfi_set_cfa(cfi, cursor, row->cfa_register, (int64_t)unwind_read_uleb(cursor));
        break;
    case CFA_DEF_CFA_OFFSET_SF:
        cfi_set_cfa(cfi, cursor, row->cfa_register, cfi_scale(cfi, (uint64_t)unwind_read_sleb(cursor)));
        break;
    case CFA_DEF_CFA_EXPRESSION:
        row->cfa_expression = cfi_expression(cursor);
        break;
    case CFA_EXPRESSION:
        number = unwind_read_uleb(cursor);
        cfi_set(cfi, number, UNWIND_AT_EXPRESSION, (intptr_t)cfi_expression(cursor));
        break;
    case CFA_VAL_EXPRESSION:
        number = unwind_read_uleb(cursor);
        cfi_set(cfi, number, UNWIND_IS_EXPRESSION, (intptr_t)cfi_expression(cursor));
        break;
    case CFA_GNU_ARGS_SIZE:
        unwind_read_uleb(cursor);
        break;
    default:
        cursor->bad = true;
    }
    return !cursor->bad;
}

static bool cfi_run(struct cfi *cfi, const uint8_t *program, const uint8_t *end) {
    struct unwind_cursor cursor = {program, end, false};
    while (cursor.at < cursor.end) {
        uint8_t opcode = unwind_read_byte(&cursor);
        uint8_t operand = opcode & 0x3f;
        switch (opcode >> 6) {
        case 0:
            if (!cfi_extended(cfi, &cursor, opcode))
                return !cursor.bad;
            break;
        case 1:
            if (!cfi_advance(cfi, operand))
                return true;
            break;
        case 2:
            cfi_set(cfi, operand, UNWIND_AT, cfi_scale(cfi, unwind_read_uleb(&cursor)));
            break;
        case 3:
            cfi_restore(cfi, operand);
            break;
        }
        if (cursor.bad)
            return false;
    }
    return true;
}

bool unwind_cfi_row(const struct unwind_fde *fde, uint64_t pc, struct unwind_row *out) {
    struct cfi cfi;
    cfi.fde = fde;
    cfi.pc = pc;
    cfi.location = fde->start;
    cfi.depth = 0;
    cfi.row = (struct unwind_row){.cfa_register = UNWIND_RSP};
    cfi.initial = cfi.row;
    if (!cfi_run(&cfi, fde->initial, fde->initial_end))
        return false;
    cfi.initial = cfi.row;
    cfi.location = fde->start;
    if (!cfi_run(&cfi, fde->program, fde->program_end))
        return false;
    *out = cfi.row;
    return true;
}
