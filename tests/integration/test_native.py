# SPDX-License-Identifier: MIT
"""--native: native frames between Python frames, on every interpreter that is found."""
import ctypes

from harness import *

OFF = "--python-objects=off"
LEAF, INNER, OUTER, BUFFER = 30011, 50021, 100003, 70002


def library():
    return program("libnative_calls.so")


def paths(process):
    """Contexts that allocated: [(places, allocated bytes)], outermost first; a place is (file's name, line, function)."""
    contexts = {context["id"]: context for context in process["contexts"]}
    found = []
    for context in process["contexts"]:
        if context["self"]["allocated_bytes"]:
            places, at = [], context
            while at:
                if "threads" not in at:
                    places.append((os.path.basename(at["file"] or ""), at["line"], at["function"]))
                at = contexts.get(at["parent"])
            found.append((places[::-1], context["self"]["allocated_bytes"]))
    return found


def own(places):
    """Those of the target's two files."""
    return [place for place in places if place[0] in ("py_native.py", "native_calls.c", "<made>")]


def at(mark):
    source = "native_calls.c" if mark.startswith("native_") else "py_native.py"
    return source, marks(source)[mark]


def with_contexts(recording):
    return min(recording.read("--contexts")["processes"], key=lambda p: (p["start_time"], p["image"]))


@python_cases()
def test_mixed_stacks(version):
    need_malloc(version)
    recording = record(python(version), program("py_native.py"), library(), options=["--native", OFF])
    process = recording.process
    assert process["losses"]["unspliced_stacks"] == process["losses"]["cut_stacks"] == 0, process["losses"]

    # C functions, with all that the Python code did that they called.
    expect(process.function("native_outer", "native_calls.c")["self"], allocated_bytes=4 * OUTER)
    outer = process.function("native_outer", "native_calls.c")["total"]
    wanted = 4 * (OUTER + INNER + LEAF) + 3 * BUFFER
    expect(outer, allocated_bytes=(wanted, wanted + 65536))
    expect(process.line("native_outer", "native_calls.c")["self"], allocated_bytes=4 * OUTER)
    expect(process.line("native_inner", "native_calls.c")["self"], allocated_bytes=4 * INNER)
    # And Python lines, with the C code that they called.
    expect(process.line("callback")["self"], allocated_bytes=(3 * BUFFER, 3 * BUFFER + 4096))
    expect(process.line("leaf")["self"], allocated_bytes=(3 * LEAF, 3 * LEAF + 4096))
    expect(process.line("again")["self"], allocated_bytes=(2 * (OUTER + INNER), 2 * (OUTER + INNER) + 65536))

    # The innermost of its language, although it is further out as well.
    expect(process.line("ping")["self"], allocated_bytes=LEAF)
    expect(process.line("pong")["self"], allocated_bytes=0)
    expect(process.line("native_make", "native_calls.c")["self"], allocated_bytes=40009)
    expect(process.line("native_other", "native_calls.c")["self"], allocated_bytes=0)
    expect(process.line("native_other", "native_calls.c")["total"], allocated_bytes=(40009, 40009 + 16384))

    # Whole stacks. Recursion is folded, but for the innermost frame of each language.
    stacks = [[place[:2] for place in own(places)] for places, size in paths(with_contexts(recording)) if size >= LEAF]
    called = [at("native_call"), at("native_back")]
    start = [at("call_recursive"), at("recursive")] + called
    for stack in (
        start[:2] + [at("native_outer")],
        start[:3] + [at("native_inner")],
        start + [at("callback")],
        start + [at("again"), at("native_outer")],
        start + [at("again"), at("callback")],
        start + [at("again"), at("leaf"), at("native_leaf")],
    ):
        assert stack in stacks, (stack, [s for s in stacks if s[:1] == start[:1]])
    for inside in (
        ["sum", "generated"], ["sorted", "compare"], ["dying", "died"], ["make", "init", "made"],
        ["call_arguments", "arguments"], ["call_tower", "tower"], ["call_deep", "deep"],
    ):
        tail = [at(mark) for mark in inside] + [at("native_leaf")]
        assert any(stack[-1:] == tail[-1:] and all(place in stack for place in tail) for stack in stacks), (inside, stacks)
    assert any(stack[-2:] == [("<made>", 3), at("native_leaf")] for stack in stacks), stacks
    assert [at("threaded")] + called + [at("threaded"), at("native_leaf")] in stacks, stacks


@python_cases()
def test_rare_paths(version):
    """Parts of the loop that lie elsewhere belong to it."""
    process = record(python(version), program("py_native_errors.py"), options=["--native"]).process
    assert process["losses"]["unspliced_stacks"] == 0, process["losses"]


@python_cases()
def test_where_nothing_matches(version):
    """Deeper than is kept: Python's frames, what the innermost calls, and a note that says so."""
    with open("deep.py", "w") as file:
        file.write(
            "import ctypes, sys, threading; threading.stack_size(256 << 20)\n"
            "sys.setrecursionlimit(30000)\n"
            "library = ctypes.CDLL(sys.argv[1])\n"
            "def deep(n):\n"
            "    if n:\n"
            "        return deep(n - 1)\n"
            "    library.native_leaf()\n"
            "thread = threading.Thread(target=deep, args=(17000,)); thread.start(); thread.join()\n")
    process = record(python(version), "deep.py", library(), options=["--native", OFF]).process
    assert process["losses"]["unspliced_stacks"] > 0, process["losses"]
    assert any("could not be matched with the native one" in note for note in process["notes"]), process["notes"]
    (line,) = [each for each in process["lines"] if each["function"] == "deep" and each["line"] == 7]
    expect(line["self"], allocated_bytes=LEAF, peak_bytes=LEAF)
    expect(process.function("native_leaf", "native_calls.c")["self"], allocated_bytes=LEAF, peak_bytes=LEAF)


def test_table():
    """A row says which C function took the memory, and for which line."""
    recording = record(sys.executable, program("py_native.py"), library(), options=["--native", OFF])
    table = peakline("report", recording.path).stdout.decode()
    (row,) = [line for line in table.splitlines() if "native_leaf (libnative_calls.so)" in line]
    # 20 times for that line, 14 for all others.
    assert row.endswith("most for %s:%d" % (program("py_native.py"), marks("py_native.py")["made"])), row
    assert " 996 KiB  native_leaf" in row, row
    assert "_CallPythonObject" not in table, table


def no_randomness():
    """Before exec: addresses are the same each time, as far as the program alone decides them."""
    ctypes.CDLL(None).personality(0x0040000)  # ADDR_NO_RANDOMIZE


def python_part(process, only=None):
    """What a report says about Python code: {(file, line, function): numbers}.

    Of `only` one file, without frees, and what others do in its calls but allocate. When the interpreter frees a name that its cache of types'
    attributes held depends on the addresses of others, and so do its caller's net and peak, and what the process has.
    """
    found = {}
    own = ("allocated_bytes", "allocations", "peak_bytes", "live_at_exit_bytes", "temporary_allocations")
    for kind in ("lines", "functions"):
        for entry in process[kind]:
            if entry["language"] != "python" or (only and os.path.basename(entry["file"] or "") != only):
                continue
            key = (kind, entry["file"], entry.get("line", entry.get("first_line")), entry["function"])
            numbers = (entry["self"], entry["total"], entry["mem_usage_bytes"])
            if only:
                numbers = ({field: entry["self"][field] for field in own}, {field: entry["total"][field] for field in own[:2]})
            found.setdefault(key, []).append(numbers)
    return found


def differences(interpreter, source, *arguments, options=(), only=None, attempt=0):
    """The program with --native and without: what is said about Python and is not the same, to the byte."""
    processes = []
    for number, more in enumerate(([], ["--native"])):
        process = record(
            interpreter, program(source), *arguments, options=["--max-size=256M", *options, *more],
            output="recording-%d%d" % (attempt, number), preexec_fn=no_randomness).process
        assert process["losses"]["unspliced_stacks"] == 0, process["losses"]
        assert process.totals["folded_contexts"] == 0, process.totals
        processes.append(process)
    assert any(entry["language"] == "native" and entry["total"]["allocations"] for entry in processes[1]["functions"])
    plain, mixed = (python_part(process, only) for process in processes)
    assert plain
    wrong = [(key, plain.get(key), mixed.get(key)) for key in sorted(set(plain) | set(mixed), key=str) if plain.get(key) != mixed.get(key)]
    for field in ("peak_bytes", "allocated_bytes", "allocations", "frees", "live_at_exit_bytes"):
        if not only and processes[0].totals[field] != processes[1].totals[field]:
            wrong.append((field, processes[0].totals[field], processes[1].totals[field]))
    return wrong


def expect_same(*arguments, **keywords):
    """What allocates by a process's number, or by the time of day, is seldom the same twice: so it may try again."""
    for attempt in range(4):
        wrong = differences(*arguments, attempt=attempt, **keywords)
        if not wrong:
            return
    raise AssertionError("%d differ:\n  " % len(wrong) + "\n  ".join(map(str, wrong[:3])))


@cases(*((version, mode) for version in python_cases()(lambda: 0).cases for mode in ("exact", "off")))
def test_python_is_the_same(version, mode):
    # With every object, what the interpreter imports for itself may depend on the order of addresses.
    only = "py_native.py" if mode == "exact" else None
    expect_same(python(version), "py_native.py", library(), "alone", options=["--python-objects=" + mode], only=only)


@python_cases()
def test_techniques_are_the_same(version):
    expect_same(python(version), "py_techniques.py", only="py_techniques.py")


@limit(120)
def test_libraries_are_the_same():
    """numpy's sort with Python's comparisons, vectorize, pandas' apply: callbacks from C."""
    need_modules(sys.executable, "numpy", "pandas")
    expect_same(sys.executable, "py_native_libraries.py", options=[OFF], only="py_native_libraries.py")


@python_cases()
def test_greenlets(version):
    """Their C stacks go on into those of others: each has its own loops only."""
    need_modules(python(version), "greenlet")
    process = record(python(version), program("python_greenlets.py"), options=["--native"]).process
    for line, function, size in ((11, "first", 7001000), (19, "second", 7002000), (13, "first", 7003000)):
        (found,) = [each for each in process["lines"] if each["line"] == line and each["function"] == function]
        assert size <= found["self"]["peak_bytes"] <= size + 4096, found
    assert process["losses"]["unspliced_stacks"] == 0, process["losses"]


@python_cases()
def test_scopes(version):
    """A scope stands outside of its Python frame, inside the C function that called that."""
    with open("scoped.py", "w") as file:
        file.write(
            "import ctypes, sys, peakline\n"
            "library = ctypes.CDLL(sys.argv[1])\n"
            "def callback(n):\n"
            "    with peakline.scope('inside'):\n"
            "        library.native_leaf()\n"
            "call = ctypes.CFUNCTYPE(None, ctypes.c_int)(callback)\n"
            "with peakline.scope('all'):\n"
            "    library.native_outer(call, 0)\n")
    recording = record(python(version), "scoped.py", library(), options=["--native", OFF], compare=False)
    process = recording.process
    scopes = {scope["name"]: scope["total"] for scope in process["scopes"]}
    expect(scopes["inside"], allocated_bytes=(LEAF, LEAF + 8192), peak_bytes=(LEAF, LEAF + 8192))
    expect(scopes["all"], allocated_bytes=(LEAF + INNER + OUTER, LEAF + INNER + OUTER + 32768))
    assert process["losses"]["unspliced_stacks"] == 0, process["losses"]
    stacks = [[place[2] for place in places if place[0] in ("scoped.py", "native_calls.c", "")] for places, _ in paths(with_contexts(recording))]
    wanted = ["all", "<module>", "native_outer", "native_inner", "inside", "callback", "native_leaf"]
    assert any([name for name in stack if name in wanted] == wanted for stack in stacks), stacks
