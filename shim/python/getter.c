// SPDX-License-Identifier: MIT
//
// The forms that compilers give `return variable;` on x86-64, by the variable's kind of linkage and, if it is
// thread-local, its model (Drepper, "ELF Handling For Thread-Local Storage", sections 4.1.6 to 4.4.6).
// Whatever is not one of them to the byte is not known.

#include "shim/python/getter.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

void *__tls_get_addr(const void *index);

struct getter_code {
    const unsigned char *at;
};

static bool getter_is(struct getter_code *code, const char *bytes, size_t count) {
    if (memcmp(code->at, bytes, count) != 0)
        return false;
    code->at += count;
    return true;
}

#define GETTER_IS(code, bytes) getter_is(code, bytes, sizeof bytes - 1)

static uintptr_t getter_number(struct getter_code *code) {
    int32_t number;
    memcpy(&number, code->at, sizeof number);
    code->at += sizeof number;
    return (uintptr_t)(intptr_t)number;
}

// An operand relative to the next instruction, which follows it.
static uintptr_t getter_near(struct getter_code *code) {
    uintptr_t distance = getter_number(code);
    return (uintptr_t)code->at + distance;
}

static uintptr_t getter_load(uintptr_t address) {
    uintptr_t word;
    memcpy(&word, (const void *)address, sizeof word);
    return word;
}

#define GETTER_RET "\xc3"

// mov near(%rip), %rax; then one of: ret; mov offset(%rax), %rax; ret; mov (%rax), %rax; ret;
// mov %fs:(%rax), %rax; ret
static struct getter getter_decode_near(struct getter_code code) {
    uintptr_t place = getter_near(&code), offset = 0;
    if (GETTER_IS(&code, GETTER_RET))
        return (struct getter){GETTER_PLAIN, place};
    if (GETTER_IS(&code, "\x64\x48\x8b\x00" GETTER_RET))
        return (struct getter){GETTER_THREAD, getter_load(place)};
    if (GETTER_IS(&code, "\x48\x8b\x80"))
        offset = getter_number(&code);
    else if (!GETTER_IS(&code, "\x48\x8b\x00"))
        return (struct getter){GETTER_UNKNOWN, 0};
    if (!GETTER_IS(&code, GETTER_RET))
        return (struct getter){GETTER_UNKNOWN, 0};
    return (struct getter){GETTER_PLAIN, getter_load(place) + offset};
}

// sub $8, %rsp; lea near(%rip), %rdi; call __tls_get_addr; mov (%rax), %rax; add $8, %rsp; ret
static struct getter getter_decode_dynamic(struct getter_code code) {
    uintptr_t index = getter_near(&code);
    if (!GETTER_IS(&code, "\x66\x66\x48\xe8")) // through the PLT
        return (struct getter){GETTER_UNKNOWN, 0};
    getter_number(&code);
    if (!GETTER_IS(&code, "\x48\x8b\x00\x48\x83\xc4\x08" GETTER_RET))
        return (struct getter){GETTER_UNKNOWN, 0};
    return (struct getter){GETTER_DYNAMIC, index};
}

struct getter getter_decode(const void *function) {
    struct getter_code code = {function};
    GETTER_IS(&code, "\xf3\x0f\x1e\xfa"); // endbr64
    if (GETTER_IS(&code, "\x48\x8b\x05"))
        return getter_decode_near(code);
    if (GETTER_IS(&code, "\x48\x83\xec\x08\x66\x48\x8d\x3d"))
        return getter_decode_dynamic(code);
    if (GETTER_IS(&code, "\x64\x48\x8b\x04\x25")) { // mov %fs:offset, %rax; ret
        uintptr_t offset = getter_number(&code);
        if (GETTER_IS(&code, GETTER_RET))
            return (struct getter){GETTER_THREAD, offset};
    }
    return (struct getter){GETTER_UNKNOWN, 0};
}

struct getter_index { // of the argument for __tls_get_addr
    uintptr_t module, offset;
};

union getter_vector { // what the word after the thread pointer's own leads to; [-1] and [0] are not modules
    uintptr_t length;
    struct {
        uintptr_t block, to_free;
    } module;
};

#define GETTER_UNALLOCATED UINTPTR_MAX // TLS_DTV_UNALLOCATED

bool getter_untouched(const struct getter *getter) {
    if (getter->kind != GETTER_DYNAMIC)
        return false;
    const struct getter_index *index = (const struct getter_index *)getter->address;
    const union getter_vector *vector = ((union getter_vector *const *)__builtin_thread_pointer())[1];
    return index->module > vector[-1].length || vector[index->module].module.block == GETTER_UNALLOCATED ||
           !vector[index->module].module.block;
}

const void *const *getter_place(const struct getter *getter) {
    switch (getter->kind) {
    case GETTER_PLAIN:
        return (const void *const *)getter->address;
    case GETTER_THREAD:
        return (const void *const *)((uintptr_t)__builtin_thread_pointer() + getter->address);
    case GETTER_DYNAMIC:
        return __tls_get_addr((const void *)getter->address);
    case GETTER_UNKNOWN:
        break;
    }
    return NULL;
}
