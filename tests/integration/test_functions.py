# SPDX-License-Identifier: MIT
"""Every function that allocates, to the byte."""
from harness import *

ONCE = {
    "malloc": 1009,
    "calloc": 7 * 1013,
    "realloc": 1019,
    "reallocarray": 3 * 1021,
    "posix_memalign": 1031,
    "aligned_alloc": 1033,
    "memalign": 1039,
    "valloc": 1049,
    "pvalloc": 1051,
}


def test_each_function_held():
    process = record(program("functions")).process
    for mark, size in ONCE.items():
        expect(
            process.line(mark)["self"], allocated_bytes=size, allocations=1, peak_bytes=size, at_peak_bytes=size,
            live_at_exit_bytes=size, temporary_allocations=0, peak_exact=True)
        expect(process.line(mark)["total"], allocated_bytes=size, allocations=1, peak_bytes=size)
    everything = sum(ONCE.values())
    expect(
        process.totals, peak_bytes=everything, live_at_exit_bytes=everything, allocated_bytes=everything, allocations=len(ONCE),
        frees=0, lost_events=0, mapped_peak_bytes=0, peak_error_bytes=0)
    assert process.totals["usable_at_peak_bytes"] >= everything
    expect(process.function("main")["total"], peak_bytes=everything, allocations=len(ONCE))
    assert (process["end"], process["exit_code"], process["signal"]) == ("exited", 0, None)
    assert process["python_version"] is None


def test_each_function_freed():
    process = record(program("functions"), "freed", options=["--frees"]).process
    everything = sum(ONCE.values())
    for mark, size in ONCE.items():
        expect(process.line(mark)["self"], peak_bytes=size, at_peak_bytes=size, live_at_exit_bytes=0, freed_bytes=0, net_bytes=size)
    expect(process.line("free")["self"], allocations=0, frees=len(ONCE), freed_bytes=everything, net_bytes=-everything)
    expect(process.function("main")["total"], freed_bytes=everything, net_bytes=0)
    expect(process.totals, live_at_exit_bytes=0, frees=len(ONCE), peak_bytes=everything)


def test_frees_are_unknown_without_the_option():
    process = record(program("functions"), "freed").process
    expect(process.line("malloc")["self"], freed_bytes=None, frees=None, net_bytes=None)
    expect(process.totals, live_at_exit_bytes=0, frees=len(ONCE))


def test_library_functions():
    process = record(program("libc_functions")).process
    for mark, size in {"strdup": 1061, "strndup": 1069, "wcsdup": 1003 * 4, "asprintf": 1087}.items():
        expect(process.line(mark)["total"], live_at_exit_bytes=size, peak_bytes=(size, size + 2000))
    # getline says itself how much it allocated; the stream's buffer comes on top.
    expect(process.line("getline")["total"], live_at_exit_bytes=1502, peak_bytes=(1502, 1502 + 8192 + 120))
    expect(process.line("realpath")["total"], live_at_exit_bytes=(2, 4096))
    expect(process.line("memstream")["total"], live_at_exit_bytes=4001)


def test_edges():
    process = record(program("edges"), options=["--frees"]).process
    for mark in ("malloc_zero", "calloc_zero", "realloc_null_zero"):
        expect(process.line(mark)["self"], allocations=1, allocated_bytes=0, peak_bytes=0)
    for mark in (
        "malloc_fails", "calloc_fails", "realloc_fails", "reallocarray_fails", "posix_memalign_fails", "aligned_alloc_fails",
    ):
        process.no_line(mark)
    expect(process.line("kept")["self"], allocations=1, peak_bytes=1511, live_at_exit_bytes=0)
    expect(process.line("gone")["self"], allocations=1, peak_bytes=1523, live_at_exit_bytes=0)
    expect(process.line("realloc_to_zero")["self"], allocations=0, frees=1, freed_bytes=1523)
    expect(process.totals, peak_bytes=1511 + 1523, live_at_exit_bytes=0, allocations=5, frees=5)


def test_a_free_that_was_not_seen():
    process = record(program("unseen_free")).process
    expect(process.line("first")["self"], peak_bytes=1009, live_at_exit_bytes=0)
    expect(process.line("second")["self"], peak_bytes=1001, live_at_exit_bytes=1001)
    expect(process.totals, live_at_exit_bytes=1001 + 1013)


def test_blocks_beyond_4_gib():
    process = record(program("large")).process
    five, six = 5368709137, 6442450961
    expect(process.line("five_gib")["self"], peak_bytes=five, allocated_bytes=five, at_peak_bytes=0, live_at_exit_bytes=0)
    expect(process.line("six_gib")["self"], peak_bytes=six, at_peak_bytes=six, live_at_exit_bytes=0)
    expect(process.line("aligned")["self"], peak_bytes=3145757, at_peak_bytes=3145757, live_at_exit_bytes=3145757)
    expect(process.line("aligned_again")["self"], peak_bytes=3145759, at_peak_bytes=0, live_at_exit_bytes=0)
    expect(process.totals, peak_bytes=six + 3145757, live_at_exit_bytes=3145757)


def test_operators():
    process = record(program("operators")).process
    sizes = {
        "new": 5003,
        "new_aligned": 5120,
        "new_array": 5011,
        "new_aligned_array": 2 * 5120,
        "new_counted": 11 * 101 + 8,
        "new_nothrow": 5003,
        "operator_new": 5021,
        "operator_new_array": 5023,
        "operator_new_aligned": 5056,
    }
    for mark, size in sizes.items():
        # libstdc++ rounds the size of an aligned block up to a multiple of its alignment.
        expect(process.line(mark)["total"], allocations=1, allocated_bytes=size, peak_bytes=size, live_at_exit_bytes=0)
    expect(process.line("string")["total"], allocations=2, allocated_bytes=32 + 5052, live_at_exit_bytes=0)
    expect(process.line("vector")["total"], allocations=2, allocated_bytes=24 + 4 * 5059, live_at_exit_bytes=0)
    expect(process.line("make_shared")["total"], allocations=1, allocated_bytes=(5003 + 16, 5003 + 24), live_at_exit_bytes=0)
    for line in process.lines("new_fails"):
        # The exception itself is all that may be charged.
        expect(line["total"], allocated_bytes=(1, 1024))


def test_usable_size():
    process = record(program("usable")).process
    count = len(range(1, 5000, 7))
    expect(process.line("malloc")["self"], allocations=count, peak_bytes=4999, allocated_bytes=sum(range(1, 5000, 7)), live_at_exit_bytes=0)
    line = process.line("realloc")["self"]
    expect(line, allocations=count, live_at_exit_bytes=0)
    assert line["allocated_bytes"] >= sum(range(1, 5000, 7)), line


def test_errno_is_kept():
    record(program("kept_errno"), options=["--frees"])


def test_other_names():
    """A function is called by its public name, and found by each one."""
    recording = record(program("aliases"))
    for glob in "__fill", "fill", "load", "[f]ill":
        (process,) = [Process(raw) for raw in recording.read("--function", glob)["processes"]]
        (function,) = process["functions"]
        assert function["function"] == "fill" and os.path.basename(function["file"]) == "aliases.c", function
        expect(function["self"], allocated_bytes=18004, allocations=2)
        assert [line["function"] for line in process["lines"]] == ["fill"], process["lines"]
    assert [f["self"]["allocated_bytes"] for f in recording.process["functions"] if f["function"] == "fill"] == [18004]
    # The C library's, with or without its debug information.
    (process,) = recording.read("--function", "qsort_r")["processes"]
    (function,) = process["functions"]
    assert function["function"] == "qsort_r" and function["total"]["allocated_bytes"] >= 2 * 3001, function
