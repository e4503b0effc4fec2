// SPDX-License-Identifier: MIT
//
// From an address to functions, files and lines. See debuginfo.h.
//
// libdw's own search for the scopes of an address walks a whole compilation unit each time. We list the
// functions of a unit once, sorted, and walk inside the one that is hit.

#include "reporter/debuginfo.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

// libstdc++'s, from <cxxabi.h>, which is for C++ only.
char *__cxa_demangle(const char *mangled, char *buffer, size_t *length, int *status);

// libiberty's, whose header every distribution has elsewhere. Both of Rust's schemes, the older of which is
// C++'s with a hash at the end; NULL: it is neither.
char *rust_demangle(const char *mangled, int options);

struct range {
    Dwarf_Addr low, high;
    Dwarf_Off die; // of the function, or of the unit
};

struct ranges {
    struct range *list;
    size_t count, capacity;
    Dwarf_Addr longest; // how far before an address the range that holds it can begin
};

struct unit {
    Dwarf_Off offset;
    struct ranges functions;
    bool listed, nested_too;
};

struct debuginfo {
    Dwarf *dwarf;
    struct pool *pool;
    struct map *unit_numbers; // by the offset of the unit's DIE
    struct unit *units;
    size_t unit_capacity;
    struct ranges all_units; // for modules without .debug_aranges
    bool all_units_listed;
};

struct debuginfo *debuginfo_new(Dwarf *dwarf) {
    struct debuginfo *info = memory_alloc(1, sizeof *info);
    info->dwarf = dwarf;
    info->pool = pool_new();
    info->unit_numbers = map_new();
    return info;
}

void debuginfo_free(struct debuginfo *info) {
    if (!info)
        return;
    for (uint32_t i = 0; i < map_count(info->unit_numbers); i++)
        free(info->units[i].functions.list);
    free(info->units);
    free(info->all_units.list);
    map_free(info->unit_numbers);
    pool_free(info->pool);
    free(info);
}

bool debuginfo_is_mangled(const char *name) {
    return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

const char *debuginfo_demangle(struct pool *pool, const char *name) {
    if (!debuginfo_is_mangled(name))
        return pool_intern_string(pool, name);
    int status;
    char *plain = rust_demangle(name, 0);
    if (!plain)
        plain = __cxa_demangle(name, NULL, NULL, &status);
    const char *kept = pool_intern_string(pool, plain ? plain : name);
    free(plain);
    return kept;
}

// ---- ranges ----

static void add_ranges(struct ranges *ranges, Dwarf_Die *die) {
    Dwarf_Addr base, low, high;
    for (ptrdiff_t at = 0; (at = dwarf_ranges(die, at, &base, &low, &high)) > 0;) {
        if (low >= high)
            continue;
        ranges->list = memory_grow(ranges->list, ranges->count, &ranges->capacity, sizeof *ranges->list);
        ranges->list[ranges->count++] = (struct range){.low = low, .high = high, .die = dwarf_dieoffset(die)};
        if (high - low > ranges->longest)
            ranges->longest = high - low;
    }
}

static int compare_ranges(const void *a, const void *b) {
    const struct range *x = a, *y = b;
    if (x->low != y->low)
        return x->low < y->low ? -1 : 1;
    return (x->high < y->high) -
           (x->high > y->high); // the larger first: the last one that holds is innermost
}

static void sort_ranges(struct ranges *ranges) {
    if (ranges->count)
        qsort(ranges->list, ranges->count, sizeof *ranges->list, compare_ranges);
}

static const struct range *find_range(const struct ranges *ranges, Dwarf_Addr address) {
    size_t low = 0, high = ranges->count; // the first range that begins behind the address
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges->list[middle].low <= address)
            low = middle + 1;
        else
            high = middle;
    }
    while (low-- > 0 && address - ranges->list[low].low < ranges->longest)
        if (address < ranges->list[low].high)
            return &ranges->list[low];
    return NULL;
}

// ---- units ----

static bool find_unit(struct debuginfo *info, Dwarf_Addr address, Dwarf_Die *unit) {
    if (dwarf_addrdie(info->dwarf, address, unit))
        return true;
    if (!info->all_units_listed) {
        info->all_units_listed = true;
        Dwarf_CU *next = NULL;
        Dwarf_Die die;
        uint8_t type;
        while (dwarf_get_units(info->dwarf, next, &next, NULL, &type, &die, NULL) == 0)
            if (type == DW_UT_compile || type == DW_UT_skeleton)
                add_ranges(&info->all_units, &die);
        sort_ranges(&info->all_units);
    }
    const struct range *range = find_range(&info->all_units, address);
    return range && dwarf_offdie(info->dwarf, range->die, unit);
}

static bool holds_functions(int tag, bool nested_too) {
    switch (tag) {
    case DW_TAG_namespace:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_module:
        return true;
    case DW_TAG_subprogram:
    case DW_TAG_lexical_block:
    case DW_TAG_inlined_subroutine:
        return nested_too;
    default:
        return false;
    }
}

static void list_functions(struct ranges *functions, Dwarf_Die *parent, bool nested_too, int depth) {
    Dwarf_Die die;
    if (depth > 64 || dwarf_child(parent, &die) != 0)
        return;
    do {
        int tag = dwarf_tag(&die);
        if (tag == DW_TAG_subprogram)
            add_ranges(functions, &die);
        if (holds_functions(tag, nested_too) && dwarf_haschildren(&die) > 0)
            list_functions(functions, &die, nested_too, depth + 1);
    } while (dwarf_siblingof(&die, &die) == 0);
}

// The tree of the functions' entries: the unit's own, or, when it was split off into a .dwo file, that one's.
static Dwarf_Die unit_tree(Dwarf_Die unit) {
    uint8_t type;
    Dwarf_Die split = {0};
    if (dwarf_cu_info(unit.cu, NULL, &type, NULL, &split, NULL, NULL, NULL) == 0 && type == DW_UT_skeleton &&
        split.cu)
        return split;
    return unit;
}

static const struct range *find_function(struct debuginfo *info, Dwarf_Die *unit_die, Dwarf_Die *tree,
                                         Dwarf_Addr address) {
    bool added;
    uint32_t number = map_number(info->unit_numbers, (struct map_key){{dwarf_dieoffset(unit_die)}}, &added);
    if (added) {
        info->units = memory_grow(info->units, number, &info->unit_capacity, sizeof *info->units);
        info->units[number] = (struct unit){0};
    }
    struct unit *unit = &info->units[number];
    if (!unit->listed) {
        unit->listed = true;
        list_functions(&unit->functions, tree, false, 0);
        sort_ranges(&unit->functions);
    }
    const struct range *found = find_range(&unit->functions, address);
    if (!found && !unit->nested_too) { // functions inside functions: rare, and a longer walk
        unit->nested_too = true;
        unit->functions.count = 0;
        list_functions(&unit->functions, tree, true, 0);
        sort_ranges(&unit->functions);
        found = find_range(&unit->functions, address);
    }
    return found;
}

// ---- functions and lines ----

static const char *attribute_string(Dwarf_Die *die, unsigned int name) {
    Dwarf_Attribute attribute;
    return dwarf_formstring(dwarf_attr_integrate(die, name, &attribute));
}

static const char *function_name(struct debuginfo *info, Dwarf_Die *die) {
    const char *name = attribute_string(die, DW_AT_name);
    const char *linkage = attribute_string(die, DW_AT_linkage_name);
    if (!linkage)
        linkage = attribute_string(die, DW_AT_MIPS_linkage_name);
    if (linkage && debuginfo_is_mangled(linkage))
        return debuginfo_demangle(info->pool, linkage);
    return name ? name : linkage;
}

static uint32_t as_line(Dwarf_Word value) {
    return value <= INT32_MAX ? (uint32_t)value : 0;
}

static uint32_t attribute_line(Dwarf_Die *die, unsigned int name) {
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    return dwarf_formudata(dwarf_attr_integrate(die, name, &attribute), &value) == 0 ? as_line(value) : 0;
}

static bool is_external(Dwarf_Die *die) {
    Dwarf_Attribute attribute;
    bool external;
    return dwarf_formflag(dwarf_attr_integrate(die, DW_AT_external, &attribute), &external) == 0 && external;
}

// A file's name as one can open it: relative ones are meant from where the compiler ran.
static const char *whole_name(struct debuginfo *info, Dwarf_Die *unit, const char *file) {
    const char *directory = file && file[0] != '/' ? attribute_string(unit, DW_AT_comp_dir) : NULL;
    if (!directory || directory[0] != '/')
        return file;
    char *joined = memory_print("%s/%s", directory, file);
    const char *kept = pool_intern_string(info->pool, joined);
    free(joined);
    return kept;
}

// The file that an attribute names by its number in the table of the attribute's own unit. (dwarf_decl_file
// would end the program when that unit has no such table.)
static const char *attribute_file(struct debuginfo *info, Dwarf_Die *die, unsigned int name) {
    Dwarf_Attribute attribute;
    Dwarf_Word index;
    Dwarf_Die unit;
    Dwarf_Files *files;
    size_t count;
    if (dwarf_formudata(dwarf_attr_integrate(die, name, &attribute), &index) != 0 ||
        !dwarf_cu_die(attribute.cu, &unit, NULL, NULL, NULL, NULL, NULL, NULL) ||
        dwarf_getsrcfiles(&unit, &files, &count) != 0 || index >= count)
        return NULL;
    return whole_name(info, &unit, dwarf_filesrc(files, index, NULL, NULL));
}

// The functions that hold the address, outermost first: `chain[0]` is given, the others were inlined into it.
static size_t inlined_chain(Dwarf_Die *chain, Dwarf_Addr address) {
    size_t count = 1;
    Dwarf_Die scope = chain[0], die;
    while (count < MODEL_LEVELS_MAX && dwarf_child(&scope, &die) == 0) {
        bool entered = false;
        do {
            int tag = dwarf_tag(&die);
            if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
                 tag == DW_TAG_catch_block) &&
                dwarf_haspc(&die, address) > 0) {
                if (tag == DW_TAG_inlined_subroutine)
                    chain[count++] = die;
                scope = die;
                entered = true;
                break;
            }
        } while (dwarf_siblingof(&die, &die) == 0);
        if (!entered)
            break;
    }
    return count;
}

size_t debuginfo_find(struct debuginfo *info, uint64_t address, struct model_found levels[MODEL_LEVELS_MAX]) {
    Dwarf_Die unit, chain[MODEL_LEVELS_MAX];
    if (!find_unit(info, address, &unit))
        return 0;

    struct model_found innermost = {0};
    Dwarf_Line *line = dwarf_getsrc_die(&unit, address);
    int number;
    if (line && dwarf_lineno(line, &number) == 0 && number > 0) {
        innermost.line = (uint32_t)number;
        innermost.file = whole_name(info, &unit, dwarf_linesrc(line, NULL, NULL));
    }
    Dwarf_Die tree = unit_tree(unit);
    const struct range *function = find_function(info, &unit, &tree, address);
    if (!function || !dwarf_offdie(dwarf_cu_getdwarf(tree.cu), function->die, &chain[0])) {
        levels[0] = innermost;
        return innermost.line ? 1 : 0;
    }
    size_t count = inlined_chain(chain, address);
    for (size_t i = 0; i < count; i++) {
        struct model_found *level = &levels[count - 1 - i];
        if (i + 1 == count) {
            *level = count < MODEL_LEVELS_MAX ? innermost : (struct model_found){0};
        } else {
            *level = (struct model_found){.line = attribute_line(&chain[i + 1], DW_AT_call_line),
                                          .file = attribute_file(info, &chain[i + 1], DW_AT_call_file)};
        }
        level->function = function_name(info, &chain[i]);
        level->function_file = attribute_file(info, &chain[i], DW_AT_decl_file);
        level->first_line = attribute_line(&chain[i], DW_AT_decl_line);
        level->external = is_external(&chain[i]);
    }
    return count;
}
