// SPDX-License-Identifier: MIT
//
// Interning of places. Content decides: a function that is compiled twice is one function, a library that is
// unloaded and loaded again elsewhere is one module, since offsets are kept relative to their module.

#include "shim/place.h"
#include "shim/clock.h"
#include "shim/frame.h"
#include "shim/hash.h"
#include "shim/python/elf.h"
#include "shim/python/python.h"
#include "shim/recording.h"
#include "shim/shim.h"

#include <elf.h>

#define PLACE_ADDRESSES 4096 // entries of the address cache; a power of two

struct place_string {
    uint32_t offset;
    UT_hash_handle hh; // keyed by the bytes in the recording
};

// Keys are compared as bytes: no padding.
struct place_function_key {
    uint32_t language, module;
    uint64_t offset;
    uint32_t file, name, first_line, zero;
};

#define PLACE_FUNCTIONS 512 // places at first

#define PLACE_OPERATORS 8
#define PLACE_INTERPRETERS 16 // the most that are looked at again

struct place_module {
    uint32_t number;
    uintptr_t start, end, bias;
    bool ours;                            // the shim itself
    bool interpreter;                     // in a forked child: it has what of Python's is looked for
    uintptr_t operators[PLACE_OPERATORS]; // where its operators new start; 0 = none
    struct place_module *next;
};

struct place_address {
    uintptr_t address;
    uint32_t frame;
    uint32_t exact;
};

bool place_open(void) {
    shim.addresses = arena_alloc(PLACE_ADDRESSES * sizeof *shim.addresses);
    return shim.addresses && numbers_open(&shim.functions, PLACE_FUNCTIONS);
}

static uint32_t place_string(const char *bytes, size_t length) {
    struct place_string *entry = NULL;
    if (!length)
        return 0;
    HASH_FIND(hh, shim.strings, bytes, length, entry);
    if (entry)
        return entry->offset;
    entry = arena_alloc(sizeof *entry);
    uint32_t offset = entry ? recording_string(bytes, length) : 0;
    if (!offset) {
        shim_lose(RECORD_LOST_TABLE_FULL);
        arena_free(entry, sizeof *entry);
        return 0;
    }
    entry->offset = offset;
    const struct record_string *string = (const void *)(shim.tables[RECORD_STRINGS].base + offset);
    HASH_ADD_KEYPTR(hh, shim.strings, string->bytes, string->length, entry);
    return offset;
}

static inline struct place_function_key place_function_key(const struct record_function *function) {
    const bool native = function->language == RECORD_NATIVE;
    return (struct place_function_key){
        .language = function->language,
        .module = function->module,
        .offset = native ? function->offset : 0,
        .file = native ? 0 : function->file,
        .name = native ? 0 : function->name,
        .first_line = function->first_line,
    };
}

static inline uint64_t place_function_hash(const struct place_function_key *key) {
    return hash_bytes(key, sizeof *key);
}

static void place_function_fill(struct numbers *table) {
    const uint32_t count = (uint32_t)shim.header->tables[RECORD_FUNCTIONS].count;
    for (uint32_t number = 1; number < count; number++) {
        const struct place_function_key key = place_function_key(shim_function(number));
        numbers_add(table, place_function_hash(&key), number);
    }
}

static inline bool place_is_function(uint32_t number, const void *key) {
    const struct place_function_key found = place_function_key(shim_function(number));
    return __builtin_memcmp(&found, key, sizeof found) == 0;
}

static uint32_t place_function(const struct place_function_key *key) {
    const uint64_t hash = place_function_hash(key);
    uint32_t number = numbers_find(&shim.functions, hash, place_is_function, key);
    if (number)
        return number;
    struct record_function function = {
        .language = (uint16_t)key->language,
        .module = key->module,
        .first_line = key->first_line,
    };
    if (key->language == RECORD_NATIVE) {
        function.offset = key->offset;
    } else {
        function.file = key->file;
        function.name = key->name;
    }
    const bool room = shim.header->tables[RECORD_FUNCTIONS].count <= NUMBERS_MOST &&
                      numbers_grow(&shim.functions, place_function_fill);
    number = room ? recording_append(RECORD_FUNCTIONS, &function) : 0;
    if (!number) {
        shim_lose(RECORD_LOST_TABLE_FULL);
        return 0;
    }
    numbers_add(&shim.functions, hash, number);
    return number;
}

// As reporter/users.c has it.
bool place_is_own(struct place_text file) {
    static const char *const installed[] = {"/site-packages/", "/dist-packages/", "/lib/python2.",
                                            "/lib/python3.",   "/lib/python3/",   "/lib64/python"};
    if (!file.length || file.bytes[0] == '<')
        return false;
    for (size_t i = 0; i < sizeof installed / sizeof *installed; i++)
        if (memmem(file.bytes, file.length, installed[i], __builtin_strlen(installed[i])))
            return false;
    return true;
}

bool place_is_library(uint32_t function) {
    const struct record_string *file =
        (const void *)(shim.tables[RECORD_STRINGS].base + shim_function(function)->file);
    return !shim.functions_own[function] && shim_function(function)->file && file->bytes[0] != '<';
}

uint32_t place_python_function(struct place_text file, struct place_text name, uint32_t first_line) {
    const struct place_function_key key = {
        .language = RECORD_PYTHON,
        .file = place_string(file.bytes, file.length),
        .name = place_string(name.bytes, name.length),
        .first_line = first_line,
    };
    const uint64_t before = shim.header->tables[RECORD_FUNCTIONS].count;
    uint32_t function = place_function(&key);
    if (function >= before && place_is_own(file))
        frame_own(function);
    return function;
}

uint32_t place_python_line(uint32_t function, uint32_t line) {
    const struct frame_key frame = {.function = function, .line = line};
    return function ? frame_number(&frame) : 0;
}

uint32_t place_python(struct place_text file, struct place_text name, uint32_t first_line, uint32_t line) {
    return place_python_line(place_python_function(file, name, first_line), line);
}

uint32_t place_choose(struct place_text file, struct place_text name, uint32_t first_line) {
    uint32_t function = place_python_function(file, name, first_line);
    if (function)
        shim_function(function)->chosen = 1;
    return function;
}

uint32_t place_threads(uint32_t function, uint32_t line) {
    struct place_function_key key = place_function_key(shim_function(function));
    key.language = RECORD_THREADS;
    const uint32_t threads = place_function(&key);
    if (threads)
        frame_own(threads);
    return place_python_line(threads, line);
}

uint32_t place_scope(struct place_text name) {
    const struct place_function_key function = {
        .language = RECORD_SCOPE,
        .name = place_string(name.bytes, name.length),
    };
    const struct frame_key frame = {.function = place_function(&function)};
    return frame.function ? frame_number(&frame) : 0;
}

uint32_t place_name(struct place_text name) {
    return place_string(name.bytes, name.length);
}

bool place_source(struct place_text file, struct place_text text) {
    const struct record_source *sources = (struct record_source *)shim.tables[RECORD_SOURCES].base;
    struct place_string *known = NULL;
    HASH_FIND(hh, shim.strings, file.bytes, file.length, known);
    if (!known)
        return false;
    for (uint32_t i = 1; i < shim.header->tables[RECORD_SOURCES].count; i++)
        if (sources[i].file == known->offset)
            return true;
    const struct record_source source = {.file = known->offset,
                                         .text = recording_string(text.bytes, text.length)};
    return source.text && recording_append(RECORD_SOURCES, &source);
}

// The ELF header at `start`, when it and the segments' headers lie in the first page, which alone is sure to
// be mapped.
static const Elf64_Ehdr *place_elf(uintptr_t start, uintptr_t end) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)start;
    if (end - start < 4096 || __builtin_memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phoff > 4096 ||
        header->e_phoff + header->e_phnum * sizeof(Elf64_Phdr) > 4096)
        return NULL;
    return header;
}

// The GNU build-id among the notes of the ELF image at `start`; its length, 0 when there is none.
static uint32_t place_build_id(uintptr_t start, uintptr_t end, uintptr_t bias, uint8_t *out, size_t most) {
    const Elf64_Ehdr *header = place_elf(start, end);
    if (!header)
        return 0;
    const Elf64_Phdr *segments = (const Elf64_Phdr *)(start + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++) {
        uintptr_t at = bias + segments[i].p_vaddr, stop = at + segments[i].p_filesz;
        if (segments[i].p_type != PT_NOTE || at < start || stop > end || stop < at)
            continue;
        while (stop - at >= sizeof(Elf64_Nhdr)) {
            const Elf64_Nhdr *note = (const Elf64_Nhdr *)at;
            uintptr_t name = at + sizeof *note;
            size_t name_size = ((size_t)note->n_namesz + 3) & ~(size_t)3;
            size_t text_size = ((size_t)note->n_descsz + 3) & ~(size_t)3;
            if (name_size > stop - name || text_size > stop - name - name_size)
                break;
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
                __builtin_memcmp((const void *)name, "GNU", 4) == 0 && note->n_descsz <= most) {
                __builtin_memcpy(out, (const void *)(name + name_size), note->n_descsz);
                return note->n_descsz;
            }
            at = name + name_size + text_size;
        }
    }
    return 0;
}

// False: its segments are not known.
static bool place_segments(uintptr_t start, uintptr_t end, uintptr_t bias, const char *path,
                           struct dl_phdr_info *info) {
    const Elf64_Ehdr *header = place_elf(start, end);
    if (!header)
        return false;
    *info = (struct dl_phdr_info){
        .dlpi_addr = bias,
        .dlpi_name = path,
        .dlpi_phdr = (const Elf64_Phdr *)(start + header->e_phoff),
        .dlpi_phnum = header->e_phnum,
    };
    return true;
}

static void place_operators(struct place_module *module, const char *path) {
    // operator new and new[]: plain, nothrow, aligned, both (Itanium C++ ABI, section 5.1.5)
    static const char *const names[PLACE_OPERATORS] = {
        "_Znwm",
        "_Znam",
        "_ZnwmRKSt9nothrow_t",
        "_ZnamRKSt9nothrow_t",
        "_ZnwmSt11align_val_t",
        "_ZnamSt11align_val_t",
        "_ZnwmSt11align_val_tRKSt9nothrow_t",
        "_ZnamSt11align_val_tRKSt9nothrow_t",
    };
    // A program's own replacement is code that somebody wants to see.
    const char *slash = __builtin_strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (__builtin_strncmp(name, "libstdc++.so", 12) != 0 && __builtin_strncmp(name, "libc++", 6) != 0)
        return;
    struct dl_phdr_info info;
    struct elf_module elf;
    if (!place_segments(module->start, module->end, module->bias, path, &info) || !elf_open(&elf, &info))
        return;
    for (int i = 0; i < PLACE_OPERATORS; i++)
        module->operators[i] = (uintptr_t)elf_symbol(&elf, names[i]);
}

// Asked while a call of this thread is in the module, so that it cannot be unloaded meanwhile.
static bool place_is_interpreter(const struct unwind_object *object) {
    struct dl_phdr_info info;
    struct elf_module elf;
    return place_segments(object->start, object->end, object->bias, object->path, &info) &&
           elf_open(&elf, &info) && (elf_symbol(&elf, PYTHON_EXPORT) || elf_symbol(&elf, PYTHON_EXPORT_PYPY));
}

static struct place_module *place_module_add(const struct unwind_object *object) {
    struct record_module module = {.start = object->start, .end = object->end, .bias = object->bias};
    module.build_id_length =
        place_build_id(object->start, object->end, object->bias, module.build_id, sizeof module.build_id);
    module.path = place_string(object->path, __builtin_strlen(object->path));
    module.loaded_ns = clock_monotonic() - shim.header->start_monotonic_ns;
    struct place_module *entry = arena_alloc(sizeof *entry);
    if (!entry)
        return NULL;
    struct record_module *modules = (struct record_module *)shim.tables[RECORD_MODULES].base;
    for (uint32_t i = 1; i < shim.header->tables[RECORD_MODULES].count; i++) {
        if (modules[i].path != module.path || modules[i].build_id_length != module.build_id_length ||
            __builtin_memcmp(modules[i].build_id, module.build_id, sizeof module.build_id) != 0)
            continue;
        modules[i].start = module.start;
        modules[i].end = module.end;
        modules[i].bias = module.bias;
        modules[i].unloaded_ns = 0;
        entry->number = i;
    }
    if (!entry->number)
        entry->number = recording_append(RECORD_MODULES, &module);
    if (!entry->number) {
        shim_lose(RECORD_LOST_TABLE_FULL);
        arena_free(entry, sizeof *entry);
        return NULL;
    }
    entry->start = object->start;
    entry->end = object->end;
    entry->bias = object->bias;
    entry->ours = (uintptr_t)&place_open - object->start < object->end - object->start;
    place_operators(entry, object->path);
    const bool forked = shim.header->flags & RECORD_FLAG_FORKED;
    entry->interpreter = forked && place_is_interpreter(object);
    entry->next = shim.modules;
    shim.modules = entry;
    if (entry->interpreter || !forked) {
        __atomic_store_n(&shim.modules_new, true, __ATOMIC_RELAXED);
        thread_self.attention = 1;
    }
    return entry;
}

static struct place_module *place_module(uintptr_t address) {
    for (struct place_module *module = shim.modules; module; module = module->next)
        if (address - module->start < module->end - module->start)
            return module;
    struct unwind_object object;
    return unwind_find(address, &object) ? place_module_add(&object) : NULL;
}

__attribute__((noinline)) static uint32_t place_native_find(uintptr_t address, bool exact) {
    // A return address may be the first byte after a function that does not return.
    uintptr_t inside = exact ? address : address - 1;
    const struct place_module *module = place_module(inside);
    uintptr_t bias = module ? module->bias : 0;
    uintptr_t start = unwind_function_start(inside);
    if (module && module->ours)
        return PLACE_ALLOCATOR; // Python's allocators are wrapped: their inner calls pass through us
    for (int i = 0; module && start && i < PLACE_OPERATORS; i++)
        if (module->operators[i] == start)
            return PLACE_ALLOCATOR;
    const struct place_function_key function = {
        .language = RECORD_NATIVE,
        .module = module ? module->number : 0,
        .offset = start    ? start - bias
                  : module ? 0
                           : address,
    };
    const struct frame_key frame = {
        .function = place_function(&function),
        .module = function.module,
        .offset = address - bias,
        .flags = exact ? RECORD_FRAME_EXACT_PC : 0,
    };
    return frame.function ? frame_number(&frame) : 0;
}

static inline struct place_address *place_address(uintptr_t address) {
    return &shim.addresses[hash_mix(address) & (PLACE_ADDRESSES - 1)];
}

void place_native_fetch(uintptr_t address) {
    __builtin_prefetch(place_address(address), 1);
}

uint32_t place_native(uintptr_t address, bool exact) {
    struct place_address *cached = place_address(address);
    if (cached->address == address && cached->exact == exact)
        return cached->frame;
    uint32_t frame = place_native_find(address, exact);
    if (frame)
        *cached = (struct place_address){.address = address, .frame = frame, .exact = exact};
    return frame;
}

static bool place_frame_is_gone(uint32_t frame) {
    return frame && frame != PLACE_ALLOCATOR && shim_frame(frame)->flags & RECORD_FRAME_FREE;
}

void place_forgotten(void) {
    for (size_t i = 0; i < PLACE_ADDRESSES; i++)
        if (place_frame_is_gone(shim.addresses[i].frame))
            shim.addresses[i] = (struct place_address){0};
    python_slots_forget(place_frame_is_gone);
}

int place_each_interpreter(int (*each)(struct dl_phdr_info *info, size_t size, void *data), void *data) {
    uintptr_t starts[PLACE_INTERPRETERS];
    unsigned count = 0;
    enum lock_got locked = lock_take(&shim.lock);
    if (locked == LOCK_REFUSED)
        return 0;
    for (const struct place_module *module = shim.modules; module && count < PLACE_INTERPRETERS;
         module = module->next)
        if (module->interpreter)
            starts[count++] = module->start;
    lock_drop(&shim.lock, locked);
    int result = 0;
    while (count && !result) {
        struct unwind_object object;
        struct dl_phdr_info info;
        const uintptr_t start = starts[--count];
        if (unwind_find(start, &object) && object.start == start &&
            place_segments(object.start, object.end, object.bias, object.path, &info))
            result = each(&info, offsetof(struct dl_phdr_info, dlpi_adds), data);
    }
    return result;
}

void place_unloaded(void) {
    struct record_module *modules = (struct record_module *)shim.tables[RECORD_MODULES].base;
    uint64_t now = clock_monotonic() - shim.header->start_monotonic_ns;
    for (struct place_module **link = &shim.modules; *link;) {
        struct place_module *module = *link;
        struct unwind_object object;
        if (unwind_find(module->start, &object) && object.start == module->start &&
            object.bias == module->bias) {
            link = &module->next;
            continue;
        }
        modules[module->number].unloaded_ns = now;
        *link = module->next;
        arena_free(module, sizeof *module);
    }
    // Also when nothing is gone yet: this is called before an unloading, too.
    unwind_forget(0, UINTPTR_MAX);
    __builtin_memset(shim.addresses, 0, PLACE_ADDRESSES * sizeof *shim.addresses);
    __atomic_fetch_add(&shim.code_epoch, 1, __ATOMIC_RELEASE);
    shim_doubt();
}
