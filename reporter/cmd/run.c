// SPDX-License-Identifier: MIT
//
// peakline run: starts a program with the shim preloaded and completes its recording when it ends.

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reporter/apart.h"
#include "reporter/closing.h"
#include "reporter/cmd.h"
#include "reporter/launch.h"
#include "reporter/message.h"
#include "reporter/options.h"
#include "reporter/output.h"
#include "reporter/preload.h"
#include "reporter/program.h"
#include "reporter/render/render.h"
#include "reporter/text.h"

enum { NAME_LENGTH = 200, WHY_SIZE = 8192 };

enum { OUTPUT, OBJECTS, NATIVE, FREES, NO_FOLLOW, MAX_SIZE, QUIET, FORCE };

static const struct options_spec run_specs[] = {
    [OUTPUT] = {"output", 'o', "DIR", "PEAKLINE_RECORDING",
                "where the recording goes; default peakline-PROGRAM-PID"},
    [OBJECTS] = {"python-objects", 0, "MODE", "PEAKLINE_PYTHON_OBJECTS",
                 "small Python objects: exact (default), sampled (estimated, cheaper) or off"},
    [NATIVE] = {"native", 0, NULL, "PEAKLINE_NATIVE", "native frames in Python stacks"},
    [FREES] = {"frees", 0, NULL, "PEAKLINE_FREES", "attribute frees in native programs too"},
    [NO_FOLLOW] = {"no-follow", 0, NULL, "PEAKLINE_NO_FOLLOW", "record this process only, not its children"},
    [MAX_SIZE] = {"max-size", 0, "SIZE", "PEAKLINE_MAX_SIZE",
                  "most a process's recording may take, 1M to 1G; default 16M"},
    [QUIET] = {"quiet", 0, NULL, "PEAKLINE_QUIET", "no summary at the end"},
    [FORCE] = {"force", 0, NULL, "PEAKLINE_FORCE", "replace an existing recording"},
    {0},
};

static const char run_about[] =
    "Runs PROGRAM unchanged and records where its memory goes. Its input, output, signals and exit status\n"
    "are its own: 128+N when signal N ended it, 127 not found, 126 not executable, 125 peakline failed.";

struct run {
    const char *directory; // NULL: the default
    const char *objects;
    bool native, frees, follow, quiet, force;
    uint64_t max_size;
    char **argv; // PROGRAM and its arguments
    char *shim;  // as it stands in LD_PRELOAD
    struct output output;
};

// The directory's name when the user gave none.
static char *run_directory(const struct run *run, pid_t pid) {
    char *name = NULL;
    const char *slash = strrchr(run->argv[0], '/');
    if (run->directory != NULL)
        return strdup(run->directory);
    // Cut, because a name may not be longer than 255 bytes.
    return asprintf(&name, "peakline-%.*s-%ld", NAME_LENGTH, slash != NULL ? slash + 1 : run->argv[0],
                    (long)pid) < 0
               ? NULL
               : name;
}

static bool run_prepare(pid_t pid, void *context) {
    struct run *run = context;
    char *name = run_directory(run, pid);
    bool created = name != NULL && output_create(&run->output, name, run->force);
    free(name);
    return created;
}

// `import peakline` and `from memory_profiler import profile` work in the program; without the directory it
// is recorded all the same.
static bool run_python(const struct run *run) {
    char *directory = preload_python(run->shim);
    char *path = directory != NULL ? preload_list(directory, getenv("PYTHONPATH")) : NULL;
    bool set = directory == NULL || (path != NULL && setenv("PYTHONPATH", path, 1) == 0);
    free(directory);
    free(path);
    return set;
}

// Where a program finds the reporter.
static bool run_program(void) {
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0)
        return true;
    path[length] = '\0';
    return setenv("PEAKLINE_PROGRAM", path, 1) == 0;
}

static bool run_environment(pid_t pid, void *context) {
    const struct run *run = context;
    char root[32], max_size[32];
    char *name = run_directory(run, pid);
    char *path = name != NULL ? output_absolute(name) : NULL;
    char *preload = preload_prepend(run->shim, getenv("LD_PRELOAD"));
    snprintf(root, sizeof root, "%ld", (long)pid);
    snprintf(max_size, sizeof max_size, "%" PRIu64, run->max_size);
    bool set = path != NULL && preload != NULL && setenv("LD_PRELOAD", preload, 1) == 0 &&
               setenv("PEAKLINE_OUTPUT", path, 1) == 0 &&
               setenv("PEAKLINE_PYTHON_OBJECTS", run->objects, 1) == 0 &&
               setenv("PEAKLINE_NATIVE", run->native ? "1" : "0", 1) == 0 &&
               setenv("PEAKLINE_FREES", run->frees ? "1" : "0", 1) == 0 &&
               setenv("PEAKLINE_FOLLOW", run->follow ? "1" : "0", 1) == 0 &&
               setenv("PEAKLINE_ROOT", root, 1) == 0 && setenv("PEAKLINE_MAX_SIZE", max_size, 1) == 0 &&
               setenv("PEAKLINE_SHIM", run->shim, 1) == 0 && run_python(run) && run_program();
    if (!set)
        message_print("the program's environment cannot be set: out of memory");
    free(name);
    free(path);
    free(preload);
    return set;
}

static void run_started(bool success, void *context) {
    struct run *run = context;
    if (success)
        output_commit(&run->output);
    else
        output_rollback(&run->output);
}

// What of this process's memory is limited, and so the program's; the tighter limit, as the shim sees it.
struct run_limit {
    const char *of, *name, *option;
    char size[TEXT_SIZE_MAX]; // "" = nothing is limited
};

static struct run_limit run_limit(void) {
    struct run_limit found = {.of = "address space", .name = "RLIMIT_AS", .option = "ulimit -v"};
    struct rlimit space, data;
    if (getrlimit(RLIMIT_AS, &space) != 0 || getrlimit(RLIMIT_DATA, &data) != 0)
        return found;
    if (data.rlim_cur < space.rlim_cur) {
        found = (struct run_limit){.of = "writable memory", .name = "RLIMIT_DATA", .option = "ulimit -d"};
        space = data;
    }
    if (space.rlim_cur != RLIM_INFINITY)
        text_size(found.size, model_signed(space.rlim_cur));
    return found;
}

static void run_nothing(const struct run *run) {
    const struct run_limit limit = run_limit();
    if (limit.size[0])
        message_print("nothing was recorded: the recording found no room in %s's %s, which is limited to "
                      "%s (%s), or %s never loaded the shim; raise the limit with `%s`",
                      run->argv[0], limit.of, limit.size, limit.name, run->argv[0], limit.option);
    else
        message_print(
            "nothing was recorded: %s never loaded the shim, or could not write its recording; does it "
            "start something static, or limit itself (ulimit)?",
            run->argv[0]);
}

static void run_print_summary(void *context) {
    const struct run *run = context;
    summary_print(run->output.path, stderr);
}

// Where memory is limited, the reporter may end for want of it: the program's exit status shall not suffer.
static void run_summary(struct run *run) {
    if (apart_run(run_print_summary, run))
        return;
    const struct run_limit limit = run_limit();
    char *word = text_quote(run->output.path);
    if (limit.size[0])
        message_print("no summary: it found no room in the %s, which is limited to %s (%s); next: peakline "
                      "report %s, where that is not limited (`%s`)",
                      limit.of, limit.size, limit.name, word, limit.option);
    else
        message_print("no summary: it found no room in the address space; next: peakline report %s", word);
    free(word);
}

// Says what is missing from the recording, completes it, and shows its summary.
static void run_finish(struct run *run, const struct launch_result *result) {
    enum closing closing = closing_write(run->output.path, result->pid, result->status,
                                         run->follow ? result->rss_peak_bytes : 0, result->monotonic_ns);
    if (output_drop_if_empty(&run->output)) {
        run_nothing(run);
        return;
    }
    if (closing == CLOSING_REPLACED)
        message_print(
            "%s became another program by exec, which did not load the shim (static or "
            "set-user-ID?), had no room for it (ulimit -v?) or may not write there (another user?): it is "
            "not in the recording",
            run->argv[0]);
    if (!run->quiet)
        run_summary(run);
}

static int run_execute(struct run *run) {
    char why[WHY_SIZE], *path = NULL;
    int status = program_find(run->argv[0], &path, why, sizeof why);
    if (status == 0)
        status = program_check(path, why, sizeof why);
    if (status != 0) {
        message_print("%s", why);
        free(path);
        return status;
    }
    run->shim = preload_find();
    if (run->shim == NULL) {
        free(path);
        return PROGRAM_FAILED;
    }
    struct launch launch = {.path = path,
                            .argv = run->argv,
                            .prepare = run_prepare,
                            .environment = run_environment,
                            .started = run_started,
                            .context = run};
    struct launch_result result;
    status = launch_run(&launch, &result);
    if (status == 0) {
        run_finish(run, &result);
        status = WIFSIGNALED(result.status) ? 128 + WTERMSIG(result.status) : WEXITSTATUS(result.status);
    }
    output_free(&run->output);
    free(run->shim);
    free(path);
    return status;
}

static int run_run(int argc, char **argv) {
    static const char *const objects[] = {"exact", "sampled", "off"};
    struct options options = {.usage = "run [-o DIR] [OPTIONS] [--] PROGRAM [ARGS...]",
                              .about = run_about,
                              .specs = run_specs,
                              .program = true};
    struct run run = {.objects = objects[0], .follow = true, .max_size = 16ull << 20};
    size_t choice;
    int option;
    options_start(&options, argc, argv);
    while ((option = options_next(&options)) >= 0) {
        switch (option) {
        case OUTPUT:
            run.directory = options.value;
            break;
        case OBJECTS:
            if (!options_choice(&options, objects, sizeof objects / sizeof objects[0], &choice))
                return PROGRAM_FAILED;
            run.objects = objects[choice];
            break;
        case NATIVE:
            run.native = options.on;
            break;
        case FREES:
            run.frees = options.on;
            break;
        case NO_FOLLOW:
            run.follow = !options.on;
            break;
        case MAX_SIZE:
            if (!options_size(&options, 1ull << 20, 1ull << 30, &run.max_size))
                return PROGRAM_FAILED;
            break;
        case QUIET:
            run.quiet = options.on;
            break;
        case FORCE:
            run.force = options.on;
            break;
        }
    }
    if (option != OPTIONS_END)
        return option == OPTIONS_HELP ? 0 : PROGRAM_FAILED;
    if (options.operands == 0) {
        options_fail(&options, "no program given; name one to run: peakline run python3 program.py");
        return PROGRAM_FAILED;
    }
    run.argv = options.operand;
    return run_execute(&run);
}

const struct cmd cmd_run = {"run", "run a program and record its memory", run_run};
