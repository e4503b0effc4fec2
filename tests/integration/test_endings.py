# SPDX-License-Identifier: MIT
"""However a process ends, its recording is whole, and says how it ended."""
from harness import *

EXITS = {
    "return": 17, "exit": 19, "_exit": 21, "_Exit": 22, "quick_exit": 23, "exit_group": 27, "pthread_exit": 29, "thread_exit": 31,
}
SIGNALS = {
    "abort": signal.SIGABRT, "kill": signal.SIGKILL, "term": signal.SIGTERM, "segv": signal.SIGSEGV, "trap": signal.SIGILL,
}


def check_contents(process):
    expect(process.line("held")["self"], allocations=1, peak_bytes=1000003, at_peak_bytes=1000003, live_at_exit_bytes=1000003)
    expect(process.line("freed")["self"], allocations=1, peak_bytes=2000003, at_peak_bytes=2000003, live_at_exit_bytes=0)
    assert 3000006 <= process.totals["peak_bytes"] <= 3000006 + 4096


@cases(*EXITS)
def test_exit(how):
    recording = record(program("ending"), how, status=EXITS[how])
    process = recording.process
    assert (process["end"], process["exit_code"], process["signal"]) == ("exited", EXITS[how], None), process.raw
    assert recording.report["complete"] is True
    check_contents(process)


@cases(*SIGNALS)
def test_signal(how):
    recording = record(program("ending"), how, status=128 + SIGNALS[how])
    process = recording.process
    assert (process["end"], process["exit_code"], process["signal"]) == ("signalled", None, SIGNALS[how]), process.raw
    check_contents(process)


@cases("return", "kill")
def test_child_of_the_program(how):
    """A child that its parent waits for, without the launcher's help."""
    recording = record("sh", "-c", "'%s' %s; exit 5" % (program("ending"), how), compare=False, status=5)
    (child,) = recording.by_command("ending", how)
    if how == "kill":
        assert (child["end"], child["signal"]) == ("signalled", signal.SIGKILL), child.raw
    else:
        assert (child["end"], child["exit_code"]) == ("exited", 17), child.raw
    check_contents(child)


def test_running():
    with recording_in_background(program("running")) as (child, recording):
        assert child.stdout.readline() == b"ready\n"
        for rounds in range(3):
            process = Process(recording.read()["processes"][0])
            assert (process["end"], process["exit_code"], process["signal"]) == ("running", None, None), process.raw
            expect(process.line("first")["self"], allocations=1, live_at_exit_bytes=1000003, peak_bytes=1000003)
            if rounds:
                expect(process.line("more")["self"], allocations=rounds, peak_bytes=500009 * rounds)
            expect(process.totals, allocations=1 + rounds, live_at_exit_bytes=1000003 + 500009 * rounds)
            child.stdin.write(b".")
            child.stdin.flush()
            assert child.stdout.readline() == b"ready\n"
        child.stdin.close()
        assert child.wait(10) == 0
    process = recording.process
    assert process["end"] == "exited"
    expect(process.line("more")["self"], allocations=3)


def test_killed_from_outside():
    with recording_in_background(program("running")) as (child, recording):
        assert child.stdout.readline() == b"ready\n"
        os.kill(main_pid(recording), signal.SIGKILL)
        assert child.wait(10) == 128 + signal.SIGKILL
    process = recording.process
    assert (process["end"], process["signal"]) == ("signalled", signal.SIGKILL)
    expect(process.line("first")["self"], live_at_exit_bytes=1000003)


def test_launcher_killed_too():
    with recording_in_background(program("running")) as (child, recording):
        assert child.stdout.readline() == b"ready\n"
        pid = main_pid(recording)
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
        if os.path.exists("/proc/%d" % pid):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists("/proc/%d" % pid))
        process = Process(recording.read()["processes"][0])
        assert (process["end"], process["exit_code"], process["signal"]) == ("unknown", None, None), process.raw
        expect(process.line("first")["self"], live_at_exit_bytes=1000003)


def test_only_the_launcher_killed():
    """The program goes on, and is recorded to its end."""
    with recording_in_background(program("running")) as (child, recording):
        assert child.stdout.readline() == b"ready\n"
        pid = main_pid(recording)
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
        if not os.path.exists("/proc/%d" % pid):
            raise Skip("the program ends with its launcher")
        child.stdin.write(b".")
        child.stdin.close()
        wait_until(lambda: not os.path.exists("/proc/%d" % pid))
        process = Process(recording.read()["processes"][0])
        assert (process["end"], process["exit_code"]) == ("exited", 0), process.raw
        expect(process.line("more")["self"], allocations=1)


def test_interrupted():
    """SIGTERM to the launcher reaches the program."""
    with recording_in_background(program("running")) as (child, recording):
        assert child.stdout.readline() == b"ready\n"
        child.terminate()
        assert child.wait(10) == 128 + signal.SIGTERM
    assert (recording.process["end"], recording.process["signal"]) == ("signalled", signal.SIGTERM)
