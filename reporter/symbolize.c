// SPDX-License-Identifier: MIT
//
// Names native addresses. See symbolize.h.

#include "reporter/symbolize.h"

#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reporter/debuginfo.h"
#include "reporter/text.h"

struct symbol {
    uint64_t start, end; // as addresses of the Dwfl
    const char *name;
    int rank; // which of several names for one place to show: the lowest
};

#define RANK_LOCAL 100 // and above: local symbols

struct answer {
    struct model_found *levels;
    size_t count;
};

struct module {
    Dwfl *dwfl; // NULL = the file cannot be used
    Dwfl_Module *dwfl_module;
    GElf_Addr bias; // Dwfl address less ELF address
    struct debuginfo *debuginfo;
    Dwarf_Addr dwarf_bias;
    bool debuginfo_tried, symbols_listed;
    struct symbol *symbols; // sorted by start, the best name of several last
    size_t symbol_count;
    struct map *names; // numbers names of functions; NULL = not yet
    uint64_t *starts;  // where each of these begins; 0 = not known
    size_t start_capacity;
    struct map *addresses; // numbers the answers
    struct answer *answers;
    size_t answer_capacity;
};

struct symbolize {
    struct model_resolver resolver; // first: the resolver is the symbolizer
    struct pool *pool;
    bool aliases;
    struct map *module_numbers;
    struct module *modules;
    size_t module_capacity;
    const char **notes;
    size_t note_count, note_capacity;
};

static char *debuginfo_path; // NULL = libdwfl's standard places

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
    .section_address = dwfl_offline_section_address,
    .debuginfo_path = &debuginfo_path,
};

static void note(struct symbolize *s, const char *path, const char *what) {
    char *text = memory_print("%s %s: its functions are shown as offsets", path, what);
    s->notes = memory_grow(s->notes, s->note_count, &s->note_capacity, sizeof *s->notes);
    s->notes[s->note_count++] = pool_intern_string(s->pool, text);
    free(text);
}

// ---- modules ----

static bool is_recorded_one(struct symbolize *s, Dwfl_Module *module, const struct stat *status,
                            const struct model_address *address) {
    const unsigned char *bits;
    GElf_Addr where;
    int length = dwfl_module_build_id(module, &bits, &where);
    if (!address->build_id_length && length <= 0) {
        uint64_t changed = (uint64_t)status->st_mtim.tv_sec * 1000000000u + (uint64_t)status->st_mtim.tv_nsec;
        if (changed <= address->recorded_ns)
            return true;
        note(s, address->path, "is newer than the recording");
        return false;
    }
    if (length > 0 && (uint32_t)length == address->build_id_length &&
        memcmp(bits, address->build_id, (size_t)length) == 0)
        return true;
    note(s, address->path,
         length > 0 ? "is not the file that was recorded (other build-id)"
                    : "is not the file that was recorded");
    return false;
}

static void open_module(struct symbolize *s, struct module *module, const struct model_address *address) {
    int fd = open(address->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    if (fd < 0 && address->path[0] == '/')
        note(s, address->path, errno == ENOENT ? "is not there any more" : "cannot be opened");
    if (fd < 0)
        return;
    Dwfl *dwfl = NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        dwfl = dwfl_begin(&callbacks);
    if (!dwfl) {
        close(fd);
        return;
    }
    dwfl_report_begin(dwfl);
    // Base 0 plus the file's own addresses: what the Dwfl calls an address is an ELF virtual address, or
    // nearly.
    Dwfl_Module *dwfl_module =
        dwfl_report_elf(dwfl, text_basename(address->path), address->path, fd, 0, true);
    if (!dwfl_module)
        close(fd);
    dwfl_report_end(dwfl, NULL, NULL);
    if (!dwfl_module || !is_recorded_one(s, dwfl_module, &status, address) ||
        !dwfl_module_getelf(dwfl_module, &module->bias)) {
        dwfl_end(dwfl);
        return;
    }
    module->dwfl = dwfl;
    module->dwfl_module = dwfl_module;
}

static struct module *find_module(struct symbolize *s, const struct model_address *address) {
    struct map_key key = {{(uintptr_t)pool_intern_string(s->pool, address->path)}};
    size_t length = address->build_id_length < 16 ? address->build_id_length : 16;
    if (length)
        memcpy(&key.word[1], address->build_id, length);
    bool added;
    uint32_t number = map_number(s->module_numbers, key, &added);
    if (added) {
        s->modules = memory_grow(s->modules, number, &s->module_capacity, sizeof *s->modules);
        s->modules[number] = (struct module){.addresses = map_new()};
        open_module(s, &s->modules[number], address);
    }
    return &s->modules[number];
}

// ---- symbols ----

// "name@VERSION", which is for old programs; the present version's "name@@VERSION".
static bool is_old_version(const char *name) {
    const char *at = strchr(name, '@');
    return at && at != name && at[1] != '@';
}

static int rank_symbol(const GElf_Sym *symbol, const char *name) {
    int bind = GELF_ST_BIND(symbol->st_info), underscores = 0;
    while (!debuginfo_is_mangled(name) && underscores < 9 && name[underscores] == '_')
        underscores++;
    return (bind == STB_LOCAL) * RANK_LOCAL + underscores * 10 + is_old_version(name) * 5 +
           (bind != STB_GLOBAL);
}

static int compare_symbols(const void *a, const void *b) {
    const struct symbol *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->rank != y->rank) // the best name last, where the search begins
        return x->rank > y->rank ? -1 : 1;
    return -strcmp(x->name, y->name);
}

static void list_symbols(struct module *module) {
    module->symbols_listed = true;
    int count = dwfl_module_getsymtab(module->dwfl_module);
    size_t capacity = 0;
    for (int i = 1; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr start;
        GElf_Word section;
        const char *name =
            dwfl_module_getsym_info(module->dwfl_module, i, &symbol, &start, &section, NULL, NULL);
        int type = GELF_ST_TYPE(symbol.st_info);
        if (!name || !*name || section == SHN_UNDEF || !symbol.st_size ||
            (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE))
            continue;
        module->symbols =
            memory_grow(module->symbols, module->symbol_count, &capacity, sizeof *module->symbols);
        module->symbols[module->symbol_count++] = (struct symbol){
            .start = start, .end = start + symbol.st_size, .name = name, .rank = rank_symbol(&symbol, name)};
    }
    if (module->symbol_count)
        qsort(module->symbols, module->symbol_count, sizeof *module->symbols, compare_symbols);
}

// How many symbols begin at or before the address.
static size_t count_symbols(const struct module *module, uint64_t address) {
    size_t low = 0, high = module->symbol_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (module->symbols[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The symbol whose bytes hold the address, the best of its names; never just the nearest one. NULL = none.
static const struct symbol *find_symbol(const struct module *module, uint64_t address) {
    // A symbol may lie inside another: look a little further back.
    size_t at = count_symbols(module, address);
    for (int tries = 0; at-- > 0 && tries < 32; tries++)
        if (address < module->symbols[at].end)
            return &module->symbols[at];
    return NULL;
}

// As people write it: demangled, without a version.
static const char *plain_name(struct pool *pool, const char *symbol) {
    size_t length = strcspn(symbol, "@");
    return debuginfo_demangle(pool, symbol[length] && length ? pool_intern(pool, symbol, length) : symbol);
}

// Where the names begin that can have others beside them. Mangled ones, whose parameters or paths tell, are
// left out.
static void index_names(struct symbolize *s, struct module *module) {
    module->names = map_new();
    for (size_t i = 0; i < module->symbol_count; i++) {
        const struct symbol *symbol = &module->symbols[i];
        if (debuginfo_is_mangled(symbol->name) || is_old_version(symbol->name) ||
            (!s->aliases && symbol->name[0] != '_'))
            continue;
        bool added;
        struct map_key key = {{(uintptr_t)plain_name(s->pool, symbol->name)}};
        uint32_t number = map_number(module->names, key, &added);
        module->starts = memory_grow(module->starts, number, &module->start_capacity, sizeof *module->starts);
        if (added)
            module->starts[number] = symbol->start;
        else if (module->starts[number] != symbol->start)
            module->starts[number] = 0; // of several functions: which of them is meant is not known
    }
}

// The best symbol where the function of this name begins; NULL = not known.
static const struct symbol *find_named(struct symbolize *s, struct module *module, const char *name) {
    if (!module->names)
        index_names(s, module);
    bool added;
    struct map_key key = {{(uintptr_t)name}};
    uint32_t number = map_number(module->names, key, &added);
    if (added) {
        module->starts = memory_grow(module->starts, number, &module->start_capacity, sizeof *module->starts);
        module->starts[number] = 0;
    }
    if (!module->starts[number])
        return NULL;
    return &module->symbols[count_symbols(module, module->starts[number]) - 1];
}

// All names at a symbol's place but `shown`, the best one first.
static const char *const *other_names(struct symbolize *s, const struct module *module,
                                      const struct symbol *best, const char *shown) {
    size_t most = 0, count = 0;
    while (most < (size_t)(best - module->symbols) + 1 && best[-(ptrdiff_t)most].start == best->start)
        most++;
    const char **names = pool_block(s->pool, most + 1, sizeof *names);
    for (size_t i = 0; i < most; i++) {
        const char *name = plain_name(s->pool, best[-(ptrdiff_t)i].name);
        size_t at = 0;
        while (at < count && names[at] != name)
            at++;
        if (at == count && name != shown)
            names[count++] = name;
    }
    return count ? names : NULL;
}

static void name_level(struct symbolize *s, struct module *module, uint64_t address, bool outermost,
                       struct model_found *level) {
    level->function = pool_intern_string(s->pool, level->function);
    bool named = level->function;
    if (named ? !level->external || (!s->aliases && level->function[0] != '_') : !outermost)
        return;
    if (!module->symbols_listed)
        list_symbols(module);
    const struct symbol *symbol =
        named ? find_named(s, module, level->function) : find_symbol(module, address);
    if (!symbol)
        return;
    bool public = symbol->rank < RANK_LOCAL && symbol->name[0] != '_';
    if (!named || (level->function[0] == '_' && public))
        level->function = plain_name(s->pool, symbol->name);
    if (s->aliases)
        level->aliases = other_names(s, module, symbol, level->function);
}

// ---- answers ----

// Removes "/./" and doubled slashes, which differ between compilation units; ".." stays, it may follow a
// link.
static const char *tidy_path(struct pool *pool, const char *path) {
    if (!path)
        return NULL;
    char *tidy = memory_copy(path, strlen(path));
    char *to = tidy;
    for (const char *from = path; *from; from++) {
        if (from[0] == '/' && (from[1] == '/' || (from[1] == '.' && from[2] == '/'))) {
            from += from[1] == '.';
            continue;
        }
        *to++ = *from;
    }
    *to = '\0';
    const char *kept = pool_intern_string(pool, tidy);
    free(tidy);
    return kept;
}

static size_t find_levels(struct symbolize *s, struct module *module, const struct model_address *address,
                          struct model_found levels[MODEL_LEVELS_MAX]) {
    if (!module->debuginfo_tried) {
        module->debuginfo_tried = true;
        Dwarf *dwarf = dwfl_module_getdwarf(module->dwfl_module, &module->dwarf_bias);
        if (dwarf)
            module->debuginfo = debuginfo_new(dwarf);
    }
    uint64_t at = address->address + module->bias;
    size_t count = module->debuginfo ? debuginfo_find(module->debuginfo, at - module->dwarf_bias, levels) : 0;
    if (!count)
        levels[count++] = (struct model_found){0};
    for (size_t i = 0; i < count; i++)
        name_level(s, module, at, i + 1 == count, &levels[i]);
    if (count == 1 && !levels[0].function && !levels[0].line)
        return 0;
    for (size_t i = 0; i < count; i++) {
        levels[i].file = tidy_path(s->pool, levels[i].file);
        levels[i].function_file = tidy_path(s->pool, levels[i].function_file);
    }
    return count;
}

static size_t resolve(struct model_resolver *resolver, const struct model_address *address,
                      struct model_found levels[MODEL_LEVELS_MAX]) {
    struct symbolize *s = (struct symbolize *)resolver;
    struct module *module = find_module(s, address);
    if (!module->dwfl)
        return 0;
    bool added;
    uint32_t number = map_number(module->addresses, (struct map_key){{address->address}}, &added);
    if (added) {
        module->answers =
            memory_grow(module->answers, number, &module->answer_capacity, sizeof *module->answers);
        size_t count = find_levels(s, module, address, levels);
        struct answer *answer = &module->answers[number];
        answer->count = count;
        answer->levels = pool_block(s->pool, count, sizeof *levels);
        memcpy(answer->levels, levels, count * sizeof *levels);
        return count;
    }
    const struct answer *answer = &module->answers[number];
    memcpy(levels, answer->levels, answer->count * sizeof *levels);
    return answer->count;
}

struct symbolize *symbolize_new(bool aliases) {
    struct symbolize *s = memory_alloc(1, sizeof *s);
    s->aliases = aliases;
    // libdwfl asks the servers named here; a report must not depend on a network.
    unsetenv("DEBUGINFOD_URLS");
    s->resolver.resolve = resolve;
    s->pool = pool_new();
    s->module_numbers = map_new();
    return s;
}

void symbolize_free(struct symbolize *s) {
    if (!s)
        return;
    for (uint32_t i = 0; i < map_count(s->module_numbers); i++) {
        struct module *module = &s->modules[i];
        debuginfo_free(module->debuginfo);
        if (module->dwfl)
            dwfl_end(module->dwfl);
        map_free(module->names);
        free(module->symbols);
        free(module->starts);
        free(module->answers);
        map_free(module->addresses);
    }
    free(s->modules);
    free(s->notes);
    map_free(s->module_numbers);
    pool_free(s->pool);
    free(s);
}

struct model_resolver *symbolize_resolver(struct symbolize *s) {
    return &s->resolver;
}

const char *const *symbolize_notes(const struct symbolize *s, size_t *count) {
    *count = s->note_count;
    return s->notes;
}
