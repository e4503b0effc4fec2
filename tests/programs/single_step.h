// SPDX-License-Identifier: MIT
//
// Between these two, the thread is sent SIGTRAP after each instruction (x86's trap flag).

#ifndef PEAKLINE_TESTS_SINGLE_STEP_H
#define PEAKLINE_TESTS_SINGLE_STEP_H

// The stack below its pointer may be in use.
#define SINGLE_STEP(operation, mask)                                                                         \
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; " operation                                            \
                     " %0, (%%rsp); popfq; lea 128(%%rsp), %%rsp"                                            \
                     :                                                                                       \
                     : "i"(mask)                                                                             \
                     : "memory", "cc")

static inline __attribute__((always_inline)) void single_step_begin(void) {
    SINGLE_STEP("orq", 0x100);
}

static inline __attribute__((always_inline)) void single_step_end(void) {
    SINGLE_STEP("andq", ~0x100);
}

#endif
