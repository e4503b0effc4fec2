// SPDX-License-Identifier: MIT
//
// The stack machine of DWARF 5, section 2.5, without what needs a debugger.

#include "shim/unwind_expression.h"
#include "shim/unwind_read.h"

#define EXPRESSION_STACK 16
#define EXPRESSION_STEPS 256 // they may branch backwards

enum {
    OP_ADDR = 0x03,
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08,
    OP_CONST1S,
    OP_CONST2U,
    OP_CONST2S,
    OP_CONST4U,
    OP_CONST4S,
    OP_CONST8U,
    OP_CONST8S,
    OP_CONSTU,
    OP_CONSTS,
    OP_DUP,
    OP_DROP,
    OP_OVER,
    OP_PICK,
    OP_SWAP,
    OP_ROT,
    OP_ABS = 0x19,
    OP_AND,
    OP_DIV,
    OP_MINUS,
    OP_MOD,
    OP_MUL,
    OP_NEG,
    OP_NOT,
    OP_OR,
    OP_PLUS,
    OP_PLUS_UCONST,
    OP_SHL,
    OP_SHR,
    OP_SHRA,
    OP_XOR,
    OP_BRA,
    OP_EQ,
    OP_GE,
    OP_GT,
    OP_LE,
    OP_LT,
    OP_NE,
    OP_SKIP,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4f,
    OP_BREG0 = 0x70,
    OP_BREG31 = 0x8f,
    OP_BREGX = 0x92,
    OP_NOP = 0x96,
};

struct machine {
    const struct unwind_environment *environment;
    const uint8_t *begin;
    struct unwind_cursor cursor;
    struct unwind_term stack[EXPRESSION_STACK];
    unsigned depth;
    bool failed;
};

static void expression_push(struct machine *machine, struct unwind_term term) {
    if (machine->depth == EXPRESSION_STACK)
        machine->failed = true;
    else
        machine->stack[machine->depth++] = term;
}

static void expression_push_number(struct machine *machine, int64_t value) {
    expression_push(machine, (struct unwind_term){UNWIND_NUMBER, value, 0});
}

static struct unwind_term expression_pick(struct machine *machine, unsigned from_top) {
    if (from_top >= machine->depth) {
        machine->failed = true;
        return (struct unwind_term){0};
    }
    return machine->stack[machine->depth - 1 - from_top];
}

static struct unwind_term expression_pop(struct machine *machine) {
    struct unwind_term top = expression_pick(machine, 0);
    if (!machine->failed)
        machine->depth--;
    return top;
}

static int64_t expression_pop_number(struct machine *machine) {
    struct unwind_term top = expression_pop(machine);
    if (top.base != UNWIND_NUMBER)
        machine->failed = true;
    return top.offset;
}

static int64_t expression_add(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

// One of the terms may be a symbol; a difference may have it on the left.
static void expression_plus(struct machine *machine, bool minus) {
    struct unwind_term b = expression_pop(machine), a = expression_pop(machine);
    if (minus) {
        if (b.base != UNWIND_NUMBER)
            machine->failed = true;
        b.offset = expression_add(0, (int64_t) - (uint64_t)b.offset);
    }
    if (a.base == UNWIND_NUMBER) {
        struct unwind_term symbol = b;
        b = a;
        a = symbol;
    }
    if (b.base != UNWIND_NUMBER)
        machine->failed = true;
    a.offset = expression_add(a.offset, b.offset);
    expression_push(machine, a);
}

static void expression_binary(struct machine *machine, uint8_t op) {
    int64_t b = expression_pop_number(machine), a = expression_pop_number(machine);
    uint64_t ua = (uint64_t)a, ub = (uint64_t)b, result = 0;
    switch (op) {
    case OP_AND:
        result = ua & ub;
        break;
    case OP_OR:
        result = ua | ub;
        break;
    case OP_XOR:
        result = ua ^ ub;
        break;
    case OP_MUL:
        result = ua * ub;
        break;
    case OP_DIV:
        if (b == 0 || (b == -1 && a == INT64_MIN))
            machine->failed = true;
        else
            result = (uint64_t)(a / b);
        break;
    case OP_MOD:
        if (b == 0)
            machine->failed = true;
        else
            result = ua % ub;
        break;
    case OP_SHL:
        result = ub < 64 ? ua << ub : 0;
        break;
    case OP_SHR:
        result = ub < 64 ? ua >> ub : 0;
        break;
    case OP_SHRA:
        result = ub < 63 ? (uint64_t)(a >> ub) : (uint64_t) - (a < 0);
        break;
    case OP_EQ:
        result = a == b;
        break;
    case OP_NE:
        result = a != b;
        break;
    case OP_GE:
        result = a >= b;
        break;
    case OP_GT:
        result = a > b;
        break;
    case OP_LE:
        result = a <= b;
        break;
    case OP_LT:
        result = a < b;
        break;
    }
    expression_push_number(machine, (int64_t)result);
}

static void expression_unary(struct machine *machine, uint8_t op) {
    uint64_t a = (uint64_t)expression_pop_number(machine);
    switch (op) {
    case OP_ABS:
        a = (int64_t)a < 0 ? -a : a;
        break;
    case OP_NEG:
        a = -a;
        break;
    case OP_NOT:
        a = ~a;
        break;
    }
    expression_push_number(machine, (int64_t)a);
}

static void expression_register(struct machine *machine, uint64_t number) {
    int64_t offset = unwind_read_sleb(&machine->cursor);
    struct unwind_term term = {0};
    if (number > UINT8_MAX ||
        !machine->environment->read_register(machine->environment->context, (unsigned)number, &term)) {
        machine->failed = true;
        return;
    }
    term.offset = expression_add(term.offset, offset);
    expression_push(machine, term);
}

static void expression_jump(struct machine *machine, bool taken) {
    int64_t distance = unwind_read_signed(&machine->cursor, 2);
    if (!taken || machine->cursor.bad)
        return;
    int64_t target = (machine->cursor.at - machine->begin) + distance;
    if (target < 0 || target > machine->cursor.end - machine->begin)
        machine->failed = true;
    else
        machine->cursor.at = machine->begin + target;
}

static void expression_shuffle(struct machine *machine, uint8_t op) {
    struct unwind_term a, b, c;
    switch (op) {
    case OP_DUP:
        expression_push(machine, expression_pick(machine, 0));
        break;
    case OP_DROP:
        expression_pop(machine);
        break;
    case OP_OVER:
        expression_push(machine, expression_pick(machine, 1));
        break;
    case OP_PICK:
        expression_push(machine, expression_pick(machine, unwind_read_byte(&machine->cursor)));
        break;
    case OP_SWAP:
        a = expression_pop(machine);
        b = expression_pop(machine);
        expression_push(machine, a);
        expression_push(machine, b);
        break;
    case OP_ROT: // the top goes third
        a = expression_pop(machine);
        b = expression_pop(machine);
        c = expression_pop(machine);
        expression_push(machine, a);
        expression_push(machine, c);
        expression_push(machine, b);
        break;
    }
}

static void expression_step(struct machine *machine) {
    struct unwind_cursor *cursor = &machine->cursor;
    struct unwind_term term;
    uint8_t op = unwind_read_byte(cursor);
    if (op >= OP_LIT0 && op <= OP_LIT31) {
        expression_push_number(machine, op - OP_LIT0);
        return;
    }
    if (op >= OP_BREG0 && op <= OP_BREG31) {
        expression_register(machine, (uint64_t)op - OP_BREG0);
        return;
    }
    switch (op) {
    case OP_ADDR:
    case OP_CONST8U:
    case OP_CONST8S:
        expression_push_number(machine, unwind_read_signed(cursor, 8));
        break;
    case OP_CONST1U:
        expression_push_number(machine, (int64_t)unwind_read_unsigned(cursor, 1));
        break;
    case OP_CONST1S:
        expression_push_number(machine, unwind_read_signed(cursor, 1));
        break;
    case OP_CONST2U:
        expression_push_number(machine, (int64_t)unwind_read_unsigned(cursor, 2));
        break;
    case OP_CONST2S:
        expression_push_number(machine, unwind_read_signed(cursor, 2));
        break;
    case OP_CONST4U:
        expression_push_number(machine, (int64_t)unwind_read_unsigned(cursor, 4));
        break;
    case OP_CONST4S:
        expression_push_number(machine, unwind_read_signed(cursor, 4));
        break;
    case OP_CONSTU:
        expression_push_number(machine, (int64_t)unwind_read_uleb(cursor));
        break;
    case OP_CONSTS:
        expression_push_number(machine, unwind_read_sleb(cursor));
        break;
    case OP_DUP:
    case OP_DROP:
    case OP_OVER:
    case OP_PICK:
    case OP_SWAP:
    case OP_ROT:
        expression_shuffle(machine, op);
        break;
    case OP_DEREF:
        term = expression_pop(machine);
        if (machine->failed || !machine->environment->load(machine->environment->context, term, &term))
            machine->failed = true;
        else
            expression_push(machine, term);
        break;
    case OP_PLUS:
    case OP_MINUS:
        expression_plus(machine, op == OP_MINUS);
        break;
    case OP_PLUS_UCONST:
        expression_push_number(machine, (int64_t)unwind_read_uleb(cursor));
        expression_plus(machine, false);
        break;
    case OP_ABS:
    case OP_NEG:
    case OP_NOT:
        expression_unary(machine, op);
        break;
    case OP_AND:
    case OP_DIV:
    case OP_MOD:
    case OP_MUL:
    case OP_OR:
    case OP_SHL:
    case OP_SHR:
    case OP_SHRA:
    case OP_XOR:
    case OP_EQ:
    case OP_GE:
    case OP_GT:
    case OP_LE:
    case OP_LT:
    case OP_NE:
        expression_binary(machine, op);
        break;
    case OP_BRA:
        expression_jump(machine, expression_pop_number(machine) != 0);
        break;
    case OP_SKIP:
        expression_jump(machine, true);
        break;
    case OP_BREGX:
        expression_register(machine, unwind_read_uleb(cursor));
        break;
    case OP_NOP:
        break;
    default:
        machine->failed = true;
    }
}

bool unwind_expression_run(const uint8_t *expression, const struct unwind_term *start,
                           const struct unwind_environment *environment, struct unwind_term *out) {
    // The length was read within bounds when the row was made, so it and the bytes are there.
    struct unwind_cursor length = {expression, expression + 10, false};
    uint64_t size = unwind_read_uleb(&length);
    if (length.bad)
        return false;
    struct machine machine;
    machine.environment = environment;
    machine.begin = length.at;
    machine.cursor = (struct unwind_cursor){length.at, length.at + size, false};
    machine.depth = 0;
    machine.failed = false;
    if (start)
        expression_push(&machine, *start);
    for (unsigned steps = 0; machine.cursor.at < machine.cursor.end; steps++) {
        if (steps == EXPRESSION_STEPS)
            return false;
        expression_step(&machine);
        if (machine.failed || machine.cursor.bad)
            return false;
    }
    *out = expression_pop(&machine);
    return !machine.failed;
}
