// SPDX-License-Identifier: MIT
//
// Address to module to FDE. Everything that is read lies in readable segments of the module, as its program
// headers give them.

#include "shim/unwind_find.h"
#include "shim/sys.h"
#include "shim/unwind_cfi.h"
#include "shim/unwind_maps.h"
#include "shim/unwind_read.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#define FIND_PAGE 4096u
#define FIND_TABLE 0x3b // how linkers encode the search table: 32-bit numbers relative to the header

// glibc's struct dl_find_object, declared here because older headers lack it.
struct find_result {
    unsigned long long flags;
    void *start, *end;
    struct link_map *map;
    void *frame_header;
    unsigned long long reserved[7];
};

extern int find_in_loader(void *address, struct find_result *result) __asm__("_dl_find_object")
    __attribute__((weak));

static struct {
    uintptr_t vdso;
    uintptr_t program_start; // the page of the main program's file header
    char program[4096];      // the main program's path: the loader calls it ""
} find;

void unwind_find_init(void) {
    find.vdso = getauxval(AT_SYSINFO_EHDR);
    find.program_start = getauxval(AT_PHDR) & ~(uintptr_t)(FIND_PAGE - 1);
    long length =
        sys_call(SYS_readlink, (long)"/proc/self/exe", (long)find.program, sizeof find.program - 1, 0, 0, 0);
    find.program[sys_failed(length) ? 0 : length] = '\0';
}

// The module's program headers, if its file header is where the module starts and they follow in the same
// page, as all linkers arrange it.
static const Elf64_Phdr *find_segments(uintptr_t start, unsigned *count) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)start;
    if (__builtin_memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phoff > FIND_PAGE ||
        header->e_phoff % 8 != 0 || header->e_phnum > (FIND_PAGE - header->e_phoff) / sizeof(Elf64_Phdr))
        return NULL;
    *count = header->e_phnum;
    return (const Elf64_Phdr *)(start + header->e_phoff);
}

bool unwind_find_image(uintptr_t start, struct unwind_object *out) {
    unsigned count;
    const Elf64_Phdr *segment = find_segments(start, &count);
    if (!segment)
        return false;
    uintptr_t low = UINTPTR_MAX, high = 0, header = 0;
    for (unsigned i = 0; i < count; i++) {
        if (segment[i].p_type == PT_LOAD) {
            if (segment[i].p_vaddr < low)
                low = segment[i].p_vaddr;
            if (segment[i].p_vaddr + segment[i].p_memsz > high)
                high = segment[i].p_vaddr + segment[i].p_memsz;
        } else if (segment[i].p_type == PT_GNU_EH_FRAME) {
            header = segment[i].p_vaddr;
        }
    }
    if (high <= low)
        return false;
    low &= ~(uintptr_t)(FIND_PAGE - 1);
    high = (high + FIND_PAGE - 1) & ~(uintptr_t)(FIND_PAGE - 1);
    out->start = start;
    out->end = start + (high - low);
    out->bias = start - low;
    out->frame_header = header ? out->bias + header : 0;
    return true;
}

// The vDSO is looked at first-hand: loaders differ in what they know about it.
static bool find_vdso(uintptr_t address, struct unwind_object *out) {
    if (!find.vdso || address - find.vdso >= 16 * FIND_PAGE || !unwind_find_image(find.vdso, out) ||
        address - out->start >= out->end - out->start)
        return false;
    out->path = "linux-vdso.so.1";
    return true;
}

bool unwind_find(uintptr_t address, struct unwind_object *out) {
    if (find_vdso(address, out))
        return true;
    if (!find_in_loader)
        return unwind_maps_find(address, out);
    struct find_result result;
    if (find_in_loader((void *)address, &result) != 0)
        return false;
    const bool library = result.map->l_name && result.map->l_name[0];
    out->start = (uintptr_t)result.start;
    out->end = ((uintptr_t)result.end + FIND_PAGE - 1) & ~(uintptr_t)(FIND_PAGE - 1);
    out->bias = result.map->l_addr;
    // Of a module with gaps between its segments the loader names only the segment that the address is in.
    struct find_result first;
    const uintptr_t start = library ? result.map->l_addr : find.program_start;
    struct unwind_object whole;
    if (__builtin_expect(start < out->start, 0) && find_in_loader((void *)start, &first) == 0 &&
        first.map == result.map && unwind_find_image(start, &whole) && whole.bias == out->bias &&
        whole.end >= out->end) {
        out->start = whole.start;
        out->end = whole.end;
    }
    out->path = library ? result.map->l_name : find.program;
    out->frame_header = (uintptr_t)result.frame_header;
    return true;
}

// The readable segment that `address` lies in, cut to the module.
static bool find_segment(const struct unwind_object *object, uintptr_t address, const uint8_t **low,
                         const uint8_t **high) {
    unsigned count = 0;
    const Elf64_Phdr *segment = find_segments(object->start, &count);
    for (unsigned i = 0; segment && i < count; i++) {
        uintptr_t start = object->bias + segment[i].p_vaddr, end = start + segment[i].p_memsz;
        if (segment[i].p_type != PT_LOAD || !(segment[i].p_flags & PF_R) || start < object->start ||
            end > object->end || address < start || address >= end)
            continue;
        *low = (const uint8_t *)start;
        *high = (const uint8_t *)end;
        return true;
    }
    return false;
}

static bool find_parse(const struct unwind_object *object, uintptr_t record, uintptr_t address,
                       struct unwind_fde *out) {
    const uint8_t *low, *high;
    return find_segment(object, record, &low, &high) &&
           unwind_cfi_parse((const uint8_t *)record, low, high, object->frame_header, out) &&
           address >= out->start && address < out->end;
}

// Without a table to search: every record, one after the other.
static bool find_scan(const struct unwind_object *object, uintptr_t frames, uintptr_t address,
                      struct unwind_fde *out) {
    const uint8_t *low, *high;
    if (!find_segment(object, frames, &low, &high))
        return false;
    for (const uint8_t *record = (const uint8_t *)frames; record; record = unwind_cfi_next(record, high))
        if (unwind_cfi_parse(record, low, high, object->frame_header, out) && address >= out->start &&
            address < out->end)
            return true;
    return false;
}

// Entries are sorted by start: the last one that does not start behind the address is the one, or none is.
static bool find_search(const struct unwind_object *object, const uint8_t *table, uint64_t count,
                        uintptr_t address, struct unwind_fde *out) {
    struct entry {
        int32_t start, record;
    };
    uint64_t low = 0, high = count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct entry entry;
        __builtin_memcpy(&entry, table + middle * sizeof entry, sizeof entry);
        if (object->frame_header + (uintptr_t)(intptr_t)entry.start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    struct entry entry;
    __builtin_memcpy(&entry, table + (low - 1) * sizeof entry, sizeof entry);
    return find_parse(object, object->frame_header + (uintptr_t)(intptr_t)entry.record, address, out);
}

enum unwind_found unwind_find_in(const struct unwind_object *object, uintptr_t address,
                                 struct unwind_fde *out) {
    const uint8_t *low, *high;
    if (!object->frame_header || !find_segment(object, object->frame_header, &low, &high))
        return UNWIND_NO_FDE;
    struct unwind_cursor cursor = {(const uint8_t *)object->frame_header, high, false};
    uint8_t version = unwind_read_byte(&cursor);
    uint8_t frames_encoding = unwind_read_byte(&cursor);
    uint8_t count_encoding = unwind_read_byte(&cursor);
    uint8_t table_encoding = unwind_read_byte(&cursor);
    uint64_t frames = unwind_read_pointer(&cursor, frames_encoding, object->frame_header);
    if (cursor.bad || version != 1)
        return UNWIND_NO_FDE;
    bool found;
    if (count_encoding == UNWIND_ENCODE_OMIT || table_encoding != FIND_TABLE) {
        found = find_scan(object, frames, address, out);
    } else {
        uint64_t count = unwind_read_pointer(&cursor, count_encoding, object->frame_header);
        if (cursor.bad || count > (uint64_t)(high - cursor.at) / 8)
            return UNWIND_NO_FDE;
        found = find_search(object, cursor.at, count, address, out);
    }
    return found ? UNWIND_FOUND : UNWIND_NO_FDE;
}

enum unwind_found unwind_find_fde(uintptr_t address, struct unwind_fde *out) {
    struct unwind_object object;
    return unwind_find(address, &object) ? unwind_find_in(&object, address, out) : UNWIND_NO_MODULE;
}

bool unwind_find_origin(uintptr_t address) {
    struct unwind_fde fde;
    return unwind_find_fde(address - 1, &fde) != UNWIND_FOUND &&
           unwind_find_fde(address, &fde) == UNWIND_FOUND && fde.start == address;
}

uintptr_t unwind_function_start(uintptr_t address) {
    struct unwind_fde fde;
    return unwind_find_fde(address, &fde) == UNWIND_FOUND ? fde.start : 0;
}
