// SPDX-License-Identifier: MIT
//
// Rules: how to get from a frame to its caller's, in one word, and the cache of them.
//
// The rule of a return address `a` is that of the call instruction before it, so it is made from the row at
// a - 1. For an instruction that a signal interrupted at p, ask for p + 1.
//
//   63           32 31            8 7   5 4    3 2   0
//   +--------------+---------------+-----+------+-----+
//   |  cfa offset  |   fp offset   |  0  |  fp  | cfa |
//   +--------------+---------------+-----+------+-----+
//
// With UNWIND_CFA_FP_WORD the cfa offset is two halves: CFA = *(rbp + low half) + high half.
// The return address is at CFA - 8; any other place makes it UNWIND_CFA_ROW.
//
// The cache: buckets of four entries, one cache line each, in a region reserved once and used from its start;
// when too many entries get pushed out, more of the region is used. Lock-free: an entry is two words, written
// in any order by anyone; the first is the address (with the generation in its unused top 16 bits) mixed with
// the second, so that a mixture of two writes, and anything from before unwind_forget, matches no address.

#ifndef PEAKLINE_UNWIND_RULE_H
#define PEAKLINE_UNWIND_RULE_H

#include "shim/unwind.h"

enum unwind_cfa {
    UNWIND_CFA_SP = 1,      // rsp + offset
    UNWIND_CFA_FP = 2,      // rbp + offset
    UNWIND_CFA_FP_WORD = 3, // in functions that realign their stack
    UNWIND_CFA_END = 4,     // the first frame of a stack
    UNWIND_CFA_ROW = 5,     // not one word's worth: evaluate the row (unwind_row.h)
    UNWIND_CFA_NONE = 6,    // nothing is known about this code
};

enum unwind_fp {
    UNWIND_FP_SAME = 0,
    UNWIND_FP_AT_CFA = 1, // at CFA + offset
    UNWIND_FP_AT_FP = 2,  // at rbp + offset
    UNWIND_FP_LOST = 3,
};

static inline enum unwind_cfa unwind_rule_cfa(uint64_t rule) {
    return (enum unwind_cfa)(rule & 7);
}

static inline enum unwind_fp unwind_rule_fp(uint64_t rule) {
    return (enum unwind_fp)(rule >> 3 & 3);
}

static inline int64_t unwind_rule_cfa_offset(uint64_t rule) {
    return (int64_t)rule >> 32;
}

static inline int64_t unwind_rule_fp_offset(uint64_t rule) {
    return (int64_t)(rule << 32) >> 40;
}

static inline int64_t unwind_rule_inner_offset(uint64_t rule) {
    return (int64_t)(rule << 16) >> 48;
}

static inline int64_t unwind_rule_outer_offset(uint64_t rule) {
    return (int64_t)rule >> 48;
}

#define UNWIND_BUCKET 4
#define UNWIND_BUCKETS_MIN 512   // 32 KiB
#define UNWIND_BUCKETS_MAX 16384 // 1 MiB

struct unwind_entry {
    uint64_t check;
    uint64_t rule; // 0 = empty
};

struct unwind_fde;
struct unwind_row;

// Makes a rule of a row. Pure.
uint64_t unwind_rule_compile(const struct unwind_fde *fde, const struct unwind_row *row, uint64_t pc);

// Makes the rule and caches it. Never waits.
uint64_t unwind_rule_learn(struct unwind_state *state, uintptr_t address);

static inline uint64_t unwind_rule_mix(uint64_t rule) {
    return rule * 0x9e3779b97f4a7c15u;
}

static inline uint64_t unwind_rule_key(uint64_t generation, uintptr_t address) {
    return address ^ generation << 48;
}

static inline uint64_t unwind_rule_bucket(uintptr_t address, uint32_t mask) {
    return unwind_rule_mix(address) >> 40 & mask;
}

// What a walk needs of the state, loaded once.
struct unwind_rules {
    struct unwind_state *state;
    const struct unwind_entry *entries;
    uint32_t mask;
    uint64_t generation;
};

static inline struct unwind_rules unwind_rule_open(struct unwind_state *state, uint64_t generation) {
    const struct unwind_entry *entries = __atomic_load_n(&state->rules, __ATOMIC_ACQUIRE);
    return (struct unwind_rules){state, entries, __atomic_load_n(&state->mask, __ATOMIC_RELAXED), generation};
}

static inline uint64_t unwind_rule_find(const struct unwind_rules *rules, uintptr_t address) {
    // Beyond user space, keys could be confused.
    if (__builtin_expect(!rules->entries || address >> 47, 0))
        return unwind_rule_learn(rules->state, address);
    uint64_t key = unwind_rule_key(rules->generation, address);
    const struct unwind_entry *entry =
        rules->entries + UNWIND_BUCKET * unwind_rule_bucket(address, rules->mask);
    for (int i = 0; i < UNWIND_BUCKET; i++) {
        uint64_t rule = __atomic_load_n(&entry[i].rule, __ATOMIC_RELAXED);
        if ((__atomic_load_n(&entry[i].check, __ATOMIC_RELAXED) ^ unwind_rule_mix(rule)) == key && rule)
            return rule;
    }
    return unwind_rule_learn(rules->state, address);
}

// Nothing that was learnt before counts from now on.
void unwind_rule_forget(struct unwind_state *state);

#endif
