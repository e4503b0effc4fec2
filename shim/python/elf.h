// SPDX-License-Identifier: MIT
//
// Dynamic symbols of a module that is loaded in this process, found without dlsym: that would take the
// loader's lock, which may be held by a thread that waits for ours, and disturb what the host's dlerror()
// says.
//
// To be used inside a callback of dl_iterate_phdr, which keeps the module there; elf_needs and elf_name
// wherever it stays.

#ifndef PEAKLINE_PYTHON_ELF_H
#define PEAKLINE_PYTHON_ELF_H

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_module {
    const struct dl_phdr_info *info;
    uintptr_t low, high; // of its segments
    const Elf64_Sym *symbols;
    const char *strings;
    size_t strings_size;
    const uint32_t *gnu_hash; // or
    const uint32_t *hash;
};

// False: it has no dynamic symbols.
bool elf_open(struct elf_module *module, const struct dl_phdr_info *info);

// Address of a defined function or object; NULL when there is none.
void *elf_symbol(const struct elf_module *module, const char *name);

// The segment that `address` lies in: where it begins, and its size in bytes. NULL: in none.
const void *elf_segment(const struct elf_module *module, const void *address, size_t *size);

// Whether `size` bytes at `address` belong to a segment of the module; with `writable`, to one that stays so.
bool elf_holds(const struct elf_module *module, const void *address, size_t size, bool writable);

// Whether a module is linked with one of that name (DT_NEEDED), directly.
bool elf_needs(const struct link_map *module, const char *name);

// The name that a module has itself, or else that of its file. Empty where it has more bytes than `size` - 1.
void elf_name(const struct link_map *module, char *name, size_t size);

#endif
