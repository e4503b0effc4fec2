// SPDX-License-Identifier: MIT
// needs: reporter/users.c reporter/source.c reporter/source_extent.c reporter/memory.c reporter/text.c
// needs: reporter/metrics.c reporter/accounts.c reporter/errors.c reporter/model.c reporter/ending.c
// needs: reporter/reader.c reporter/reader_check.c reporter/reader_replay.c reporter/reader_recording.c
//
// Which functions are the user's own.

#include "reporter/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 12 };
static struct model_function functions[MOST];
static struct model_line lines[MOST];
static uint32_t levels[MOST], first_level[MOST + 2], order[MOST];
static struct record_node nodes[MOST + 1];
static struct reader_image image;
static struct model_process process;

static int set_up(void **state) {
    (void)state;
    memset(nodes, 0, sizeof nodes);
    image = (struct reader_image){.nodes = nodes, .node_count = 1};
    process = (struct model_process){.image = &image,
                                     .executable = "/bin/prog",
                                     .functions = functions,
                                     .lines = lines,
                                     .levels = levels,
                                     .first_level = first_level,
                                     .order = order};
    return 0;
}

// A function that has one line, and the frame with its number + 1.
static void have(struct model_function function) {
    uint32_t i = process.function_count++;
    process.line_count++;
    assert_true(i < MOST);
    functions[i] = function;
    lines[i] = (struct model_line){.function = i, .file = function.file, .line = 1};
    levels[i] = i;
    first_level[i + 1] = i;
    first_level[i + 2] = i + 1;
}

static void have_python(const char *file, const char *name) {
    have((struct model_function){.file = file, .name = name, .language = RECORD_PYTHON});
}

static void have_native(const char *file, const char *name, const char *module) {
    have((struct model_function){.file = file, .name = name, .module = module, .language = RECORD_NATIVE});
}

// A node of the function beneath another node; 0 = the root. Returns its number.
static uint32_t on_stack(uint32_t parent, uint32_t function) {
    uint32_t number = image.node_count++;
    nodes[number] = (struct record_node){.parent = parent, .frame = function + 1};
    order[process.order_count++] = number;
    return number;
}

// So many KiB when the process's heap was at its peak.
static void holds(uint32_t node, int64_t kib) {
    nodes[node].saved = kib << 10;
    image.header.heap_peak += kib << 10;
}

static void expect(const char *wanted) {
    struct source_cache *sources = source_cache_new();
    bool all, *user = users_find(&process, sources, &all);
    char names[512] = "";
    for (size_t i = 0; i < process.function_count; i++) {
        if (user[i]) {
            strcat(names, *names ? " " : "");
            strcat(names, process.functions[i].name);
        }
    }
    free(user);
    source_cache_free(sources);
    assert_string_equal(names, wanted);
}

static void have_installed(void) {
    have_python("/usr/lib/python3.11/json/decoder.py", "decode");
    have_python("/srv/venv/lib/python3.12/site-packages/x.py", "x");
    have_python("/usr/lib/python3/dist-packages/y.py", "y");
    have_python("<frozen importlib._bootstrap>", "_load");
}

static void told_from_libraries(void **state) {
    (void)state;
    have_python("/home/me/eval.py", "Model.fit");
    have_python("eval.py", "main");
    have_python("<string>", "<module>");
    have_installed();
    have_native("/src/gone.c", "ns::run(int)", "/bin/prog");
    have_native("/usr/include/c++/12/bits/stl_vector.h", "push_back", "/bin/prog");
    have_native(NULL, "malloc_wrapper", "/lib/libx.so");
    have_native("./malloc/arena.c", "arena", "/lib/libc.so.6");
    have_native(NULL, "prog+0x10", "/bin/prog");
    expect("Model.fit main ns::run(int)");
    process.python_version = "3.11.2"; // the executable is the interpreter
    expect("Model.fit main");
}

static void without_debug_information(void **state) {
    (void)state;
    have_native("/usr/include/c++/12/bits/stl_vector.h", "push_back", "/bin/prog");
    have_native(NULL, "malloc_wrapper", "/lib/libx.so");
    have_native("./malloc/arena.c", "arena", "/lib/libc.so.6");
    have_native(NULL, "prog+0x10", "/bin/prog");
    expect("prog+0x10");
}

static void a_library_is_the_program_that_does_nothing_but_start_it(void **state) {
    (void)state;
    have_native(NULL, "_start", "/bin/prog");
    have_native(NULL, "__libc_start_main", "/lib/libc.so.6");
    have_native(NULL, "main", "/bin/prog");
    have_native(NULL, "run_main", "/usr/lib/libmain.so");
    have_native(NULL, "allocate", "/usr/lib/libmain.so");
    have_native(NULL, "helper", "/usr/lib/libhelper.so");
    const uint32_t start = on_stack(on_stack(on_stack(0, 0), 1), 2);
    holds(on_stack(on_stack(on_stack(start, 3), 5), 4), 100);
    holds(on_stack(start, 5), 99);
    expect("_start main run_main allocate");
    holds(start, 2); // no half any more
    expect("_start main");
    holds(on_stack(start, 4), 4);
    expect("_start main run_main allocate");
    functions[2].file = "/src/main.c"; // who has its source is told of that
    expect("main");
    functions[2].file = NULL;
    have_native(NULL, "another", "/bin/prog");
    expect("_start main another");
}

static void a_string_is_a_program_when_nothing_called_it(void **state) {
    (void)state;
    have_installed();
    have_python("<string>", "<module>");
    have_python("<string>", "main");
    expect("decode x y");        // nothing is known of the stacks
    on_stack(on_stack(0, 0), 5); // as namedtuple has it
    expect("decode x y");
    on_stack(0, 4);
    expect("<module> main");
}

static void all_is_shown_of_an_installed_program(void **state) {
    (void)state;
    have_installed();
    have_python("<string>", "<module>");
    have_python("<attrs generated eq x.A>", "__eq__");
    on_stack(on_stack(0, 1), 4); // in a *.pth file
    have_native("./malloc/arena.c", "arena", "/lib/libc.so.6");
    process.python_version = "3.11.2";
    expect("decode x y");
}

static void what_is_typed_in_has_many_names(void **state) {
    (void)state;
    static const char *const names[] = {"<ipython-input-1>", "<python-input-0>", "<timeit-src>",
                                        "<doctest x[0]>"};
    have_installed();
    for (uint32_t i = 0; i < 4; i++) {
        have_python(names[i], "typed");
        on_stack(on_stack(0, 1), 4 + i);
    }
    expect("typed typed typed typed");
}

static void where_the_users_code_did_little_all_is_shown(void **state) {
    (void)state;
    have_installed();
    process.python_version = "3.11.2";
    have_python("/home/me/small.py", "small");
    have_python("<string>", "<module>"); // called by a library
    holds(on_stack(on_stack(0, 0), 4), 100);
    holds(on_stack(0, 1), 3000);
    expect("small"); // the interpreter's start may be as much
    holds(on_stack(0, 1), 3000);
    expect("decode x y small");
    holds(on_stack(0, 4), 600);
    expect("small");
}

static void a_program_that_is_a_string_does_not_hide_behind_files(void **state) {
    (void)state;
    have_python("/home/me/helper.py", "helper");
    have_python("<string>", "<module>");
    uint32_t module = on_stack(0, 1);
    holds(on_stack(module, 0), 5000);
    expect("helper"); // as multiprocessing starts a process
    holds(module, 5000);
    expect("helper <module>");
}

static void what_only_starts_an_installed_program_is_not_the_users(void **state) {
    (void)state;
    have_installed();
    have_python("/srv/venv/bin/tool", "<module>");
    expect("decode x y <module>");
    have_python("/home/me/tests.py", "test");
    uint32_t launched = on_stack(0, 4);
    holds(on_stack(launched, 5), 5000);
    expect("test");
    holds(launched, 5000); // by itself
    expect("<module> test");
}

static void a_program_in_bin_is_the_users(void **state) {
    (void)state;
    have_installed();
    static const char file[] = "/home/me/bin/evaluate";
    have_python(file, "<module>");
    have_python(file, "main");
    have_python("/home/me/bin/other.py", "<module>");
    expect("<module> main <module>");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(told_from_libraries, set_up),
        cmocka_unit_test_setup(without_debug_information, set_up),
        cmocka_unit_test_setup(a_string_is_a_program_when_nothing_called_it, set_up),
        cmocka_unit_test_setup(all_is_shown_of_an_installed_program, set_up),
        cmocka_unit_test_setup(what_is_typed_in_has_many_names, set_up),
        cmocka_unit_test_setup(where_the_users_code_did_little_all_is_shown, set_up),
        cmocka_unit_test_setup(a_program_that_is_a_string_does_not_hide_behind_files, set_up),
        cmocka_unit_test_setup(what_only_starts_an_installed_program_is_not_the_users, set_up),
        cmocka_unit_test_setup(a_program_in_bin_is_the_users, set_up),
        cmocka_unit_test_setup(a_library_is_the_program_that_does_nothing_but_start_it, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
