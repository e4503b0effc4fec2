# SPDX-License-Identifier: MIT
"""Calls that never end, threads that are held in the middle of one, and processes that are stopped: the program goes on as without us."""
from harness import *

ROUNDS = 120000


def check_given_up(process, *reasons):
    """Recording may have ended early, for one of these reasons; then it says so. What it has is whole. Returns whether it did."""
    assert process["end"] == "exited" and process["exit_code"] == 0, process["end"]
    totals, events = process.totals, RUN if process["unfinished_update"] else 0
    slack = events * 4001  # bytes of the largest block
    assert -slack <= totals["live_at_exit_bytes"] <= totals["peak_bytes"] + slack <= totals["allocated_bytes"] + 2 * slack, totals
    assert totals["frees"] <= totals["allocations"] + events, totals
    given_up = process["given_up"]
    told = [note for note in process["notes"] if note.startswith("Recording ended after ")]
    assert len(told) == (given_up is not None), process["notes"]
    if given_up is None:
        expect(process.line("after")["self"], allocations=1, live_at_exit_bytes=4001)
        return False
    assert given_up["reason"] in reasons and 0 <= given_up["time"] <= process["duration"], given_up
    process.no_line("after")
    return True


@cases("alone", "few", "thread", "threads", "deep")
@limit(120)
def test_handlers_that_jump_out_of_calls(how):
    """Hundreds of times; sooner or later it is in the midst of a change of the books."""
    for _ in range(3):
        begin = time.monotonic()
        process = record(program("jumping"), how, options=["--force"]).process
        assert time.monotonic() - begin < 20
        check_given_up(process, "jump", "stopped_thread")


@cases("few", "thread")
@limit(120)
def test_after_one_jump_recording_goes_on(how):
    mended = 0
    for _ in range(12):
        process = record(program("jumping"), how, "1", options=["--force"]).process
        if check_given_up(process, "jump", "stopped_thread"):  # the other thread may be the first to notice
            continue
        # One round was done twice, in part. Of the call that was left, one block may be missing or stay.
        abandoned = process["losses"]["abandoned"]
        assert abandoned <= 1, process["losses"]
        mended += abandoned
        for line, size in (("worked", 107), ("resized", 211)):
            expect(process.line(line)["self"], allocations=(ROUNDS, ROUNDS + 1), live_at_exit_bytes=(0, size))
    assert mended > 0  # else this test tests nothing


def test_a_handler_on_another_stack_ends_no_call():
    """Its frames lie further out than those of the call that it interrupts, in the same mapping."""
    process = record(program("jumping"), "aside").process
    assert not check_given_up(process)
    assert process["losses"]["abandoned"] == 0, process["losses"]
    expect(process.line("worked")["self"], allocations=ROUNDS, live_at_exit_bytes=0)
    expect(process.line("resized")["self"], allocations=ROUNDS, live_at_exit_bytes=0)


@limit(120)
def test_threads_that_are_cancelled_inside():
    for _ in range(3):
        begin = time.monotonic()
        process = record(program("cancelled"), options=["--force"]).process
        assert time.monotonic() - begin < 20
        check_given_up(process, "cancelled_thread", "stopped_thread")


@limit(120)
def test_collector_that_stops_the_world():
    """A thread may be held in the middle of a change: then the collector waits once, for a second, and never again."""
    for _ in range(2):
        begin = time.monotonic()
        process = record(program("stop_world"), options=["--force"]).process
        assert time.monotonic() - begin < 12
        if check_given_up(process, "stopped_thread"):
            assert process["given_up"]["time"] >= 1, process["given_up"]


def test_a_stopped_process_is_not_stuck():
    recording = record(program("suspended"))
    process = recording.by_command("suspended")[0]
    assert process["given_up"] is None, process["given_up"]
    expect(process.line("kept")["self"], allocations=4, live_at_exit_bytes=4 * 1009)
    assert process.line("wandered", "wander.h")["self"]["live_at_exit_bytes"] == 0
    expect(process.totals, lost_events=0)
    assert process["timeline"][-1][2] == 0, process["timeline"][-1]


@cases("here", "elsewhere")
def test_a_handler_on_a_stack_that_is_disarmed_ends_no_call(where):
    """In an array of main, such a handler's frames lie further out than those of the call that it interrupts."""
    for _ in range(4):
        recording = record(program("disarmed"), where, options=["--force"])
        process = recording.process
        allocated, peak, live = map(int, recording.stdout.split())
        assert process["given_up"] is None and process["losses"]["abandoned"] == 0, (process["given_up"], process["losses"])
        expect(process.line("make")["self"], allocated_bytes=allocated, peak_bytes=peak, live_at_exit_bytes=live)
