# SPDX-License-Identifier: MIT
"""Each process image has a file of its own, from its first allocation on, and leaves its parent's alone."""
from harness import *


def family(how, **keywords):
    keywords.setdefault("env", {})["PATH"] = os.path.dirname(program("leaf")) + ":/usr/bin:/bin"
    return record(program("family"), how, program("leaf"), **keywords)


def check_parent(process):
    assert (process["end"], process["exit_code"]) == ("exited", 0), process.raw
    expect(process.line("before")["self"], allocations=1, live_at_exit_bytes=1000003)
    expect(process.line("after")["self"], allocations=1, live_at_exit_bytes=700001)


def check_leaf(process, status, parent=None):
    assert (process["end"], process["exit_code"]) == ("exited", status), process.raw
    expect(process.line("leaf")["self"], allocations=1, peak_bytes=500009, live_at_exit_bytes=500009)
    expect(process.totals, peak_bytes=500009, allocations=1, live_at_exit_bytes=500009)
    if parent is not None:
        assert process["parent_pid"] == parent["pid"]


def test_fork():
    recording = family("fork")
    check_parent(recording.process)
    recording.process.no_line("child")
    (child,) = recording.children
    assert child["parent_pid"] == recording.process["pid"]
    assert (child["end"], child["exit_code"]) == ("exited", 3)
    # What was inherited is not counted, and that it is freed is no loss.
    assert child["losses"]["unknown_frees"] is None
    expect(child.totals, uncounted_frees=1)
    expect(child.totals, peak_bytes=300007, allocations=2, live_at_exit_bytes=200003)
    expect(child.line("child")["self"], peak_bytes=300007, live_at_exit_bytes=0)
    expect(child.line("child_kept")["self"], peak_bytes=200003, live_at_exit_bytes=200003)
    child.no_line("before")
    child.no_line("after")


def test_fork_without_handlers():
    recording = family("raw-fork")
    check_parent(recording.process)
    recording.process.no_line("raw_child")
    (child,) = recording.children
    assert (child["end"], child["exit_code"]) == ("exited", 4)
    expect(child.line("raw_child")["self"], peak_bytes=300007, live_at_exit_bytes=300007)
    expect(child.totals, peak_bytes=300007, allocations=1)


def test_grandchildren():
    recording = family("grandchildren")
    check_parent(recording.process)
    assert len(recording.children) == 2
    middle, last = recording.children
    assert (middle["parent_pid"], last["parent_pid"]) == (recording.process["pid"], middle["pid"])
    assert (middle["exit_code"], last["exit_code"]) == (6, 5)
    expect(middle.line("middle")["self"], live_at_exit_bytes=400009)
    expect(last.line("child")["self"], peak_bytes=300007)
    middle.no_line("child")


def test_fork_while_threads_allocate():
    recording = family("fork-in-threads")
    check_parent(recording.process)
    assert len(recording.children) == 50
    for child in recording.children:
        assert (child["end"], child["exit_code"]) == ("exited", 7), child.raw
        expect(child.line("forked")["self"], allocations=1000, peak_bytes=1201, live_at_exit_bytes=0)
        expect(child.totals, peak_bytes=1201, allocations=1000)


def test_fork_while_threads_are_in_the_loader():
    recording = family("fork-in-loader")
    check_parent(recording.process)
    assert len(recording.children) == 300
    for child in recording.children:
        expect(child.totals, peak_bytes=1301, allocations=1)


@cases(("vfork", 8), ("spawn", 10), ("spawnp", 10), ("system", 11), ("popen", 12), ("fork-exec", 13))
def test_other_program(how, status):
    recording = family(how)
    check_parent(recording.process)
    (leaf,) = [p for p in recording.processes if os.path.basename(p["command"][0]) == "leaf"]
    check_leaf(leaf, status, recording.process if how in ("vfork", "spawn", "spawnp", "fork-exec") else None)
    if how == "fork-exec":
        (before,) = [p for p in recording.children if p["pid"] == leaf["pid"] and p["image"] != leaf["image"]]
        assert before["end"] == "replaced" and before["image"] < leaf["image"], before.raw
        expect(before.line("before_exec")["self"], live_at_exit_bytes=300007)


def test_vfork_and_a_missing_program():
    recording = family("vfork-failing")
    check_parent(recording.process)
    assert recording.children == []


@cases("exec", "exec-in-thread")
def test_exec(how):
    recording = family(how, status=13)
    first, second = sorted(recording.processes, key=lambda p: p["image"])
    assert first["pid"] == second["pid"]
    assert (first["image"], first["end"]) == (0, "replaced"), first.raw
    expect(first.line("before")["self"], live_at_exit_bytes=1000003)
    assert second["image"] == 1
    check_leaf(second, 13)


def test_exec_with_an_empty_environment():
    recording = family("exec-scrubbed", status=14)
    first, second = sorted(recording.processes, key=lambda p: p["image"])
    assert (first["end"], second["image"]) == ("replaced", 1)
    check_leaf(second, 14)


def test_exec_of_a_missing_program():
    recording = family("exec-missing")
    check_parent(recording.process)
    assert recording.children == []


def test_daemons():
    recording = family("daemons")
    check_parent(recording.process)
    daemons = [p for p in recording.children if p.lines("daemon")]
    ends = sorted((p.line("daemon")["self"]["live_at_exit_bytes"], p["end"], p["exit_code"]) for p in daemons)
    assert ends == [(600011, "exited", 16), (600012, "exited", 17), (600013, "exited", 18)], ends


def test_many_children_at_once():
    recording = family("many")
    check_parent(recording.process)
    assert len(recording.children) == 40
    sizes = sorted(child.line("many")["self"]["live_at_exit_bytes"] for child in recording.children)
    assert sizes == [10007 + i for i in range(40)]
    for child in recording.children:
        assert child["exit_code"] == child.totals["peak_bytes"] - 10007


@cases("fork", "exec", "spawn", "system")
def test_no_follow(how):
    recording = family(how, options=["--no-follow"])
    expect(recording.process.line("before")["self"], live_at_exit_bytes=1000003)
    # Another program in the same process is still the same process.
    assert {p["pid"] for p in recording.processes} == {recording.process["pid"]}
    if how != "exec":
        assert len(recording.processes) == 1
        check_parent(recording.process)


def test_scripts_and_pipelines():
    script = "a=$('%(leaf)s' 1000003); '%(leaf)s' 1000033 & wait; ('%(leaf)s' 1000037 | cat); env -i '%(leaf)s' 1000039; exit 3"
    recording = record("bash", "-c", script % {"leaf": program("leaf")}, status=3)
    sizes = sorted(p.line("leaf")["self"]["peak_bytes"] for p in recording.processes if os.path.basename(p["command"][0]) == "leaf")
    assert sizes == [1000003, 1000033, 1000037, 1000039], sizes


def test_a_child_of_another_c_library():
    """Ours cannot be loaded into it; its loader would stop at that. It is started by its path, by PATH, and by a script."""
    if not shutil.which("musl-gcc"):
        raise Skip("no musl-gcc")
    os.mkdir("bin")
    with open("small.c", "w") as file:
        file.write("int main(void) { return 42; }\n")
    subprocess.run(["musl-gcc", "-o", "bin/small", "small.c"], check=True)
    with open("bin/script", "w") as file:
        file.write("#!%s/bin/small\n" % os.getcwd())
    os.chmod("bin/script", 0o755)
    code = "import os, subprocess; print(subprocess.call(['bin/small']), subprocess.call(['small']), subprocess.call(['script']), "
    code += "os.spawnvp(os.P_WAIT, 'small', ['x']), os.waitpid(os.posix_spawnp('small', ['x'], os.environ), 0)[1] >> 8)"
    recording = record(sys.executable, "-c", code, env={"PATH": os.getcwd() + "/bin:" + os.environ["PATH"]})
    assert recording.stdout == b"42 42 42 42 42\n", recording.stdout
    # What comes after it in the shell's environment is still there.
    recording = record("sh", "-c", "bin/small; bin/small; exec sh -c 'exit 5'", status=5, output="second")
    assert len(recording.by_command("sh", "-c", "exit 5")) == 1, recording.processes


def test_setuid_program_as_a_child():
    """The dynamic loader drops the preload; the program runs unrecorded and nothing else changes."""
    need_root()
    os.chmod(".", 0o755)
    shutil.copy(program("leaf"), "setuid-leaf")
    os.chown("setuid-leaf", 65534, 65534)
    os.chmod("setuid-leaf", 0o4755)
    recording = record("sh", "-c", "./setuid-leaf 1000003 5; exit 6", status=6)
    assert recording.process["command"][0] == "sh"
