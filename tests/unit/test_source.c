// SPDX-License-Identifier: MIT
// needs: reporter/source.c reporter/source_extent.c reporter/memory.c tests/unit/recording_builder.c
//
// Source files: their lines, whether they are the recorded ones, and where functions end.

#include "reporter/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/unit/recording_builder.h"

#define NEVER UINT64_MAX // recorded later than any file was changed

struct file {
    char *directory;
    struct source_cache *cache;
    const struct source *source;
};

static struct file with(const char *text) {
    struct file f = {.directory = builder_directory(), .cache = source_cache_new()};
    builder_write_bytes(f.directory, "s", text, strlen(text));
    f.source = source_open(f.cache, "s", f.directory);
    return f;
}

static void drop(struct file *f) {
    source_cache_free(f->cache);
    builder_remove_directory(f->directory);
}

static void expect_line(const struct source *source, uint32_t line, const char *wanted) {
    size_t length;
    const char *text = source_line(source, line, &length);
    assert_int_equal(length, strlen(wanted));
    assert_memory_equal(text, wanted, length);
}

static void lines_end_as_python_counts_them(void **state) {
    (void)state;
    struct file f = with("a\nb\r\nc\rd\n\ne");
    assert_int_equal(source_line_count(f.source), 6);
    static const char *const wanted[] = {"", "a", "b", "c", "d", "", "e", ""};
    for (uint32_t i = 0; i < 8; i++)
        expect_line(f.source, i, wanted[i]);
    drop(&f);
    f = with("");
    assert_int_equal(source_line_count(f.source), 0);
    expect_line(f.source, 1, "");
    drop(&f);
}

static void only_the_recorded_file_is_good(void **state) {
    (void)state;
    struct file f = with("x\n");
    assert_int_equal(source_state(f.source, NEVER), SOURCE_GOOD);
    assert_int_equal(source_state(f.source, 1), SOURCE_NEWER);
    assert_ptr_equal(source_open(f.cache, "s", f.directory), f.source);
    assert_int_equal(source_state(source_open(f.cache, "none", f.directory), NEVER), SOURCE_MISSING);
    assert_int_equal(source_state(source_open(f.cache, "s", NULL), NEVER), SOURCE_MISSING);
    assert_int_equal(source_state(source_open(f.cache, NULL, f.directory), NEVER), SOURCE_MISSING);
    assert_int_equal(source_state(source_open(f.cache, "s/inside.py", f.directory), NEVER), SOURCE_PACKED);
    assert_int_equal(source_state(source_open(f.cache, "<string>", "/"), NEVER), SOURCE_MISSING);
    assert_int_equal(source_state(source_open(f.cache, "/", "/"), NEVER), SOURCE_MISSING);
    char path[4096];
    snprintf(path, sizeof path, "%s/pipe", f.directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(source_state(source_open(f.cache, path, NULL), NEVER), SOURCE_MISSING);
    drop(&f);
}

static void a_text_in_the_recording_is_a_file_of_its_own(void **state) {
    (void)state;
    struct file f = with("on disk\n");
    source_add(f.cache, "<ipython-input-1-abc>", NULL, "a\nb", 3);
    source_add(f.cache, "/none/2.py", "/work", "c\n", 2);
    source_add(f.cache, "/none/2.py", "/work", "d\n", 2);
    source_add(f.cache, "relative.py", "/work", "e\n", 2);
    source_add(f.cache, "s", f.directory, "not on disk\n", 12); // it has been read
    source_add(f.cache, NULL, NULL, "f\n", 2);
    source_add(f.cache, "", NULL, "f\n", 2);
    expect_line(source_open(f.cache, "<ipython-input-1-abc>", "/elsewhere"), 2, "b");
    assert_int_equal(source_state(source_open(f.cache, "<ipython-input-1-abc>", NULL), 1), SOURCE_GOOD);
    assert_int_equal(source_state(source_open(f.cache, "<ipython-input-2-abc>", NULL), 1), SOURCE_MISSING);
    expect_line(source_open(f.cache, "/none/2.py", NULL), 1, "c");
    expect_line(source_open(f.cache, "/work/relative.py", NULL), 1, "e");
    expect_line(source_open(f.cache, "s", f.directory), 1, "on disk");
    assert_int_equal(source_state(source_open(f.cache, NULL, NULL), 1), SOURCE_MISSING);
    drop(&f);
}

static void expect_python(const char *text, uint32_t first, uint32_t last) {
    struct file f = with(text);
    assert_int_equal(source_python_end(f.source, first), last);
    drop(&f);
}

static void python_functions_end_with_their_block(void **state) {
    (void)state;
    expect_python("def f():\n    a\n    b\n\n\nc\n", 1, 3);
    expect_python("def f():\n    a\n", 1, 2);
    expect_python("def f(): return 1\nx\n", 1, 1);
    expect_python("async def f():\n  a\nx\n", 1, 2);
    expect_python("class C:\n    def f(self):\n        a\n    b\nx\n", 1, 4);
    expect_python("class C:\n    def f(self):\n        a\n    b\nx\n", 2, 3);
    expect_python("\tdef f():\n\t\ta\n\tb\n", 1, 2);
    expect_python("        def f():\n\t    a\n        b\n", 1, 2); // a tab reaches column 8
}

static void python_decorators_belong_to_the_function(void **state) {
    (void)state;
    expect_python("@a\n@b(\n  1)\n# why\n\ndef f():\n    x\ny\n", 1, 7);
    expect_python("@a\nclass C:\n    x\ny\n", 1, 3);
}

static void python_strings_and_brackets_do_not_end_a_block(void **state) {
    (void)state;
    expect_python("def f():\n    '''doc\nnot the end\n'''\n    a\nb\n", 1, 5);
    expect_python("def f():\n    s = \"\"\"x\n# no\n(((\"\"\"\n    a\nb\n", 1, 5);
    expect_python("def f(a,\nb):\n    c\nd\n", 1, 3);
    expect_python("def f():\n    g(\n1,\n2)\n    c\nd\n", 1, 5);
    expect_python("def f():\n    a = 1 + \\\n2\n    c\nd\n", 1, 4);
    expect_python("def f():\n    a\n# a comment\n    b\nc\n", 1, 4);
    expect_python("def f():\n    a  # ( [ '\n    b\nc\n", 1, 3);
    expect_python("def f():\n    a = '(' + \"'\" + '\\''\n    b\nc\n", 1, 3);
    expect_python("def f():\n    a\n    # last\n# outside\nc\n", 1, 2);
}

static void python_expressions_are_one_statement(void **state) {
    (void)state;
    expect_python("x = [\n  lambda: 1,\n]\ny\n", 2, 2);
    expect_python("x = sorted(a,\n   key=lambda: 1)\ny\n", 1, 2);
    expect_python("defer = 1\n    a\n", 1, 1);
    expect_python("a\n", 5, 0);
    expect_python("a\n", 0, 0);
    expect_python("@a\n", 1, 1);
}

static void expect_braces(const char *text, uint32_t first, uint32_t last) {
    struct file f = with(text);
    assert_int_equal(source_braces_end(f.source, first), last);
    drop(&f);
}

static void c_functions_end_with_their_brace(void **state) {
    (void)state;
    expect_braces("int f(void)\n{\n  if (a) {\n  }\n  return 1;\n}\nint g;\n", 1, 6);
    expect_braces("int f(void) { return 1; }\n}\n", 1, 1);
    expect_braces("int f(int a,\n      int b) {\n}\n", 1, 3);
    expect_braces("int f(void);\nint g(void) {}\n", 1, 0);
    expect_braces("int f(void) {\n", 1, 0);
    expect_braces("S::S() : a{1}, b(2) {\n}\n", 1,
                  1); // an initializer looks like a body: the events correct it
}

static void c_strings_and_comments_hold_no_braces(void **state) {
    (void)state;
    expect_braces("int f() {\n  s = \"}\\\"}\";\n  c = '}';\n  d = '\\'';\n}\n", 1, 5);
    expect_braces("int f() {\n  // }\n  /* }\n } */ x;\n}\n", 1, 5);
    expect_braces("int f() {\n  x = 1'000'000; y = '{';\n}\n", 1, 3);
    expect_braces("fn f<'a>(x: &'a str) {\n  x\n}\n", 1, 3);
}

static void one_branch_of_a_condition_counts(void **state) {
    (void)state;
    expect_braces("int f() {\n#if A\n  if (a) {\n#else\n  if (b) {\n#endif\n  }\n}\n", 1, 8);
    expect_braces("int f() {\n#ifdef A\n#else\n#if B\n {\n#endif\n {\n#endif\n}\n", 1, 9);
    expect_braces("int f() {\n#  define X {\n}\n", 1, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_as_python_counts_them),
        cmocka_unit_test(only_the_recorded_file_is_good),
        cmocka_unit_test(a_text_in_the_recording_is_a_file_of_its_own),
        cmocka_unit_test(python_functions_end_with_their_block),
        cmocka_unit_test(python_decorators_belong_to_the_function),
        cmocka_unit_test(python_strings_and_brackets_do_not_end_a_block),
        cmocka_unit_test(python_expressions_are_one_statement),
        cmocka_unit_test(c_functions_end_with_their_brace),
        cmocka_unit_test(c_strings_and_comments_hold_no_braces),
        cmocka_unit_test(one_branch_of_a_condition_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
