// SPDX-License-Identifier: MIT
//
// Symbol look-up by DT_GNU_HASH or DT_HASH, and DT_NEEDED. See elf.h.

#include "shim/python/elf.h"

static uintptr_t elf_low(const struct elf_module *module, const Elf64_Phdr *segment) {
    return module->info->dlpi_addr + segment->p_vaddr;
}

// The segment that the address is in; NULL: in none.
static const Elf64_Phdr *elf_find(const struct elf_module *module, uintptr_t address) {
    for (unsigned i = 0; i < module->info->dlpi_phnum; i++) {
        const Elf64_Phdr *segment = &module->info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && address - elf_low(module, segment) < segment->p_memsz)
            return segment;
    }
    return NULL;
}

// How many bytes from `start` on belong to the segment that it is in; 0: it is in none.
static size_t elf_rest(const struct elf_module *module, uintptr_t start, bool writable) {
    const Elf64_Phdr *segment = elf_find(module, start);
    if (!segment || (writable && !(segment->p_flags & PF_W)))
        return 0;
    return elf_low(module, segment) + segment->p_memsz - start;
}

const void *elf_segment(const struct elf_module *module, const void *address, size_t *size) {
    const Elf64_Phdr *segment = elf_find(module, (uintptr_t)address);
    if (!segment)
        return NULL;
    *size = segment->p_memsz;
    return (const void *)elf_low(module, segment);
}

static bool elf_becomes_read_only(const struct elf_module *module, uintptr_t start, size_t size) {
    for (unsigned i = 0; i < module->info->dlpi_phnum; i++) {
        const Elf64_Phdr *segment = &module->info->dlpi_phdr[i];
        uintptr_t low = module->info->dlpi_addr + segment->p_vaddr, high = low + segment->p_memsz;
        if (segment->p_type == PT_GNU_RELRO && start < high && start + size > low)
            return true;
    }
    return false;
}

bool elf_holds(const struct elf_module *module, const void *address, size_t size, bool writable) {
    uintptr_t start = (uintptr_t)address;
    if (writable && elf_becomes_read_only(module, start, size))
        return false;
    // patchelf adds a segment in front of the first one and lets tables begin in it.
    for (size_t rest; (rest = elf_rest(module, start, writable)) != 0; start += rest, size -= rest)
        if (size <= rest)
            return true;
    return false;
}

// The loader has added the bias to these pointers in most modules (not in the vDSO).
static const void *elf_pointer(const struct elf_module *module, Elf64_Addr value) {
    uintptr_t address = value < module->low ? value + module->info->dlpi_addr : value;
    return address >= module->low && address < module->high ? (const void *)address : NULL;
}

bool elf_open(struct elf_module *module, const struct dl_phdr_info *info) {
    *module = (struct elf_module){.info = info, .low = UINTPTR_MAX};
    const Elf64_Dyn *dynamic = NULL;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD) {
            module->low = start < module->low ? start : module->low;
            module->high = start + segment->p_memsz > module->high ? start + segment->p_memsz : module->high;
        } else if (segment->p_type == PT_DYNAMIC) {
            dynamic = (const Elf64_Dyn *)start;
        }
    }
    if (!dynamic || !elf_holds(module, dynamic, sizeof *dynamic, false))
        return false;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        switch (dynamic->d_tag) {
        case DT_SYMTAB:
            module->symbols = elf_pointer(module, dynamic->d_un.d_ptr);
            break;
        case DT_STRTAB:
            module->strings = elf_pointer(module, dynamic->d_un.d_ptr);
            break;
        case DT_STRSZ:
            module->strings_size = dynamic->d_un.d_val;
            break;
        case DT_GNU_HASH:
            module->gnu_hash = elf_pointer(module, dynamic->d_un.d_ptr);
            break;
        case DT_HASH:
            module->hash = elf_pointer(module, dynamic->d_un.d_ptr);
            break;
        default:
            break;
        }
    }
    return module->symbols && module->strings && (module->gnu_hash || module->hash) &&
           elf_holds(module, module->strings, module->strings_size, false);
}

static void *elf_match(const struct elf_module *module, uint32_t index, const char *name) {
    const Elf64_Sym *symbol = &module->symbols[index];
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_name >= module->strings_size ||
        __builtin_strcmp(module->strings + symbol->st_name, name) != 0)
        return NULL;
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    if (type != STT_FUNC && type != STT_OBJECT && type != STT_NOTYPE)
        return NULL;
    void *address = (void *)(module->info->dlpi_addr + symbol->st_value);
    return elf_holds(module, address, 1, false) ? address : NULL;
}

// The table: counts of buckets, first symbol, words of the Bloom filter and its shift; filter; buckets;
// hashes.
static void *elf_gnu_symbol(const struct elf_module *module, const char *name) {
    uint32_t hash = 5381;
    for (const unsigned char *at = (const unsigned char *)name; *at; at++)
        hash = hash * 33 + *at;
    const uint32_t *head = module->gnu_hash;
    uint32_t buckets = head[0], first = head[1], words = head[2], shift = head[3];
    const uint64_t *filter = (const uint64_t *)(head + 4);
    if (!buckets || !words)
        return NULL;
    uint64_t word = filter[hash / 64 % words];
    if (!(word >> hash % 64 & 1) || !(word >> (hash >> shift) % 64 & 1))
        return NULL;
    const uint32_t *bucket = (const uint32_t *)(filter + words), *chain = bucket + buckets;
    uint32_t index = bucket[hash % buckets];
    if (index < first)
        return NULL;
    for (;; index++) {
        uint32_t other = chain[index - first];
        if ((other | 1) == (hash | 1)) {
            void *address = elf_match(module, index, name);
            if (address)
                return address;
        }
        if (other & 1)
            return NULL;
    }
}

void *elf_symbol(const struct elf_module *module, const char *name) {
    if (module->gnu_hash)
        return elf_gnu_symbol(module, name);
    uint32_t hash = 0;
    for (const unsigned char *at = (const unsigned char *)name; *at; at++) {
        hash = (hash << 4) + *at;
        hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
    }
    uint32_t buckets = module->hash[0], symbols = module->hash[1];
    const uint32_t *bucket = module->hash + 2, *chain = bucket + buckets;
    if (!buckets)
        return NULL;
    for (uint32_t index = bucket[hash % buckets]; index && index < symbols; index = chain[index]) {
        void *address = elf_match(module, index, name);
        if (address)
            return address;
    }
    return NULL;
}

// The value of the first dynamic entry of this tag; 0: there is none.
static Elf64_Xword elf_dynamic(const struct link_map *module, Elf64_Sxword tag) {
    for (const Elf64_Dyn *entry = module->l_ld; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == tag)
            return entry->d_un.d_val;
    return 0;
}

static const char *elf_strings(const struct link_map *module) {
    const uintptr_t strings = elf_dynamic(module, DT_STRTAB);
    return (const char *)(strings < module->l_addr ? strings + module->l_addr : strings); // as elf_pointer
}

bool elf_needs(const struct link_map *module, const char *name) {
    const char *strings = elf_strings(module);
    for (const Elf64_Dyn *entry = module->l_ld; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_NEEDED && __builtin_strcmp(strings + entry->d_un.d_val, name) == 0)
            return true;
    return false;
}

void elf_name(const struct link_map *module, char *name, size_t size) {
    const Elf64_Xword own = elf_dynamic(module, DT_SONAME);
    const char *found = own ? elf_strings(module) + own : module->l_name;
    const size_t length = __builtin_strlen(found);
    __builtin_memcpy(name, found, length < size ? length + 1 : 0);
}
