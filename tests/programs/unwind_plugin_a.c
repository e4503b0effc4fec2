// SPDX-License-Identifier: MIT
// output: libunwind_plugin_a.so
// cflags: -shared -fPIC
//
// Half of unwind_plugins. Both plugins have the same code at the same place but for the size of one frame, so
// that, loaded one after the other at one address, the same return address means two different rules.

__asm__(".globl plugin_call\n"
        ".type plugin_call, @function\n"
        "plugin_call:\n"
        "    .cfi_startproc\n"
        "    sub $24, %rsp\n"
        "    .cfi_adjust_cfa_offset 24\n"
        "    call *%rdi\n"
        "    add $24, %rsp\n"
        "    .cfi_adjust_cfa_offset -24\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size plugin_call, .-plugin_call\n");
