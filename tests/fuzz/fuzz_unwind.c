// SPDX-License-Identifier: MIT
// needs: shim/unwind.c shim/unwind_walk.c shim/unwind_row.c shim/unwind_rule.c shim/unwind_cfi.c
// needs: shim/unwind_expression.c shim/unwind_find.c shim/unwind_maps.c tests/unit/unwind_double.c -ldl
//
// Hostile unwind tables: a module's .eh_frame_hdr and .eh_frame may hold anything, and the shim reads them
// inside somebody's program. Nothing outside of the segment may be read, and everything must come to an end.

#include "shim/unwind_cfi.h"
#include "shim/unwind_expression.h"
#include "shim/unwind_find.h"
#include "shim/unwind_rule.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u
#define INPUT_MOST 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool fuzz_register(void *context, unsigned number, struct unwind_term *out) {
    (void)context;
    *out = (struct unwind_term){.base = UNWIND_NUMBER, .offset = (int64_t)number << 40};
    return number < UNWIND_REGISTERS;
}

static bool fuzz_load(void *context, struct unwind_term address, struct unwind_term *out) {
    (void)context;
    *out = (struct unwind_term){.base = UNWIND_NUMBER, .offset = address.offset ^ 0x5555};
    return address.base == UNWIND_NUMBER;
}

static void fuzz_expression(const uint8_t *expression, const struct unwind_term *start) {
    const struct unwind_environment environment = {NULL, fuzz_register, fuzz_load};
    struct unwind_term term;
    (void)unwind_expression_run(expression, start, &environment, &term);
}

// What a walk would ask of an FDE, for one instruction.
static void fuzz_row(const struct unwind_fde *fde, uint64_t pc) {
    struct unwind_row row;
    if (!unwind_cfi_row(fde, pc, &row))
        return;
    (void)unwind_rule_compile(fde, &row, pc);
    if (row.cfa_expression)
        fuzz_expression(row.cfa_expression, NULL);
    const struct unwind_term cfa = {.base = UNWIND_NUMBER, .offset = 0x7000};
    for (unsigned i = 0; i < UNWIND_REGISTERS; i++)
        if (row.how[i] == UNWIND_AT_EXPRESSION || row.how[i] == UNWIND_IS_EXPRESSION)
            fuzz_expression((const uint8_t *)(uintptr_t)row.what[i], &cfa);
}

static void fuzz_fde(const struct unwind_fde *fde) {
    if (fde->end <= fde->start)
        return; // no instruction is in it
    const uint64_t length = fde->end - fde->start;
    fuzz_row(fde, fde->start);
    fuzz_row(fde, fde->start + length / 2);
    fuzz_row(fde, fde->end - 1);
}

// A module whose only segment ends with the input, and with the last page that can be read.
static uint8_t *fuzz_module(const uint8_t *data, size_t size, struct unwind_object *object) {
    static uint8_t *memory;
    const size_t room = PAGE + INPUT_MOST;
    if (!memory) {
        memory = mmap(NULL, room + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory + room, PAGE, PROT_NONE) != 0)
            abort();
    }
    uint8_t *input = memory + room - size;
    uint8_t *start = (uint8_t *)((uintptr_t)input & ~(uintptr_t)(PAGE - 1)) - PAGE;
    memset(start, 0, (size_t)(input - start));
    Elf64_Ehdr header = {.e_phoff = sizeof header, .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2};
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_DYN;
    header.e_machine = EM_X86_64;
    const size_t length = (size_t)(memory + room - start);
    const Elf64_Phdr segments[] = {
        {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_memsz = length, .p_filesz = length},
        {.p_type = PT_GNU_EH_FRAME, .p_flags = PF_R, .p_vaddr = (uint64_t)(input - start), .p_memsz = size},
    };
    memcpy(start, &header, sizeof header);
    memcpy(start + sizeof header, segments, sizeof segments);
    memcpy(input, data, size);
    *object = (struct unwind_object){
        .start = (uintptr_t)start,
        .end = (uintptr_t)(memory + room),
        .bias = (uintptr_t)start,
        .path = "module",
        .frame_header = (uintptr_t)input,
    };
    return input;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct unwind_object object;
    struct unwind_fde fde;
    if (size == 0 || size > INPUT_MOST - PAGE)
        return 0;
    const uint8_t *input = fuzz_module(data, size, &object), *end = input + size;
    // As a table to search, for addresses of the module.
    for (uintptr_t address = object.start; address < object.end; address += (object.end - object.start) / 16)
        if (unwind_find_in(&object, address, &fde) == UNWIND_FOUND)
            fuzz_fde(&fde);
    // As records, one after the other.
    for (const uint8_t *record = input; record; record = unwind_cfi_next(record, end))
        if (unwind_cfi_parse(record, input, end, object.frame_header, &fde))
            fuzz_fde(&fde);
    return 0;
}
