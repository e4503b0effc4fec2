# SPDX-License-Identifier: MIT
"""Peaks: a line's, a function's, the process's; temporaries, reallocations, recursion, and too many contexts."""
from harness import *


def test_own_peak_and_the_process_peak():
    process = record(program("own_peak")).process
    kept, highest = 40009, 2000003 + 2500009
    expect(process.totals, peak_bytes=kept + highest, live_at_exit_bytes=0, allocations=10, frees=10)
    expect(process.line("early")["self"], peak_bytes=3000017, at_peak_bytes=0)
    expect(process.line("early_kept")["self"], peak_bytes=kept, at_peak_bytes=kept, live_at_exit_bytes=0)
    expect(process.line("highest_a")["self"], peak_bytes=2000003, at_peak_bytes=2000003)
    expect(process.line("highest_b")["self"], peak_bytes=2500009, at_peak_bytes=2500009)
    expect(process.line("x")["self"], peak_bytes=100001, at_peak_bytes=0, allocations=2, allocated_bytes=200002)

    # What the heap stood at when the line allocated.
    assert process.line("early")["mem_usage_bytes"] == 3000017
    assert process.line("early_kept")["mem_usage_bytes"] == kept
    assert process.line("y")["mem_usage_bytes"] == kept + 300004
    assert process.line("highest_b")["mem_usage_bytes"] == kept + highest
    assert process.line("call_overlapping")["mem_usage_bytes"] == kept + 350004
    assert process.function("overlapping")["mem_usage_bytes"] == kept + 350004

    # Inclusive peaks are neither sums nor maxima of what is below.
    for name in ("self", "total"):
        expect(process.function("overlapping")[name], peak_bytes=350004, at_peak_bytes=0, peak_exact=True)
        expect(process.function("early")[name], peak_bytes=3000017, at_peak_bytes=kept, allocated_bytes=3040026)
    for mark in ("call_overlapping", "call_again"):
        expect(process.line(mark)["total"], peak_bytes=350004, allocations=3, peak_exact=True)
        expect(process.line(mark)["self"], peak_bytes=0, allocations=0)
    expect(process.line("call_highest")["total"], peak_bytes=highest, at_peak_bytes=highest)
    expect(process.function("main")["total"], peak_bytes=kept + highest)


def test_the_first_of_equal_peaks():
    process = record(program("equal_peaks")).process
    expect(process.line("first")["self"], peak_bytes=100003, at_peak_bytes=100003)
    expect(process.line("second")["self"], peak_bytes=100003, at_peak_bytes=0)


def test_temporaries():
    process = record(program("temporaries")).process
    expect(process.line("temporary")["self"], allocations=1000, temporary_allocations=1000, peak_bytes=137, allocated_bytes=137000)
    # Only the last one is freed before anything else is allocated.
    expect(process.line("overlapping")["self"], allocations=500, temporary_allocations=1, peak_bytes=278)
    expect(process.line("outer")["self"], allocations=250, temporary_allocations=0, peak_bytes=149)
    expect(process.line("inner")["self"], allocations=250, temporary_allocations=250, peak_bytes=151)
    expect(process.totals, allocations=2000, frees=2000, live_at_exit_bytes=0, peak_bytes=149 + 151)


def test_own_cost():
    """What recording took is known, and far less than a program that mostly sleeps."""
    process = record(sys.executable, "-c", "import time; [bytes(600) for _ in range(50000)]; time.sleep(2)", compare=False).process
    assert process.totals["hook_seconds"] and 0 < process.totals["hook_seconds"] < process["duration"] / 2, process.totals


def test_reallocs():
    process = record(program("reallocs"), options=["--frees"]).process
    expect(process.line("first")["self"], peak_bytes=1000003, at_peak_bytes=0, live_at_exit_bytes=0, freed_bytes=0)
    expect(process.line("up")["self"], peak_bytes=3000017, at_peak_bytes=3000017, freed_bytes=1000003, net_bytes=2000014)
    expect(process.line("down")["self"], peak_bytes=500009, freed_bytes=3000017, net_bytes=500009 - 3000017)
    expect(process.line("same_place")["self"], peak_bytes=500011, freed_bytes=500009, live_at_exit_bytes=0)
    steps = list(range(201, 2002, 100))
    expect(process.line("step")["self"], allocations=len(steps), allocated_bytes=sum(steps), peak_bytes=2001, live_at_exit_bytes=0)
    expect(process.line("wall")["self"], allocations=len(steps), peak_bytes=11)
    expect(
        process.line("growth")["self"], allocations=10000, allocated_bytes=50005000, peak_bytes=10000, live_at_exit_bytes=10000,
        freed_bytes=50005000 - 10000)
    # Never old and new together.
    expect(process.totals, peak_bytes=3000017, live_at_exit_bytes=10000)


def test_recursion():
    process = record(program("recursion"), "1000").process
    for name in ("self", "total"):
        expect(process.function("direct")[name], allocations=1000, allocated_bytes=101000, peak_bytes=101000, live_at_exit_bytes=0)
    expect(process.line("direct")["self"], allocations=1000, peak_bytes=101000)
    expect(process.line("direct_call")["self"], allocations=0)
    expect(process.line("direct_call")["total"], allocations=999, peak_bytes=999 * 101)
    expect(process.function("even")["self"], allocations=500, peak_bytes=500 * 103)
    expect(process.function("even")["total"], allocations=1000, peak_bytes=500 * 103 + 500 * 107)
    expect(process.function("odd")["self"], allocations=500, peak_bytes=500 * 107)
    expect(process.function("odd")["total"], allocations=999, peak_bytes=499 * 103 + 500 * 107)
    expect(process.line("even_call")["total"], allocations=999, peak_bytes=499 * 103 + 500 * 107)
    expect(process.line("odd_call")["total"], allocations=998, peak_bytes=499 * 103 + 499 * 107)
    expect(process.line("main_even")["total"], allocations=1000)
    assert process.totals["contexts"] < 50, "recursion is not folded: %d contexts" % process.totals["contexts"]
    expect(process.totals, lost_events=0, peak_bytes=500 * 103 + 500 * 107)


def test_deep_recursion():
    process = record(program("recursion"), "6000").process
    expect(process.function("direct")["self"], allocations=6000, peak_bytes=606000, live_at_exit_bytes=0)
    assert process.totals["contexts"] < 50
    expect(process.totals, allocations=12000, peak_bytes=3000 * 103 + 3000 * 107)


def test_optimised_code():
    process = record(program("inlined")).process
    inlined = process.lines("inlined")
    assert sum(line["total"]["allocations"] for line in inlined) >= 2, inlined
    expect(process.line("user_one")["total"], allocations=1, allocated_bytes=20011, peak_bytes=20011)
    expect(process.line("user_two")["total"], allocations=1, allocated_bytes=30011, peak_bytes=30011)
    two = process.line("two_sites")["self"]
    expect(two, allocations=2, allocated_bytes=2022, peak_bytes=2022, live_at_exit_bytes=0)
    assert two["peak_exact"] is False, "a line with two call sites has a bound, not a peak"
    inline_function = process.function("inlined")["total"]
    expect(inline_function, allocations=2, allocated_bytes=50022, peak_bytes=(30011, 50022), peak_exact=False)


def test_more_contexts_than_fit():
    recording = record(program("contexts"), options=["--max-size", "2MiB"])
    size = sum(os.path.getsize(os.path.join(recording.path, name)) for name in os.listdir(recording.path))
    assert size <= 2 * 2**20 + 65536, "%d bytes" % size
    process = recording.process
    crowd = 1 << 18
    expect(process.totals, allocations=crowd + 2, allocated_bytes=crowd * 33 + crowd // 2 + 30000001 + 50021)
    live = crowd // 2 * 33 + crowd // 4
    expect(process.totals, live_at_exit_bytes=live // 2 + 50021, peak_bytes=live + 30000001)
    # The crowd that came first does not keep the evaluation out.
    expect(process.line("call_crowd")["total"], allocations=crowd, peak_bytes=live + 34)
    # Whose contexts were folded, with live blocks, knows what is left of them.
    whole = dict(allocations=crowd, peak_bytes=live + 34, at_peak_bytes=live, live_at_exit_bytes=live // 2, peak_exact=True)
    expect(process.line("crowd")["self"], **whole)
    for level in range(18):
        expect(process.function("level_%d" % level)["total"], **whole)
    expect(process.line("evaluation")["self"], allocations=1, peak_bytes=30000001)
    expect(process.line("call_evaluation")["total"], allocations=1, peak_bytes=30000001)
    expect(process.line("late")["self"], allocations=1, peak_bytes=50021, live_at_exit_bytes=50021)


@cases("1000", "50000")
def test_a_very_deep_stack(depth):
    process = record(program("deep"), depth).process
    assert process.totals["folded_contexts"] == 0, process.totals
    expect(process.line("first")["self"], allocations=1, allocated_bytes=1000003, peak_bytes=1000003)
    expect(process.line("second")["self"], allocations=1, allocated_bytes=500009, peak_bytes=500009)
    expect(process.line("deepest")["self"], allocations=1, allocated_bytes=777, peak_bytes=777)
    expect(process.line("recursion")["total"], allocations=1, allocated_bytes=777, peak_bytes=777)


def test_the_cap_by_default():
    recording = record(program("contexts"))
    size = sum(os.path.getsize(os.path.join(recording.path, name)) for name in os.listdir(recording.path))
    assert size <= 16 * 2**20, "%d bytes" % size
    expect(recording.process.line("late")["self"], allocations=1, peak_bytes=50021)


def test_the_table_agrees_with_the_json():
    recording = record(program("own_peak"))
    done = peakline("report", recording.path, "--function", "overlapping")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "own_peak.c: overlapping" in text and "341 KiB" in text or "342 KiB" in text, text
    row = [line for line in text.splitlines() if "@y" in line]
    assert len(row) == 1 and "195 KiB" in row[0], text
