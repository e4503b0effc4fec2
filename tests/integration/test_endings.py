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


FIELDS = ("live_at_exit_bytes", "peak_bytes", "allocated_bytes", "allocations")
LARGEST = 5016  # bytes of an operation of stepped, but for the first one
PLACES = 5


def stepped_states(operations):
    """What was so before the first operation and after each: FIELDS of the process, and those of each line by itself."""
    states = [[0] * len(FIELDS) for _ in range(1 + PLACES)]
    yield [tuple(sums) for sums in states]
    for kind, size, place in operations:
        for sums in (states[0], states[1 + (1 if place == 3 else place)]):  # 3 has 1 do it
            if kind == "+":
                sums[2:] = sums[2] + size, sums[3] + 1
            sums[0] += size if kind == "+" else -size
            sums[1] = max(sums[:2])
        yield [tuple(sums) for sums in states]


def stepped_state(process):
    state = [tuple(process.totals[field] for field in FIELDS)]
    for place in range(PLACES):
        lines = process.lines("line_%d" % place)
        state.append(tuple(lines[0]["self"][field] for field in FIELDS) if lines else (0,) * len(FIELDS))
    return state


@cases("events", "contexts")
@limit(150)
def test_at_any_instruction(updating):
    """When a process ends, no more of its numbers is in doubt than what the report says."""
    arguments = {"events": (3000, 300, 151, 0), "contexts": (8000, 200, 9973, 8192)}[updating]
    os.mkdir("copies")
    recording = record(program("stepped"), "recording", "copies", *map(str, arguments), options=["--max-size", "1MiB"], compare=False)
    printed = [line.split() for line in recording.stdout.decode().splitlines()]
    states = list(stepped_states([(kind, int(size), int(place)) for kind, size, place in printed if kind != "copy"]))
    copies = [(int(begun), int(ended)) for kind, begun, ended in printed if kind == "copy"]
    seen = {None: 0, "events": 0, "contexts": 0}
    for number, (begun, ended) in enumerate(copies):
        copy = Recording(os.path.abspath("copies/%d" % number), recording.command)
        process = copy.process
        shutil.rmtree(copy.path)
        unfinished, state, true = process["unfinished_update"], stepped_state(process), states[ended : begun + 1]
        main = tuple(process.function("main")["total"][field] for field in FIELDS)
        told = [note for note in process["notes"] if note.startswith("It ended ")]
        assert len(told) == (unfinished is not None) and copy.report["complete"] is False, process["notes"]
        seen[unfinished] += 1
        if unfinished is None:
            assert state in true and main == state[0], (number, state, main, true)
            continue
        # What is pending on the way from a line to main is whole in any case.
        want, run = true[0], RUN * LARGEST
        assert abs(main[1] - want[0][1]) <= run and abs(main[0] - want[0][0]) <= run, (number, main, want)
        if unfinished == "contexts":
            assert state[0] in [other[0] for other in true], (number, state[0], true)
        else:
            off = [one for one, other in zip(state[1:], want[1:]) if abs(one[3] - other[3]) > 1 or abs(one[0] - other[0]) > LARGEST]
            assert len(off) <= 1, (number, state, want)  # the run's line
            assert all(abs(one[3] - other[3]) <= RUN for one, other in zip(state, want)), (number, state, want)
    assert seen[None] > 50 and seen[updating] > 20, seen
