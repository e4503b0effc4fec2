// SPDX-License-Identifier: MIT
//
// Callers that the unwinder must find by other registers, and callers that it must not guess at: with rbx and
// r12 as frame base, without unwind information, with rbp holding anything.

#include "target.h"

#include <alloca.h>
#include <stdlib.h>

#define FUNCTION(name, body)                                                                                 \
    __asm__(".text\n.type " name ", @function\n" name ":\n" body ".size " name ", .-" name "\n");

// The frame moves by an unknown amount below rbx.
FUNCTION("by_rbx", ".cfi_startproc\n"
                   "push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbx, 0\n"
                   "mov %rsp, %rbx\n.cfi_def_cfa_register %rbx\n"
                   "and $-64, %rsp\nsub $128, %rsp\n"
                   "call *%rdi\n"
                   "mov %rbx, %rsp\n.cfi_def_cfa_register %rsp\n"
                   "pop %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbx\n"
                   "ret\n.cfi_endproc\n")
FUNCTION("by_r12", ".cfi_startproc\n"
                   "push %r12\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r12, 0\n"
                   "mov %rsp, %r12\n.cfi_def_cfa_register %r12\n"
                   "and $-128, %rsp\nsub $256, %rsp\n"
                   "call *%rdi\n"
                   "mov %r12, %rsp\n.cfi_def_cfa_register %rsp\n"
                   "pop %r12\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r12\n"
                   "ret\n.cfi_endproc\n")
// rbp is just another register here.
FUNCTION("rbp_smashed", ".cfi_startproc\n"
                        "push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbp, 0\n"
                        "mov $0x123456789abcd, %rbp\n"
                        "call *%rdi\n"
                        "pop %rbp\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbp\n"
                        "ret\n.cfi_endproc\n")
// Nothing is said about this one.
FUNCTION("unknown", "push %rbp\n"
                    "mov %rsp, %rbp\n"
                    "call *%rdi\n"
                    "pop %rbp\n"
                    "ret\n")
// It lies: the frame is said to reach far beyond the stack, below itself, and at an odd address.
FUNCTION("lies_far", ".cfi_startproc\n.cfi_def_cfa_offset 0x7fffff0\n"
                     "push %rbp\ncall *%rdi\npop %rbp\nret\n.cfi_endproc\n")
FUNCTION("lies_below", ".cfi_startproc\n.cfi_def_cfa_offset -64\n"
                       "push %rbp\ncall *%rdi\npop %rbp\nret\n.cfi_endproc\n")
FUNCTION("lies_odd", ".cfi_startproc\n.cfi_def_cfa_offset 19\n"
                     "push %rbp\ncall *%rdi\npop %rbp\nret\n.cfi_endproc\n")

void by_rbx(void (*)(void)) __asm__("by_rbx");
void by_r12(void (*)(void)) __asm__("by_r12");
void rbp_smashed(void (*)(void)) __asm__("rbp_smashed");
void unknown(void (*)(void)) __asm__("unknown");
void lies_far(void (*)(void)) __asm__("lies_far");
void lies_below(void (*)(void)) __asm__("lies_below");
void lies_odd(void (*)(void)) __asm__("lies_odd");

static void allocate(void) {
    free(opaque(malloc(81)));
    free(opaque(malloc(83)));
}

static void nested(void) {
    allocate();
    by_r12(allocate);
    allocate();
}

static void smashed_nested(void) {
    allocate();
    by_rbx(allocate);
}

// The frame is elsewhere while everything below it, aligned as it is, stays in its place.
__attribute__((noinline)) static void shifted(unsigned bytes) {
    char *some = opaque(alloca(bytes + 1));
    some[0] = 1;
    by_rbx(allocate);
    by_r12(allocate);
}

int main(int argc, char **argv) {
    (void)argv;
    for (int i = 0; i < 20; i++) {
        by_rbx(allocate);
        by_r12(allocate);
        by_rbx(nested);
        rbp_smashed(allocate);
        rbp_smashed(smashed_nested);
        for (unsigned bytes = 0; bytes < 256; bytes += 16)
            shifted(bytes);
        allocate();
    }
    // With an argument: what cannot be followed.
    for (int i = 0; i < 20 && argc > 1; i++) {
        unknown(allocate);
        unknown(nested);
        lies_far(allocate);
        lies_below(allocate);
        lies_odd(allocate);
    }
    say("done\n");
}
