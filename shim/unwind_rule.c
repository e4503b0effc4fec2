// SPDX-License-Identifier: MIT
//
// Compiling rows to rules, and the slow half of the cache.

#include "shim/unwind_rule.h"
#include "shim/arena.h"
#include "shim/unwind_cfi.h"
#include "shim/unwind_expression.h"

// Registers as symbols: rsp, rbp, and rip, which is known.
static bool rule_register(void *context, unsigned number, struct unwind_term *out) {
    switch (number) {
    case UNWIND_RSP:
        *out = (struct unwind_term){UNWIND_SP, 0, 0};
        return true;
    case UNWIND_RBP:
        *out = (struct unwind_term){UNWIND_FP, 0, 0};
        return true;
    case UNWIND_RIP:
        *out = (struct unwind_term){UNWIND_NUMBER, (int64_t) * (const uint64_t *)context, 0};
        return true;
    }
    return false;
}

static bool rule_load(void *context, struct unwind_term address, struct unwind_term *out) {
    (void)context;
    if (address.base != UNWIND_FP)
        return false;
    *out = (struct unwind_term){UNWIND_FP_WORD, 0, address.offset};
    return true;
}

static bool rule_evaluate(const uint8_t *expression, const struct unwind_term *start, uint64_t pc,
                          struct unwind_term *out) {
    const struct unwind_environment environment = {&pc, rule_register, rule_load};
    return unwind_expression_run(expression, start, &environment, out);
}

static bool rule_fits(int64_t offset, unsigned bits) {
    return offset >= -((int64_t)1 << (bits - 1)) && offset < (int64_t)1 << (bits - 1);
}

static uint64_t rule_cfa(const struct unwind_row *row, uint64_t pc, struct unwind_term *cfa) {
    if (row->cfa_expression) {
        if (!rule_evaluate(row->cfa_expression, NULL, pc, cfa))
            return UNWIND_CFA_ROW;
    } else {
        struct unwind_term base;
        if ((row->cfa_register != UNWIND_RSP && row->cfa_register != UNWIND_RBP) ||
            !rule_register(&pc, row->cfa_register, &base))
            return UNWIND_CFA_ROW;
        *cfa = (struct unwind_term){base.base, row->cfa_offset, 0};
    }
    switch (cfa->base) {
    case UNWIND_SP:
        return rule_fits(cfa->offset, 32) ? UNWIND_CFA_SP | (uint64_t)cfa->offset << 32 : UNWIND_CFA_ROW;
    case UNWIND_FP:
        return rule_fits(cfa->offset, 32) ? UNWIND_CFA_FP | (uint64_t)cfa->offset << 32 : UNWIND_CFA_ROW;
    case UNWIND_FP_WORD:
        return rule_fits(cfa->offset, 16) && rule_fits(cfa->inner, 16)
                   ? UNWIND_CFA_FP_WORD | ((uint64_t)cfa->inner & 0xffff) << 32 | (uint64_t)cfa->offset << 48
                   : UNWIND_CFA_ROW;
    case UNWIND_NUMBER:
        break;
    }
    return UNWIND_CFA_ROW;
}

static uint64_t rule_pack_fp(enum unwind_fp fp, int64_t offset) {
    return (uint64_t)fp << 3 | ((uint64_t)offset & 0xffffff) << 8;
}

// False: not one word's worth.
static bool rule_fp(const struct unwind_row *row, const struct unwind_term *cfa, uint64_t pc, uint64_t *out) {
    int64_t what = row->what[UNWIND_RBP];
    struct unwind_term place;
    switch (row->how[UNWIND_RBP]) {
    case UNWIND_UNSET:
    case UNWIND_SAME:
        *out = rule_pack_fp(UNWIND_FP_SAME, 0);
        return true;
    case UNWIND_UNDEFINED:
        *out = rule_pack_fp(UNWIND_FP_LOST, 0);
        return true;
    case UNWIND_AT:
        *out = rule_pack_fp(UNWIND_FP_AT_CFA, what);
        return rule_fits(what, 24);
    case UNWIND_AT_EXPRESSION:
        if (!rule_evaluate((const uint8_t *)(uintptr_t)what, cfa, pc, &place) || place.base != UNWIND_FP)
            return false;
        *out = rule_pack_fp(UNWIND_FP_AT_FP, place.offset);
        return rule_fits(place.offset, 24);
    }
    return false;
}

uint64_t unwind_rule_compile(const struct unwind_fde *fde, const struct unwind_row *row, uint64_t pc) {
    if (row->how[UNWIND_RIP] == UNWIND_UNDEFINED)
        return UNWIND_CFA_END;
    if (fde->signal || row->how[UNWIND_RIP] != UNWIND_AT || row->what[UNWIND_RIP] != -8 ||
        (row->how[UNWIND_RSP] != UNWIND_UNSET && row->how[UNWIND_RSP] != UNWIND_SAME))
        return UNWIND_CFA_ROW;
    struct unwind_term cfa;
    uint64_t rule = rule_cfa(row, pc, &cfa), fp;
    if (unwind_rule_cfa(rule) == UNWIND_CFA_ROW || !rule_fp(row, &cfa, pc, &fp))
        return UNWIND_CFA_ROW;
    return rule | fp;
}

// The region for the cache; whoever comes second uses the first one's. A thousand rules are learnt in a
// fraction of a millisecond, so without memory every one is simply made anew.
static struct unwind_entry *rule_table(struct unwind_state *state) {
    struct unwind_entry *rules = __atomic_load_n(&state->rules, __ATOMIC_ACQUIRE);
    if (rules)
        return rules;
    struct unwind_entry *mine = arena_reserve(UNWIND_BUCKETS_MAX * UNWIND_BUCKET * sizeof *mine);
    if (!mine)
        return NULL;
    __atomic_store_n(&state->mask, UNWIND_BUCKETS_MIN - 1, __ATOMIC_RELAXED);
    if (__atomic_compare_exchange_n(&state->rules, &rules, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return mine;
    return rules;
}

// Use more of the region when a quarter of what is used has been pushed out. Entries whose bucket is
// another one now are learnt again.
static void rule_evicted(struct unwind_state *state, uint32_t mask) {
    uint32_t evictions = __atomic_add_fetch(&state->evictions, 1, __ATOMIC_RELAXED);
    if (evictions < (mask + 1) * UNWIND_BUCKET / 4 || mask == UNWIND_BUCKETS_MAX - 1)
        return;
    __atomic_store_n(&state->evictions, 0, __ATOMIC_RELAXED);
    __atomic_compare_exchange_n(&state->mask, &mask, mask * 2 + 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static void rule_keep(struct unwind_state *state, uint64_t generation, uintptr_t address, uint64_t rule) {
    struct unwind_entry *rules = rule_table(state);
    if (!rules)
        return;
    uint32_t mask = __atomic_load_n(&state->mask, __ATOMIC_RELAXED);
    struct unwind_entry *entry = rules + UNWIND_BUCKET * unwind_rule_bucket(address, mask);
    unsigned i = 0;
    while (i < UNWIND_BUCKET && __atomic_load_n(&entry[i].rule, __ATOMIC_RELAXED) != 0)
        i++;
    if (i == UNWIND_BUCKET) {
        i = (unsigned)__atomic_load_n(&state->evictions, __ATOMIC_RELAXED) % UNWIND_BUCKET;
        rule_evicted(state, mask);
    }
    uint64_t check = unwind_rule_key(generation, address) ^ unwind_rule_mix(rule);
    __atomic_store_n(&entry[i].check, check, __ATOMIC_RELAXED);
    __atomic_store_n(&entry[i].rule, rule, __ATOMIC_RELAXED);
}

__attribute__((noinline, cold)) uint64_t unwind_rule_learn(struct unwind_state *state, uintptr_t address) {
    uint64_t generation = __atomic_load_n(&state->generation, __ATOMIC_ACQUIRE);
    uint64_t pc = address - 1, rule = UNWIND_CFA_NONE;
    struct unwind_fde fde;
    struct unwind_row row;
    enum unwind_found found = address >> 47 ? UNWIND_NO_MODULE : unwind_find_fde(pc, &fde);
    if (found == UNWIND_FOUND && unwind_cfi_row(&fde, pc, &row))
        rule = unwind_rule_compile(&fde, &row, pc);
    else if (found == UNWIND_NO_FDE && unwind_find_origin(address))
        rule = UNWIND_CFA_END;
    // Where no module is, one may come.
    if (found != UNWIND_NO_MODULE)
        rule_keep(state, generation, address, rule);
    return rule;
}

void unwind_rule_forget(struct unwind_state *state) {
    uint64_t generation = __atomic_add_fetch(&state->generation, 1, __ATOMIC_ACQ_REL);
    // Keys hold 16 bits of it. Before they come round again, what was learnt with them must be gone.
    struct unwind_entry *rules = __atomic_load_n(&state->rules, __ATOMIC_ACQUIRE);
    if (rules && (generation & 0xffff) == 0)
        for (uint32_t i = 0; i < UNWIND_BUCKETS_MAX * UNWIND_BUCKET; i++)
            __atomic_store_n(&rules[i].rule, 0, __ATOMIC_RELAXED);
}
