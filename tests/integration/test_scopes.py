# SPDX-License-Identifier: MIT
"""Scopes, marks and pauses, from C, C++ and Python."""
from harness import *

PACKAGE = os.path.join(ROOT, "shim", "python-package")


def scopes(process):
    found = {}
    for scope in process["scopes"]:
        assert scope["name"] not in found, scope["name"] + " twice"
        found[scope["name"]] = scope["total"]
    return found


@cases("scopes", "scopes_fixed")
def test_c(name):
    recording = record(program(name))
    process = recording.process
    found = scopes(process)
    # It has threads: the numbers are those of its first thread alone, but that is not known to the report.
    expect(found["load"], peak_bytes=350028, allocated_bytes=370039, allocations=3, live_at_exit_bytes=0)
    expect(found["load: part"], peak_bytes=50021, allocations=1, at_peak_bytes=0)
    expect(found["epoch"], allocations=6, peak_bytes=9001, allocated_bytes=4 * 8009 + 2 * 9001)
    expect(found["recursive"], peak_bytes=5 * 10007, allocations=5, allocated_bytes=5 * 10007)
    expect(found["jumper"], allocations=2, peak_bytes=2003)
    expect(found["jumped"], allocations=2, peak_bytes=2003)  # left by longjmp: ends with the scope outside of it
    expect(found["thread"], allocations=1, peak_bytes=30011)
    assert "left open" not in found and "joins" not in found, found.keys()
    expect(found["outer"], allocations=2, peak_bytes=701, allocated_bytes=1302)
    expect(found["inner"], allocations=1, peak_bytes=601)

    # Paused: neither the block nor the regrown one is there, and what was freed meanwhile is gone.
    take = process.line("take", "scopes.c")["self"]
    assert take["peak_bytes"] < 1000000, take
    expect(take, live_at_exit_bytes=0)
    expect(process.totals, lost_events=0)
    marks = process["marks"]
    assert [mark["name"] for mark in marks] == ["before the pause", "after the pause", "after the pause"], marks
    assert all(mark["heap_bytes"] < 1000 for mark in marks), marks  # what the C library keeps of the thread
    assert all(0 < mark["rss_bytes"] <= process.totals["rss_peak_bytes"] for mark in marks), marks
    times = [mark["time"] for mark in marks]
    assert 0 < times[0] <= times[1] <= times[2] <= process["duration"], (times, process["duration"])

    (child,) = recording.children
    expect(scopes(child)["forked"], allocations=1, peak_bytes=60013)
    expect(child.totals, allocations=2, peak_bytes=70003)


def test_cpp():
    found = scopes(record(program("scopes_cpp")).process)
    expect(found["loop"], peak_bytes=(40018, 41500), allocated_bytes=(3 * 40018, 3 * 41500))
    expect(found["failing"], peak_bytes=(30011, 31500), allocated_bytes=(3 * 30011, 3 * 31500))


def test_contexts():
    recording = record(program("scopes"))
    process = min(recording.read("--contexts")["processes"], key=lambda p: p["start_time"])
    named = [context for context in process["contexts"] if context.get("scope")]
    assert {"load", "load: part", "epoch"} <= {context["function"] for context in named}
    by_id = {context["id"]: context for context in process["contexts"]}
    for context in named:
        assert context["file"] is None and context["line"] is None, context
        # Outside of all frames.
        while context["parent"] is not None:
            context = by_id[context["parent"]]
            assert context.get("scope"), context


@python_cases()
def test_python(version):
    need_malloc(version)
    interpreter = python(version)
    # The object itself is small: it comes from the interpreter's pools, which are not recorded here.
    environment = {"PYTHONPATH": PACKAGE, "PYTHONWARNINGS": "ignore"}  # of fork, while a thread may not quite have gone
    recording = record(interpreter, program("py_scopes.py"), options=["--python-objects=off"], env=environment)
    check_wrong_names(recording.stdout)
    process = recording.process
    found = scopes(process)

    def scope(name, *sizes, **more):
        """What was allocated in it, each block freed before the process's end, and not much else."""
        total = sum(size + 1 for size in sizes)
        more.setdefault("peak_bytes", total)
        for field, value in more.items():
            more[field] = (value, value + 2048)
        expect(found[name], allocated_bytes=(total, total + 4096), live_at_exit_bytes=(0, 2048), **more)

    scope("plain", 100002, 50020)
    scope("nested", 20010, 30012)
    scope("nested: inner", 20010)
    scope("recursive", *[10006] * 5)
    scope("task 1", 200002, 200002)
    scope("task 2", 300006, 300006)
    scope("function", 40008)
    scope("made 1", 41010)
    scope("made 2", 42012)
    scope("generator", *[110000] * 3, peak_bytes=2 * 110001)
    scope("coroutine", 130010)
    scope("async generator", *[140006] * 2, peak_bytes=2 * 140007)
    scope("method", 51010)
    scope("class method", 52002)
    scope("static method", 53004)
    scope("contextmanager", 61010)
    scope("class", 62006, peak_bytes=62007)
    scope("stack", 63002, peak_bytes=63003)
    scope("shared", *[80020] * 4)
    scope("wanderer", *[90010] * 3)
    assert "forked" not in found or found["forked"]["allocated_bytes"] < 4096, found["forked"]

    expect(process.line("seen")["self"], peak_bytes=820000 + buffer(interpreter))
    marks = [mark["name"] for mark in process["marks"]]
    assert marks == ["é \\udc80", "end"], marks
    process.no_line("paused")
    process.no_line("paused_again")
    expect(process.line("freed_while_paused")["self"], freed_bytes=(700005, 700005 + 2048), allocations=0)
    assert process.totals["lost_events"] == 0, process.totals

    (child,) = recording.children
    expect(scopes(child)["forked"], peak_bytes=(910003, 912003))


@python_cases()
@limit(90)
def test_shared(version):
    """One object in several threads; the limit of recursion is the program's own error; a handler's exceptions do not pause the thread."""
    need_malloc(version)
    recording = record(python(version), program("py_scopes_shared.py"), options=["--python-objects=off"], env={"PYTHONPATH": PACKAGE})
    assert recording.stdout == b"too deep\nend\n", recording.stdout
    # A block each time; what the threads and the scope itself take beside them is little.
    expect(scopes(recording.process)["stage"], allocated_bytes=(12000 * 10008, 12000 * 10008 + 1500000), live_at_exit_bytes=(0, 20000))
    expect(recording.process.line("later")["self"], peak_bytes=(3000018, 3000018 + 4096))


@cases("1M", "16M")
def test_many(size):
    """Far more scopes than fit, in the smallest recording: contexts are folded, sums stay."""
    options = ["--python-objects=off", "--max-size=" + size]
    process = record(sys.executable, program("py_scopes_many.py"), options=options, env={"PYTHONPATH": PACKAGE}).process
    found = scopes(process)
    for number in range(4):
        # Each task's block, and what the event loop needs while it is awaited.
        blocks = 2500 * 4001
        expect(found["task %d" % number], allocated_bytes=(blocks, blocks + 1000000), peak_bytes=(blocks, blocks + 500000))
    if size == "16M":
        assert len(found) == 3004, len(found)
        for number in range(3000):
            expect(found["epoch %d" % number], peak_bytes=(5001 + number, 5001 + number + 2048), peak_exact=True)
        assert process.totals["lost_events"] == 0, process.totals


def check_wrong_names(stdout):
    text = stdout.decode()
    for kind in "int", "NoneType", "bytes":
        assert "\npeakline.scope takes a name, a str, not %s\npeakline.mark takes a name, a str, not %s\n" % (kind, kind) in text, text
    assert '\npeakline.scope takes a name, a str, not builtin_function_or_method (with parentheses: @peakline.scope("name"))\n' in text, text
    assert "no error" not in text, text


def test_without_shim():
    """The package alone does nothing, and says so to nobody."""
    environment = clean_environment({"PYTHONPATH": PACKAGE, "PYTHONWARNINGS": "ignore"})
    done = subprocess.run([sys.executable, program("py_scopes.py")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert done.returncode == 0 and done.stderr == b"" and done.stdout.endswith(b"done\n"), done
    check_wrong_names(done.stdout)


def tasks(interpreter, mode):
    """py_scopes_tasks.py: (scope: (bytes, blocks)) as the report has it and as it counts itself."""
    source = "py_scopes_tasks.py"
    options = ["--max-size=256M", "--python-objects=" + mode]
    recording = record(interpreter, program(source), "30", options=options, env={"PYTHONPATH": PACKAGE}, compare=False, output=mode)
    counted = {name: tuple(counts) for name, counts in json.loads(recording.stdout).items()}
    (raw,) = recording.read("--contexts")["processes"]
    assert raw["totals"]["lost_events"] == 0, raw["totals"]
    by_id = {context["id"]: context for context in raw["contexts"]}
    found = {}
    for context in raw["contexts"]:
        if context["line"] not in (marks(source)["make"], marks(source)["hold"]) or os.path.basename(context["file"] or "") != source:
            continue
        at = context
        while at:
            if at.get("scope"):
                size, count = found.get(at["function"], (0, 0))
                found[at["function"]] = size + context["self"]["allocated_bytes"], count + context["self"]["allocations"]
            at = by_id.get(at["parent"])
    return found, counted


@python_cases()
@limit(120)
def test_tasks(version):
    """Random programs of tasks that overlap, of callbacks, threads, generators: each scope's bytes and blocks are what they count themselves."""
    for mode in ["exact"] if "t" in version else ["exact", "off"]:
        found, counted = tasks(python(version), mode)
        wrong = {name: (found.get(name), counts) for name, counts in counted.items() if found.get(name) != counts}
        assert len(counted) > 200 and found == counted, (mode, len(wrong), list(wrong.items())[:5], set(found) - set(counted))


SEVERAL_NAMES = """
import peakline
kept = []
function = lambda: kept.append(bytearray(50000))
one, two = peakline.scope("one")(function), peakline.scope("two")(function)
one(), two(), function()
long = "x" * 300
for last in "abb":
    with peakline.scope(long + last):
        kept.append(bytearray(10000))
for name in ("n\\0a", "n\\0b", "n"):
    with peakline.scope(name):
        kept.append(bytearray(20000))
"""


@python_cases()
def test_what_has_several_names_is_in_no_scope_of_another_one(version):
    need_malloc(version)
    process = record(python(version), "-c", SEVERAL_NAMES, options=["--python-objects=off"], env={"PYTHONPATH": PACKAGE}).process
    found = scopes(process)
    for name, allocated in (("one", 50001), ("two", 50001), ("n\\0a", 20001), ("n\\0b", 20001), ("n", 20001)):
        expect(found[name], allocated_bytes=(allocated, allocated + 1500))
    long = sorted(found[name]["allocated_bytes"] // 10000 for name in found if name.startswith("xxx"))
    assert long == [1, 2], sorted(found)


@python_cases()
def test_import_system(version):
    """Its frames are seen through, but not those that have a scope."""
    code = """if True:
        import importlib._bootstrap_external as system, sys, peakline
        system.FileLoader.get_data = peakline.scope("read")(system.FileLoader.get_data)
        names = {"peakline": peakline}
        exec(compile("def block(kept):\\n  with peakline.scope('block'):\\n    kept.append(bytearray(830003))\\n"
            "  kept.append(bytearray(830003))", "<frozen importlib._bootstrap>", "exec"), names)
        kept = []
        names["block"](kept)
        import large
    """
    with open("large.py", "w") as file:
        file.write("kept = bytearray(920011)\n" + "# comment\n" * 40001)
    for options in [], ["--native"]:
        recording = record(python(version), "-B", "-c", code, options=options, output="recording" + "".join(options), compare=False)
        found = scopes(recording.process)
        # The file's bytes, but not what the module makes.
        expect(found["read"], peak_bytes=(400010, 650000), net_bytes=(400010, 410000))
        # Not the net bytes: the interpreter's cache of methods may let go of an older name there (3.13, by addresses).
        expect(found["block"], peak_bytes=(830003, 835000), allocated_bytes=(830003, 835000))
        contexts = recording.read("--contexts")["processes"][0]["contexts"]
        shown = [each for each in contexts if (each["file"] or "").startswith("<frozen importlib._bootstrap") and each["parent"]]
        assert {each["function"].split(".")[-1] for each in shown} == {"get_data", "block"}, shown
