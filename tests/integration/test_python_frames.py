# SPDX-License-Identifier: MIT
"""The part of the shim that reads Python's frames, by itself (python_probe.c), on every interpreter that is found."""
import fcntl
import functools
import glob
import itertools
import os
import re
import shutil
import subprocess
import sys

from harness import BUILD, ROOT, SOURCES, Skip, argument, cases, expect, interpreters, limit, minor, program, record

PROBE = os.path.join(BUILD, "tests", "python_probe.so")
FLAGS = "-std=gnu11 -Wall -Wextra -O2 -g -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-omit-frame-pointer -fno-builtin-malloc -shared -D_GNU_SOURCE"


def probe():
    """The preloaded library, built when it is older than its sources."""
    sources = [os.path.join(ROOT, "tests", "integration", "python_probe.c")]
    sources += [os.path.join(ROOT, "shim", name) for name in ("arena.c", "lock.c", "sampling.c")]
    sources += sorted(glob.glob(os.path.join(ROOT, "shim", "python", "*.c")) + glob.glob(os.path.join(ROOT, "shim", "unwind*.c")))
    newest = max(os.path.getmtime(path) for path in sources + glob.glob(os.path.join(ROOT, "shim", "*.h")) + glob.glob(os.path.join(ROOT, "shim", "python", "*.h")))
    os.makedirs(os.path.dirname(PROBE), exist_ok=True)
    with open(PROBE + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(PROBE) or os.path.getmtime(PROBE) < newest:
            command = [os.environ.get("CC", "gcc"), *FLAGS.split(), "-I" + ROOT, "-o", PROBE + ".new", *sources]
            subprocess.run(command, check=True)
            os.rename(PROBE + ".new", PROBE)
    return PROBE


@functools.lru_cache(None)
def pythons():
    return {name: path for name, path in interpreters().items() if (3, 8) <= minor(name) <= (3, 15)}


def python_cases():
    return cases(*(pythons() or ["none"]))


def version_of(name):
    return tuple(int(part) for part in re.match(r"(\d+)\.(\d+)", name).groups())


class Probed:
    """What the probe wrote while a command ran."""

    def __init__(self, command, expected=0, **environment):
        output = os.path.abspath("probe.out")
        if os.path.exists(output):
            os.unlink(output)
        environment = {**os.environ, "PROBE_OUTPUT": output, **{name: str(value) for name, value in environment.items()}}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.stdout, self.stderr = done.stdout.decode(), done.stderr.decode(errors="replace")
        assert done.returncode == expected, (done.returncode, self.stdout, self.stderr)
        with open(output, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            lines = file.read().split("\n")[:-1]
        self.differences = [line for line in lines if line.startswith("differs")]
        end = [line for line in lines if line.startswith("end ")][-1]
        self.note = end.split(" note=")[1]
        self.end = dict(word.split("=") for word in end.split(" note=")[0].split()[1:])
        self.sites = [line.split("\t") for line in lines if re.match(r"\d+\t", line)]
        for name, value in self.end.items():
            if value.isdigit():
                self.end[name] = int(value)


def run(name, script, *arguments, **environment):
    if name == "none":
        raise Skip("no interpreter found")
    probed = Probed([pythons()[name], program(script), *map(str, arguments)], LD_PRELOAD=probe(), **environment)
    assert probed.end["version"] == re.match(r"[\d.]*\d", name).group(), probed.end
    assert probed.note == "-", probed.note
    return probed


def site(fields):
    size, line, first, depth, thread, file, function = fields[:7]
    return int(size), int(line), int(first), file, function


@python_cases()
def test_sites(name):
    """Each site's line, first line, file and function are what the interpreter says."""
    path = pythons()[name] if name != "none" else None
    probed = run(name, "python_sites.py", PROBE_SITES=1)
    subprocess.run([path, program("python_sites.py"), os.path.abspath("told")], check=True)
    with open("told", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        told = [line.split("\t") for line in file.read().split("\n")[:-1]]
    told = [(int(size), int(line), int(first), file, function) for size, line, first, file, function in told]
    found = [site(fields) for fields in probed.sites]
    assert len(set(told)) >= 130, len(set(told))
    assert found == told, [pair for pair in zip(found, told) if pair[0] != pair[1]][:5] or (len(found), len(told))

    # And what a person says who reads the source.
    by_number = {(size - 7000000) // 1000: (line, function) for size, line, _, _, function in found}
    with open(program("python_sites.py"), encoding="utf-8") as source:
        for number, text in enumerate(source, 1):
            match = re.search(r"# @(\d+) ([^|\n]+?)(?: \| (.+))?$", text)
            if not match:
                continue
            function = match.group(3) if match.group(3) and version_of(name) < (3, 12) else match.group(2)
            if version_of(name) < (3, 11):
                function = function.split(".")[-1]
            assert by_number[int(match.group(1))] == (number, function), (match.group(), by_number[int(match.group(1))])


@python_cases()
@limit(300)
def test_every_capture(name):
    """A large mixture of stacks: each incremental capture is what a whole walk finds. With every object, every free."""
    probed = run(name, "python_work.py", PROBE_VERIFY=16, PROBE_OBJECTS=1)
    assert probed.stdout == "done\n", probed.stdout
    assert not probed.differences and probed.end["differences"] == 0, (probed.differences, probed.end)
    assert probed.end["captures"] > 200000 and probed.end["objects"] > 100000, probed.end
    assert probed.end["freed"] > probed.end["objects"] * 0.8, probed.end
    # Incremental: far fewer frames are new than a stack is deep.
    assert probed.end["new"] < probed.end["captures"], probed.end


@python_cases()
def test_alike(name):
    """A stack of which nothing but the innermost instruction has changed is known without a walk, which would only cost time."""
    probed = run(name, "python_alike.py", PROBE_OBJECTS=1)
    assert probed.end["captures"] > 600000, probed.end
    if version_of(name) >= (3, 11) and not name.endswith("t"):
        assert probed.end["walked"] < probed.end["captures"] * 0.1, probed.end


@python_cases()
@limit(300)
def test_anchors(name):
    """Frames that are taken to stand still, because nothing can have replaced them unseen, do."""
    probed = run(name, "python_anchors.py", 4000, 1, PROBE_VERIFY=16, PROBE_OBJECTS=1)
    assert probed.stdout == "done\n", probed.stdout
    assert not probed.differences and probed.end["differences"] == 0, (probed.differences, probed.end)
    if version_of(name) >= (3, 11) and not name.endswith("t"):
        assert probed.end["anchored"] > probed.end["captures"] * 0.3, probed.end
    else:
        assert probed.end["anchored"] == 0, probed.end


@python_cases()
@limit(300)
def test_anchors_and_other_allocators(name):
    """As long as the program's own allocator keeps objects from us, nothing stands still."""
    if name != "none" and subprocess.run([pythons()[name], "-c", "import ctypes"], stderr=subprocess.DEVNULL).returncode:
        raise Skip("no ctypes there")
    probed = run(name, "python_anchors.py", 3000, 1, program("libpython_allocator.so"), PROBE_VERIFY=16, PROBE_OBJECTS=1)
    assert probed.stdout == "done\n", probed.stdout
    assert not probed.differences and probed.end["differences"] == 0, (probed.differences, probed.end)


@python_cases()
@limit(300)
def test_far_down(name):
    """Three thousand frames, which are not all compared each time; ten thousand code objects."""
    probed = run(name, "python_work.py", "large", PROBE_VERIFY=16, PROBE_OBJECTS=1)
    assert probed.stdout == "done\n", probed.stdout
    assert not probed.differences, probed.differences
    assert probed.end["cut"] == 0 and probed.end["deepest"] >= 3000, probed.end


@python_cases()
@limit(300)
def test_allocators(name):
    """Python's own statistics and tracemalloc go on working, whichever allocator the user asks for; objects are seen with each."""
    modes = [{}, {"PYTHONMALLOC": "debug"}, {"PYTHONDEVMODE": 1}, {"PYTHONTRACEMALLOC": 2}]
    if not name.endswith("t"):
        modes += [{"PYTHONMALLOC": "malloc"}, {"PYTHONMALLOC": "malloc_debug"}]
    for mode in modes:
        probed = run(name, "py_allocators.py", PROBE_OBJECTS=1, **mode)
        assert probed.stdout == "done\n", (mode, probed.stdout)
        assert probed.end["objects"] > 90000, (mode, probed.end)


def near(sites):
    """Site's number, line, function: sizes may be a few bytes larger than what was asked for."""
    return [((int(fields[0]) - 7000000) // 1000, int(fields[1]), fields[6]) for fields in sites if int(fields[0]) % 1000 < 64 and int(fields[0]) > 7000500]


@python_cases()
def test_interpreters(name):
    """Subinterpreters: allocations go to the one that runs."""
    probed = run(name, "python_interpreters.py", PROBE_SITES=1, PROBE_OBJECTS=1)
    old = version_of(name) < (3, 11)
    expected = [(1, 23, "outer"), (2, 3, "inner"), (3, 4, "<genexpr>" if old else "inner.<locals>.<genexpr>"), (4, 25, "outer"), (5, 27, "outer")]
    assert near(probed.sites) == expected, probed.sites


def shared_library(name):
    directory = os.path.dirname(os.path.dirname(pythons()[name]))
    found = glob.glob(os.path.join(directory, "lib", "libpython3.*.so.1.0")) if name != "none" else []
    if not found:
        raise Skip("no libpython beside it")
    return found[0], directory


@python_cases()
def test_embedded(name):
    """libpython opened with RTLD_LOCAL, closed and opened again, a dozen times; threads that Python has never seen."""
    library, home = shared_library(name)
    if name.endswith("t"):
        raise Skip("so little of it goes through malloc that an interpreter opened late may be met too late")
    script = program("python_embedded.py")
    probed = Probed([program("python_embed"), library, script, "12"], LD_PRELOAD=probe(), PYTHONHOME=home, PROBE_SITES=1, PROBE_VERIFY=1, PROBE_OBJECTS=1)
    old, before = version_of(name) < (3, 11), version_of(name) < (3, 12)
    comprehension = ("<listcomp>" if old else "Class.method.<locals>.<listcomp>") if before else ("Class.method" if not old else "method")
    once = [(1, 6, "function"), (2, 11, comprehension)] + [(3, i + 1, "<module>") for i in range(50)] + [(4, 18, "<module>")]
    assert near(probed.sites) == once * 12, near(probed.sites)[: len(once)]
    # Threads that Python does not know, and the main thread when it is not running.
    assert {fields[6] for fields in probed.sites if int(fields[0]) % 1000 in (3, 5)} == {"-"}
    assert not probed.differences and probed.note == "-", (probed.differences, probed.note)


@python_cases()
def test_embedded_in_a_child(name):
    """A libpython that only a forked child opens: found without the loader's lock, which a thread of the parent's might have held.

    And opened again where it was, or elsewhere: its allocators are those of its file again, and are wrapped anew.
    """
    library, home = shared_library(name)
    with open("script.py", "w") as file:
        file.write("def work():\n"
                   "    kept = [bytes(1009) for _ in range(1000)]\n"
                   "    return bytearray(7000011)\n"
                   "work()\n")
    found = []
    for forked, where in itertools.product(({}, {"EMBED_FORKED": "1"}), ("same", "other")):
        environment = {"PYTHONHOME": home, "EMBED_WHERE": where, **forked}
        recording = record(program("python_embed"), library, "script.py", "2", env=environment, output=where + str(len(forked)))
        (process,) = [each for each in recording.processes if each["totals"]["allocations"] > 1000]
        totals = {line["line"]: line["total"] for line in process["lines"] if line["file"] == "script.py"}
        call = argument(name)
        each = 7000011 + 1 + (72 if name.endswith("t") else 56) + call
        expect(totals[3], allocated_bytes=2 * each, allocations=6 if call else 4, peak_bytes=each)
        work = [(totals[number]["allocated_bytes"], totals[number]["allocations"], totals[number]["peak_bytes"]) for number in (2, 3)]
        found.append((process["python_version"], process["totals"]["lost_events"], work))
    assert found[1:] == found[:-1], found


def several():
    """The shared libpythons that there are, by name."""
    found = {}
    for name in pythons():
        try:
            found[name] = shared_library(name)
        except Skip:
            pass
    if not found:
        raise Skip("no interpreter has a libpython beside it")
    return found


SCRIPT = "kept = [bytes(1009) for _ in range(100)]\nblock = bytearray(7000011)\n"


def hosted(*steps):
    """A run of python_host, which is to end as it does plainly: record looks at that."""
    return record(program("python_host"), *map(str, steps), options=["--force"]).process


@limit(300)
def test_one_that_is_kept_beside_others():
    """An idle libpython is left as it is while others come and go; then it runs again, with what its allocators are."""
    found, plugin = several(), program("libpython_plugin.so")

    def uses(name):
        return "start", name, "call", plugin, "plugin_allocate", "script", name, SCRIPT, "end", name

    names = sorted(found, key=version_of)
    for i, kept in enumerate(names):
        library, home = found[kept]
        for other in {names[i - 1], names[i - 3]} - {kept}:
            come_and_go = ("open", "B", *found[other], *uses("B"), "close", "B", "call", plugin, "plugin_allocate")
            hosted("open", "A", library, home, *uses("A"), *come_and_go, *come_and_go, *uses("A"))


@limit(300)
def test_one_after_the_other():
    """Libpythons of several versions where others were, which are larger or smaller."""
    found = list(several().values())
    steps = []
    for library, home in found:
        steps += ["open", "A", library, home, "start", "A", "script", "A", SCRIPT, "end", "A", "close", "A"]
    hosted(*steps, "again", 5, 1)


@python_cases()
def test_beside_thread_local_memory(name):
    """The loader frees that of a plugin when the interpreter's own is asked for next: in the midst of that, it must not be asked for again."""
    library, home = shared_library(name)
    plugins = [program("libpython_plugin.so"), os.path.join(os.getcwd(), "another.so")]
    shutil.copy(*plugins)
    steps = ["open", "A", library, home, "start", "A", "script", "A", SCRIPT]
    come_and_go = [step for plugin in plugins for step in ("call", plugin, "plugin_touch")]
    hosted(*steps, *come_and_go, "script", "A", SCRIPT, "again", 5, len(steps) + 1, "end", "A")


@python_cases()
@limit(120)
def test_unloaded_while_others_allocate(name):
    """For some time its memory is gone while the loader still knows it."""
    library, home = shared_library(name)
    for pause in 0, 50, 500:
        hosted("thread", pause, "thread", pause, "open", "A", library, home, "start", "A", "script", "A", SCRIPT, "end", "A", "close", "A", "again", 5, 5)


PLUGIN = """
#include <stdlib.h>
void Py_InitializeEx(int signals);
int Py_FinalizeEx(void);
int PyRun_SimpleString(const char *text);
void work(void) {
    Py_InitializeEx(0);
    PyRun_SimpleString(getenv("SCRIPT"));
    if (atoi(getenv("ENDS")) == 1)
        Py_FinalizeEx();
}
__attribute__((destructor)) static void ends(void) {
    if (atoi(getenv("ENDS")) == 2)
        Py_FinalizeEx();
}
"""


@python_cases()
@limit(120)
def test_unloaded_with_what_needs_it(name):
    """By the end of a plugin that is linked with it, which has ended the interpreter, ends it then, or never does; or of two at once."""
    library, home = shared_library(name)
    with open("plugin.c", "w") as file:
        file.write(PLUGIN)
    subprocess.run([os.environ.get("CC", "gcc"), "-g", "-shared", "-fPIC", "-o", "plugin.so", "plugin.c", library, "-Wl,-rpath," + os.path.dirname(library)], check=True)
    shutil.copy("plugin.so", "other.so")
    for ends in 0, 1, 2:
        os.environ.update(PYTHONHOME=home, SCRIPT=SCRIPT, ENDS=str(ends))
        for pause in 0, 50:
            process = hosted("thread", pause, "thread", pause, "call", os.path.abspath("plugin.so"), "work", "again", 5, 5)
            if ends < 2:  # plainly, too, two cannot end it at once
                hosted("thread", pause, "thread", pause, "both", os.path.abspath("plugin.so"), "work", os.path.abspath("other.so"), "again", 5, 5)
        # What is freed while it goes is seen.
        live = sum(line["self"]["live_at_exit_bytes"] for line in process.raw["lines"] if line["file"] == "<string>" and line["line"] == 2)
        assert (live > 5 * 7000000) if ends == 0 else (live < 5000), (ends, live)


@python_cases()
def test_embedded_threads(name):
    """A libpython that came by dlopen has thread-local memory that the loader gets by malloc, when it is used first: not by us."""
    library, home = shared_library(name)
    with open("script.py", "w") as file:
        file.write("import threading\n"
                   "for _ in range(5):\n"
                   "    thread = threading.Thread(target=lambda: bytearray(1000003)); thread.start(); thread.join()\n")
    process = record(program("python_embed"), library, "script.py", "1", env={"PYTHONHOME": home}).process
    # Not the peak: the end of one thread's object may be applied after the next one's beginning.
    expect(process.function("<lambda>", "script.py")["self"], allocated_bytes=(5 * (1000004 + argument(name)), 5 * (1000100 + argument(name))))
    expect(process.totals, lost_events=0)


@python_cases()
def test_heads(name):
    """A program that wraps Python's allocators before it starts an interpreter: nothing goes around in circles, no byte is met twice."""
    library, home = shared_library(name)
    if name.endswith("t"):
        raise Skip("its objects have to be its own allocator's")
    code = """if True:
        import itertools, threading
        def work():
            kept.append([bytes(40) for _ in itertools.repeat(None, 60000)])
            for _ in range(30000):
                kept.append([[kept]])
                kept.pop()
        kept = []
        threads = [threading.Thread(target=work) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """
    with open("script.py", "w") as file:
        file.write(code)
    for how in "inner", "malloc":
        for mode in "exact", "sampled":
            # The library is there from the start: so the program wraps what we have wrapped.
            process = record(program("python_heads"), library, how, "script.py", options=["--python-objects=" + mode], output=how + mode,
                             env={"PYTHONHOME": home, "LD_PRELOAD": library}).process
            (line,) = [each["total"] for each in process["lines"] if os.path.basename(each["file"] or "") == "script.py" and (each["line"], each["function"]) == (4, "work")]
            error = (line["standard_error"] or {"allocations": 0})["allocations"]
            call = argument(name)
            count, size = (240000, (73 + call) / 2) if call else (120000, 73)
            assert abs(line["allocations"] - count) < 300 + 4 * error, (how, mode, line)
            # With the head or without, but not both; and the lists' parts.
            most = 2 * 12 * 8 * 60000
            assert size * (count - 4 * error) < line["allocated_bytes"] < (size + 16) * (count + 4 * error) + most, (how, mode, line)


@python_cases()
def test_started_again(name):
    """An interpreter that is ended and started again, which since 3.12 gives it its own allocators back."""
    library, home = shared_library(name)
    process = record(program("python_again"), library, program("py_again.py"), "3", env={"PYTHONHOME": home}).process
    empty = int(subprocess.run([pythons()[name], "-c", "import sys; print(sys.getsizeof(b''))"], stdout=subprocess.PIPE, check=True).stdout)
    for name, size in (("first", 101), ("second", 103), ("third", 107)):
        total = process.function(name, "py_again.py")["total"]
        assert total["allocations"] >= 10000, total
        assert 0 <= total["peak_bytes"] - 10000 * (size + empty) <= 200000, total


FAILED = "failed the self-test of its frames"
UNKNOWN = "is not known to this peakline"


@cases(
    ("0x030b02f0", "garbage", FAILED),
    ("0x030b02f0", "wild", FAILED),
    ("0x030b02f0", "frames", FAILED),
    ("0x030b02f0", "zero", ""),
    ("0x030c00f0", "wild", FAILED),
    ("0x030d00f0", "garbage", FAILED),
    ("0x030e00f0", "wild", FAILED),
    ("0x030700f0", "zero", UNKNOWN),
    ("0x030f00a1", "zero", UNKNOWN),
    ("0x031000f0", "zero", UNKNOWN),
    ("0x040000f0", "zero", UNKNOWN),
)
def test_strange(version, state, why):
    """An interpreter that is none, or not what it says: no crash, and the reason is said."""
    probed = Probed([program("python_fake"), version, state], LD_PRELOAD=probe(), PROBE_VERIFY=1, PROBE_SITES=1, PROBE_OBJECTS=1)
    assert probed.stdout == "2000\n"
    assert (why in probed.note if why else probed.note == "-"), probed.note
    assert not why or probed.note.endswith("; native stacks are shown instead"), probed.note
    assert [fields[6] for fields in probed.sites] in (["-"], []), probed.sites
    assert probed.end["captures"] == 0, probed.end


def test_no_python():
    """A program without Python."""
    probed = Probed(["/bin/ls", "/"], LD_PRELOAD=probe(), PROBE_VERIFY=1)
    assert probed.end["version"] == "-" and probed.note == "-" and probed.end["captures"] == 0, probed.end


def test_layouts():
    """The recorded offsets are those of the interpreters' headers that are found."""
    found = glob.glob(os.path.join(BUILD, "pythons", "*", "root", "usr", "include", "python3.*"))
    found += glob.glob(os.path.join(BUILD, "pythons", "*t", "include", "python3.*"))
    done = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "python-layouts.py"), *found], stdout=subprocess.PIPE)
    output = done.stdout.decode()
    assert done.returncode == 0, output
    if output.splitlines()[-1].startswith("0 passed"):
        raise Skip("no headers found")


@python_cases()
def test_greenlets(name):
    """Stacks that are swapped below the interpreter."""
    if name == "none":
        raise Skip("no interpreter found")
    if subprocess.run([pythons()[name], "-c", "import greenlet"], stderr=subprocess.DEVNULL).returncode:
        raise Skip("greenlet is not installed there")
    if version_of(name) in ((3, 11), (3, 12)):
        raise Skip("needs stack.c, which knows when greenlet switches: python::greenlets runs it")
    probed = run(name, "python_greenlets.py", PROBE_VERIFY=1, PROBE_SITES=1, PROBE_OBJECTS=1)
    expected = [(n, line, function) for n, line, function in [(1, 11, "first"), (2, 19, "second"), (3, 13, "first")] * 1]
    assert [s for s in near(probed.sites) if s[0] < 4] == expected, near(probed.sites)
    assert not probed.differences, probed.differences
