// SPDX-License-Identifier: MIT
// needs: reporter/symbolize.c reporter/debuginfo.c reporter/memory.c reporter/text.c
//
// Names of native addresses: this program's own, whose lines it knows.

#include "reporter/debuginfo.h"
#include "reporter/symbolize.h"

#include <elf.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

// ---- this program, as a recording would name it ----

struct self {
    char path[4096];
    uint64_t bias;
    uint8_t build_id[24];
    uint32_t build_id_length;
};

static int read_self(struct dl_phdr_info *info, size_t size, void *context) {
    struct self *self = context;
    (void)size;
    self->bias = info->dlpi_addr; // the program itself comes first
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_NOTE)
            continue;
        const char *at = (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        const char *end = at + info->dlpi_phdr[i].p_memsz;
        while (at < end) {
            const ElfW(Nhdr) *note = (const void *)at;
            const char *name = at + sizeof *note, *bytes = name + ((note->n_namesz + 3) & ~3u);
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && note->n_descsz <= 24) {
                memcpy(self->build_id, bytes, note->n_descsz);
                self->build_id_length = note->n_descsz;
            }
            at = bytes + ((note->n_descsz + 3) & ~3u);
        }
    }
    return 1;
}

static struct self self;

static int find_self(void **state) {
    (void)state;
    ssize_t length = readlink("/proc/self/exe", self.path, sizeof self.path - 1);
    dl_iterate_phdr(read_self, &self);
    return length > 0 ? 0 : -1;
}

static struct model_address address_of(uintptr_t where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct model_address){.path = self.path,
                                  .build_id = self.build_id,
                                  .build_id_length = self.build_id_length,
                                  .recorded_ns = (uint64_t)now.tv_sec * 1000000000u,
                                  .address = where - self.bias};
}

static size_t resolve(struct symbolize *symbolize, const struct model_address *address,
                      struct model_found *levels) {
    struct model_resolver *resolver = symbolize_resolver(symbolize);
    return resolver->resolve(resolver, address, levels);
}

// ---- places whose names are known ----

__attribute__((noinline)) static uintptr_t here(void) {
    return (uintptr_t)__builtin_return_address(0) - 1;
}

__attribute__((noinline)) static uintptr_t plain_function(int *line) {
    *line = __LINE__ + 1;
    uintptr_t where = here();
    __asm__ volatile("");
    return where;
}

static int inlined_line;

static inline __attribute__((always_inline)) uintptr_t inlined_function(void) {
    inlined_line = __LINE__ + 1;
    uintptr_t where = here();
    __asm__ volatile("");
    return where;
}

__attribute__((noinline)) static uintptr_t outer_function(int *line) {
    *line = __LINE__ + 1;
    uintptr_t where = inlined_function();
    __asm__ volatile("");
    return where;
}

static bool ends_with(const char *text, const char *end) {
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

static void a_call_site_has_function_file_and_line(void **state) {
    (void)state;
    struct symbolize *symbolize = symbolize_new(false);
    struct model_found levels[MODEL_LEVELS_MAX];
    int line;
    struct model_address address = address_of(plain_function(&line));
    for (int again = 0; again < 2; again++) { // from the file, and from memory
        assert_int_equal(resolve(symbolize, &address, levels), 1);
        assert_string_equal(levels[0].function, "plain_function");
        assert_true(ends_with(levels[0].file, "tests/unit/test_symbolize.c"));
        assert_int_equal(levels[0].line, line);
        assert_string_equal(levels[0].function_file, levels[0].file);
        assert_int_equal(levels[0].first_line, line - 2);
    }
    symbolize_free(symbolize);
}

static void inlined_functions_are_levels(void **state) {
    (void)state;
    struct symbolize *symbolize = symbolize_new(false);
    struct model_found levels[MODEL_LEVELS_MAX];
    int line;
    struct model_address address = address_of(outer_function(&line));
    assert_int_equal(resolve(symbolize, &address, levels), 2);
    assert_string_equal(levels[0].function, "inlined_function");
    assert_int_equal(levels[0].line, inlined_line);
    assert_string_equal(levels[1].function, "outer_function");
    assert_int_equal(levels[1].line, line);
    assert_int_equal(levels[1].first_line, line - 2);
    symbolize_free(symbolize);
}

static void nothing_is_guessed(void **state) {
    (void)state;
    struct symbolize *symbolize = symbolize_new(false);
    struct model_found levels[MODEL_LEVELS_MAX];
    struct model_address address = address_of(self.bias + 0x7fffffff);
    assert_int_equal(resolve(symbolize, &address, levels), 0); // behind the last function
    address.address = 1;
    assert_int_equal(resolve(symbolize, &address, levels), 0);
    size_t notes;
    symbolize_notes(symbolize, &notes);
    assert_int_equal(notes, 0);
    symbolize_free(symbolize);
}

static void expect_unusable(struct model_address address, const char *why) {
    struct symbolize *symbolize = symbolize_new(false);
    struct model_found levels[MODEL_LEVELS_MAX];
    size_t count;
    assert_int_equal(resolve(symbolize, &address, levels), 0);
    assert_int_equal(resolve(symbolize, &address, levels), 0);
    const char *const *notes = symbolize_notes(symbolize, &count);
    assert_int_equal(count, why != NULL); // said once
    if (why)
        assert_non_null(strstr(notes[0], why));
    symbolize_free(symbolize);
}

static void another_file_is_not_used(void **state) {
    (void)state;
    int line;
    static const uint8_t other[24] = {1, 2, 3};
    struct model_address right = address_of(plain_function(&line)), wrong = right;
    if (!self.build_id_length)
        skip();
    wrong.build_id = other;
    expect_unusable(wrong, "other build-id");
    wrong = right;
    wrong.build_id_length--;
    expect_unusable(wrong, "other build-id");
    wrong = right;
    wrong.build_id_length = 0;
    expect_unusable(wrong, "other build-id"); // what was recorded had none
    wrong = right;
    wrong.path = "/nonexistent/lib.so";
    expect_unusable(wrong, "is not there any more");
    wrong.path = "/dev/zero";
    expect_unusable(wrong, NULL);
    wrong.path = "/etc/passwd";
    expect_unusable(wrong, NULL);
}

// A small ELF file without a build-id, made of what this machine has.
// Makes a library of C code, without a build-id, in a new directory. False: no compiler.
static bool compile(char directory[64], char path[64], const char *flags, const char *code) {
    char command[2048];
    strcpy(directory, "/tmp/peakline-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, 64, "%s/x.so", directory);
    snprintf(command, sizeof command,
             "echo '%s' | ${CC:-gcc} -shared %s -Wl,--build-id=none -o %s -xc - >/dev/null 2>&1", code, flags,
             path);
    if (system(command) == 0)
        return true;
    rmdir(directory);
    return false;
}

static struct model_address address_in(const char *path) {
    return (struct model_address){.path = path, .recorded_ns = UINT64_MAX};
}

// All functions of a library, by address: "name=alias,alias name …".
static void expect_names(const char *flags, const char *code, bool aliases, const char *expected) {
    char directory[64], path[64], all[1024] = "";
    const char *last = "";
    if (!compile(directory, path, flags, code))
        skip();
    struct symbolize *symbolize = symbolize_new(aliases);
    struct model_found levels[MODEL_LEVELS_MAX];
    struct model_address address = address_in(path);
    for (address.address = 0x1000; address.address < 0x2000; address.address++) {
        if (!resolve(symbolize, &address, levels) || !levels[0].function || !strcmp(levels[0].function, last))
            continue;
        last = levels[0].function;
        strcat(strcat(all, *all ? " " : ""), last);
        for (size_t i = 0; levels[0].aliases && levels[0].aliases[i]; i++)
            strcat(strcat(all, i ? "," : "="), levels[0].aliases[i]);
    }
    symbolize_free(symbolize);
    unlink(path);
    rmdir(directory);
    assert_string_equal(all, expected);
}

static void a_public_name_is_shown_and_the_others_are_known(void **state) {
    (void)state;
    static const char code[] =
        "#define ALIAS(of, name, ...) extern __typeof(of) name __attribute__((alias(#of), ##__VA_ARGS__));\n"
        "int __work_r(int a) { return a * 3; }\n" // as in glibc
        "ALIAS(__work_r, work_r, weak)\n"
        "static __typeof(__work_r) inner __attribute__((alias(\"__work_r\"), used));\n"
        "int plain(int a) { return a * 5; }\n" // what the source calls it, though another one comes first
        "ALIAS(plain, a_plain)\n"
        "int __only(int a) { return a * 7; }\n" // a local name is not public
        "static __typeof(__only) only __attribute__((alias(\"__only\"), used));\n"
        "int __two(int a) { return a * 9; }\n"
        "ALIAS(__two, a_weak, weak)\n"
        "ALIAS(__two, two)\n"
        "int make(int a) __asm__(\"_ZN1AC2Ev\");\n" // two symbols, one name
        "int make(int a) { return a * 11; }\n"
        "extern __typeof(make) made __asm__(\"_ZN1AC1Ev\") __attribute__((alias(\"_ZN1AC2Ev\")));\n"
        "static int __own(int a) { return a * 15; }\n" // of a static one it is not known whose name it is
        "ALIAS(__own, own)\n"
        "int __alone(int a) { return a * 13; }\n";
    const char *flags = "-O0 -nostdlib -fno-toplevel-reorder -g",
               *stripped = "-O0 -nostdlib -fno-toplevel-reorder -s";
    expect_names(flags, code, false, "work_r plain __only two A::A() __own __alone");
    expect_names(flags, code, true,
                 "work_r=__work_r,inner plain=a_plain __only=only two=a_weak,__two A::A() __own __alone");
    expect_names(stripped, code, false, "work_r a_plain __only two A::A() own __alone");
    expect_names(stripped, code, true,
                 "work_r=__work_r a_plain=plain __only two=a_weak,__two A::A() own __alone");
}

static void a_file_without_build_id_must_not_be_newer(void **state) {
    (void)state;
    char directory[64], path[64];
    if (!compile(directory, path, "-g", "int f(int a) { return a * 3; }"))
        skip();
    struct symbolize *symbolize = symbolize_new(false);
    struct model_found levels[MODEL_LEVELS_MAX];
    struct model_address address = address_in(path);
    size_t found = 0;
    for (address.address = 0x1000; address.address < 0x2000 && !found; address.address++)
        found =
            resolve(symbolize, &address, levels) && levels[0].function && !strcmp(levels[0].function, "f");
    assert_int_equal(found, 1);
    assert_int_equal(levels[0].line, 1);
    symbolize_free(symbolize);
    address.recorded_ns = 1;
    expect_unusable(address, "newer than the recording");
    unlink(path);
    rmdir(directory);
}

static void exported_functions_have_symbols(void **state) {
    (void)state;
    struct symbolize *symbolize = symbolize_new(false);
    struct model_found levels[MODEL_LEVELS_MAX];
    struct link_map *map = NULL;
    // libcmocka: usually without debug information here.
    for (map = _r_debug.r_map; map; map = map->l_next)
        if (strstr(map->l_name, "libcmocka"))
            break;
    if (!map)
        skip();
    struct model_address address = {.path = map->l_name,
                                    .build_id = self.build_id,
                                    .recorded_ns = UINT64_MAX,
                                    .address = (uintptr_t)&_fail - map->l_addr};
    // Its build-id, from the file itself: the linker's note is in memory.
    static struct self library;
    const ElfW(Ehdr) *elf = (const void *)map->l_addr;
    struct dl_phdr_info info = {.dlpi_addr = map->l_addr,
                                .dlpi_phdr = (const void *)(map->l_addr + elf->e_phoff),
                                .dlpi_phnum = elf->e_phnum};
    read_self(&info, sizeof info, &library);
    address.build_id = library.build_id;
    address.build_id_length = library.build_id_length;
    assert_true(resolve(symbolize, &address, levels) >= 1);
    assert_string_equal(levels[0].function, "_fail");
    symbolize_free(symbolize);
}

static void names_are_as_people_write_them(void **state) {
    (void)state;
    static const char *const names[][2] = {
        {"main", "main"},
        {"_Reader_open", "_Reader_open"},
        {"_ZN6Loader4loadEi", "Loader::load(int)"},
        {"_ZNSt6vectorIiSaIiEE9push_backERKi",
         "std::vector<int, std::allocator<int> >::push_back(int const&)"},
        // Rust, by its older scheme and by the present one.
        {"_ZN5alloc7raw_vec11finish_grow17h0123456789abcdefE", "alloc::raw_vec::finish_grow"},
        {"_RNvMCs6GmmlP4bgsG_1rINtB2_6LoaderAyja_E4loadB2_", "<r::Loader<[u64; 10]>>::load"},
        {"_RNvCs6GmmlP4bgsG_1ru9gre_6ka8i", "r::gr\xc3\xb6\xc3\x9f"
                                            "e"},
        {"_RNvCs6GmmlP4bgsG_1ru9gre_6k", "_RNvCs6GmmlP4bgsG_1ru9gre_6k"}, // cut off
    };
    struct pool *pool = pool_new();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(debuginfo_demangle(pool, names[i][0]), names[i][1]);
    pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_site_has_function_file_and_line),
        cmocka_unit_test(inlined_functions_are_levels),
        cmocka_unit_test(nothing_is_guessed),
        cmocka_unit_test(another_file_is_not_used),
        cmocka_unit_test(a_file_without_build_id_must_not_be_newer),
        cmocka_unit_test(exported_functions_have_symbols),
        cmocka_unit_test(a_public_name_is_shown_and_the_others_are_known),
        cmocka_unit_test(names_are_as_people_write_them),
    };
    return cmocka_run_group_tests(tests, find_self, NULL);
}
