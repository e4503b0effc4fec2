# SPDX-License-Identifier: MIT
"""Small objects, exactly and as samples (--python-objects=sampled), under each of the interpreter's allocators, on every interpreter found."""
from harness import *

SAMPLED = ("--python-objects=sampled",)
SEED = {"PEAKLINE_SAMPLING_SEED": "20260"}
# What pymalloc takes from malloc, since 3.10, for the first of its arenas in each 16 GiB of address space: the kernel's choice, so one
# process may have one more than another (arena_map_bot_t: 2^14 entries of 8 bytes).
ARENA_MAP = 131072


def deviations(exact, sampled, fields=("allocated_bytes", "allocations", "peak_bytes", "live_at_exit_bytes", "net_bytes")):
    """How many standard errors each estimate is off."""
    error = sampled["standard_error"]
    assert error is not None and exact["standard_error"] is None, (exact, sampled)

    def off(field):
        found = sampled[field] - exact[field]
        return min(found, found - ARENA_MAP, found + ARENA_MAP, key=abs) if field.endswith("bytes") else found

    # A few KiB that no sample has hit have no error either.
    return {field: off(field) / max(error[field], 4096 if field.endswith("bytes") else 64) for field in fields}


@python_cases()
@limit(120)
def test_estimates(version):
    interpreter = python(version)
    exact = record(interpreter, program("py_sampled.py"), output="exact").process
    sampled = record(interpreter, program("py_sampled.py"), options=SAMPLED, env=SEED, output="sampled").process
    assert (exact["objects"], exact["sampling_bytes"]) == ("exact", None), exact["objects"]
    assert (sampled["objects"], sampled["sampling_bytes"]) == ("sampled", 16384), sampled["objects"]
    assert any("are estimates" in note for note in sampled["notes"]), sampled["notes"]
    for mark in ("tuples", "texts", "mixed", "plain", "call_plain", "churn", "grown", "thread", "del"):
        # Comprehensions have a function of their own up to 3.11.
        names = {line["function"] for line in exact.lines(mark)}
        for name in names:
            (truth,) = [line for line in exact.lines(mark) if line["function"] == name]
            (line,) = [line for line in sampled.lines(mark) if line["function"] == name] or [None]
            for which in ("self", "total"):
                if truth[which]["allocated_bytes"] < 500000 and truth[which]["freed_bytes"] < 500000:
                    continue
                assert line, (mark, name)
                off = deviations(truth[which], line[which])
                if truth[which]["peak_bytes"] < 500000:  # the highest of many small values
                    del off["peak_bytes"]
                assert all(abs(z) < 4 for z in off.values()), (mark, name, which, off, truth[which], line[which])
    for field in ("allocated_bytes", "allocations", "peak_bytes"):
        off = sampled.totals[field] - exact.totals[field]
        assert abs(off) < 4 * sampled.totals["standard_error"][field] + 20000, (field, off, sampled.totals)
    # A line that frees what it allocated is certain of that; samples hit few lines by far.
    assert sampled.line("churn")["total"]["standard_error"]["net_bytes"] == 0, sampled.line("churn")
    # Blocks of malloc are exact, whatever their objects are.
    line = sampled.lines("large")
    assert sum(each["self"]["peak_bytes"] for each in line) >= 20 * 100004, line
    for process in (exact, sampled):
        assert process.totals["lost_events"] == 0, process.totals


@python_cases()
def test_free_lists(version):
    interpreter = python(version)
    if minor(version) < (3, 13):
        raise Skip("up to 3.12, nothing tells of free lists")
    exact = record(interpreter, program("py_free_lists.py"), "30000", output="exact").process
    sampled = record(interpreter, program("py_free_lists.py"), "30000", options=SAMPLED, env=SEED, output="sampled").process
    for mark in ("pair", "triple", "float", "list", "returned", "dict", "newest"):
        off = deviations(exact.line(mark)["self"], sampled.line(mark)["self"])
        assert all(abs(z) < 4 for z in off.values()), (mark, off, exact.line(mark), sampled.line(mark))
    off = deviations(exact.line("counted")["self"], sampled.line("counted")["self"], ("allocated_bytes", "allocations"))
    assert all(abs(z) < 4 for z in off.values()), off


@limit(120)
def test_errors_are_honest():
    """Of 300 lines, two thirds are within a standard error, 95 % within two; and all of them together are not off."""
    interpreter, lines = sys.executable, 300
    argument = str(lines)
    exact = record(interpreter, program("py_sampled.py"), argument, output="exact").process
    sampled = record(interpreter, program("py_sampled.py"), argument, options=SAMPLED, env=SEED, output="sampled").process
    for field in ("allocated_bytes", "allocations", "peak_bytes", "live_at_exit_bytes"):
        errors, offs = [], []
        for line in (line for line in exact["lines"] if line["file"] == "<generated>" and line["function"] == "work" and line["line"] > 1):
            (found,) = [each for each in sampled["lines"] if each["file"] == "<generated>" and each["function"] == "work" and each["line"] == line["line"]]
            if line["total"][field]:
                errors.append(found["total"]["standard_error"][field])
                offs.append(found["total"][field] - line["total"][field])
        if field == "live_at_exit_bytes":
            continue
        assert len(offs) == lines and min(errors) > 0, (field, len(offs))
        one = sum(abs(off) <= error for off, error in zip(offs, errors)) / lines
        two = sum(abs(off) <= 2 * error for off, error in zip(offs, errors)) / lines
        assert 0.58 < one < 0.79 and two > 0.90, (field, one, two)
        assert abs(sum(offs)) < 4 * sum(error**2 for error in errors) ** 0.5, (field, sum(offs))


MODES = ("", "PYTHONMALLOC=pymalloc", "PYTHONMALLOC=malloc", "PYTHONMALLOC=debug", "PYTHONMALLOC=pymalloc_debug", "PYTHONMALLOC=malloc_debug",
         "PYTHONDEVMODE=1", "PYTHONTRACEMALLOC=5", "PYTHONFAULTHANDLER=1")


def more_head(version):
    """Bytes that a free-threaded interpreter's objects have beyond others'."""
    return 16 if "t" in version else 0


@python_cases()
@limit(240)
def test_allocators_of_the_interpreter(version):
    """Statistics, tracemalloc on and off in the middle: as in a plain run, and every object once."""
    interpreter = python(version)
    for number, mode in enumerate(MODES):
        if "t" in version and mode in ("PYTHONMALLOC=pymalloc", "PYTHONMALLOC=malloc", "PYTHONMALLOC=pymalloc_debug", "PYTHONMALLOC=malloc_debug"):
            continue  # it refuses to start
        env = dict([mode.split("=")]) if mode else {}
        for how in ("exact", "sampled"):
            process = record(interpreter, program("py_allocators.py"), options=["--python-objects=" + how], env={**env, **SEED},
                             output="%d-%s" % (number, how)).process
            assert process["objects"] == how and not process["losses"]["replaced_allocators"], (mode, process["losses"])
            # 20,000 objects in a list, and their numbers but for the small ones, which are always there; three or four times.
            line = process.function("allocate")["total"]
            error = line["standard_error"] or {"allocations": 0, "allocated_bytes": 0}
            calls = 3 if "TRACEMALLOC" in mode else 4
            # In two of the calls tracemalloc needs up to two entries of malloc's for each.
            least, traced = calls * 39743, 2 * 2 * 39743
            assert -4 * error["allocations"] <= line["allocations"] - least < 2000 + traced + 4 * error["allocations"], (mode, how, line)
            least, lists = calls * (20000 * 16 + 19743 * 28 + 39743 * more_head(version)), calls * 9 * 8 * 20000  # with what these grew through
            most = least + lists + 64 * traced + 4 * error["allocated_bytes"]
            assert least - 4 * error["allocated_bytes"] <= line["allocated_bytes"] < most, (mode, how, line)
            # PYTHONMALLOC=malloc leaves nothing to estimate.
            assert (how == "sampled" and mode != "PYTHONMALLOC=malloc") == (error["allocations"] > 0), (mode, how, line)


def check_objects(version, total, made, size, call=None):
    """So many of bytes(40), `size` bytes each (0: they are not seen), with what each call takes, and a list of them that grew."""
    call = argument(version) if call is None else call
    count, whole = made * ((size > 0) + (call > 0)), made * (size + call)
    error = total["standard_error"] or {"allocations": 0, "allocated_bytes": 0}
    assert -4 * error["allocations"] <= total["allocations"] - count <= 1000 + 4 * error["allocations"], (count, total)
    most = 80000 + whole + 10 * 8 * max(made, 60000)
    assert whole - 4 * error["allocated_bytes"] <= total["allocated_bytes"] <= most + 4 * error["allocated_bytes"], (count, total)


@python_cases()
@limit(120)
def test_allocators_of_the_program(version):
    """It replaces them by itself: in front of ours, by malloc, by a pool; and goes back, or not."""
    interpreter = python(version)
    need_modules(interpreter, "ctypes")
    library = program("libpython_allocator.so")
    for how, end in (("0", "stay"), ("1", "stay"), ("1", "relent"), ("2", "stay"), ("2", "relent")):
        for mode in ("exact", "sampled"):
            process = record(interpreter, program("py_replaced.py"), library, how, end, options=["--python-objects=" + mode], env=SEED,
                             output="-".join((how, end, mode))).process
            assert process["losses"]["replaced_allocators"] == 1, (how, end, mode)
            assert any("allocators of its own" in note for note in process["notes"]), process["notes"]
            # malloc's blocks are known; of what a pool hands out, there is nothing but the list.
            check_objects(version, process.line("meanwhile")["total"], 60000, 0 if how == "2" else 73 + more_head(version))
            expect(process.line("large")["self"], allocated_bytes=(1000004, 1000004 + 40000))
            expect(process.line("bytes")["self"], live_at_exit_bytes=(0, 40000))
            if end == "relent":
                # The calls' memory may still be the pool's, of which nothing is known.
                after = process.line("after")["total"]
                call = 0 if how == "2" and after["allocations"] < 100000 else None
                check_objects(version, after, 70000, 73 + more_head(version), call)


def test_a_forked_child_samples_anew():
    """Parents and children draw numbers of their own, and threads, too."""
    code = (
        "import itertools, os, threading\n"
        "kept = [(i,) for i in range(50000)]\n"
        "def work():\n"
        "    kept.append([bytes(40) for _ in itertools.repeat(None, 60000)])\n"
        "child = os.fork()\n"
        "work()\n"
        "threads = [threading.Thread(target=work) for _ in range(3)]\n"
        "[t.start() for t in threads]\n"
        "[t.join() for t in threads]\n"
        "if child:\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
    )
    with open("forking.py", "w") as file:
        file.write(code)
    processes = record(sys.executable, "forking.py", options=SAMPLED, env=SEED).processes
    assert len(processes) == 2
    estimates = []
    for process in processes:
        (work,) = [f for f in process["functions"] if f["function"] == "work"]
        total = work["total"]
        truth = 4 * 60000 * 73
        assert abs(total["allocations"] - 240000) < 4 * total["standard_error"]["allocations"] + 1000, total
        assert truth - 4 * total["standard_error"]["allocated_bytes"] < total["allocated_bytes"] < truth * 1.25 + 9 * 8 * 240000, total
        estimates.append(total["allocations"])
    assert estimates[0] != estimates[1], estimates


def test_the_seed_decides():
    """One thread and one seed: the same samples."""
    counts = []
    for output, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        process = record(sys.executable, program("py_sampled.py"), "20", options=SAMPLED, env={"PEAKLINE_SAMPLING_SEED": seed}, output=output).process
        counts.append([line["total"]["allocations"] for line in sorted(process["lines"], key=lambda each: each["line"] or 0) if line["file"] == "<generated>"])
    assert counts[0] != counts[2], counts
    # Where memory lies decides nothing; a path that is as long as another one does not either.
    assert counts[0] == counts[1], counts
