# SPDX-License-Identifier: MIT
"""The program notices nothing, wherever it goes and whatever it lacks."""
from harness import *


def test_what_a_program_can_see():
    record(program("surroundings"), "one", "", "thr ee", status=5, env={"EMPTY": "", "SPACES": " a  b "})


def test_summary_is_all_that_is_added():
    plain = subprocess.run([program("surroundings")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    done = peakline("run", "-o", "recording", program("surroundings"))
    assert done.returncode == plain.returncode == 5
    assert done.stderr.startswith(plain.stderr)
    assert 0 < len(done.stderr) - len(plain.stderr) < 2000


def test_descriptors_belong_to_the_program():
    process = record(program("descriptors")).process
    # Four calls, of 11 to 61 levels each, with nothing lost.
    expect(process.line("allocate")["self"], allocations=11 + 21 + 41 + 61)
    expect(process.totals, lost_events=0)


def test_change_of_directory():
    process = record(program("places"), output="relative-name").process
    expect(process.line("before")["self"], allocations=1, live_at_exit_bytes=1000003)
    expect(process.line("after")["self"], allocations=1, live_at_exit_bytes=700001)


def test_change_of_root():
    need_root()
    process = record(program("places"), "chroot").process
    expect(process.line("after")["self"], allocations=1, live_at_exit_bytes=700001)


PLACES = 9 * 256  # allocations, from as many call sites as one ninth of them
TURNS = 2**11 - 1  # calls of left and right


def check_limits(process, lossless=True):
    """Without room for new places, bytes go to the nearest caller that has one; no byte is missing from the totals."""
    expect(process.line("before")["self"], live_at_exit_bytes=10007)
    expect(process.totals, allocations=PLACES + TURNS + 2)
    expect(process.totals, live_at_exit_bytes=process.totals["allocated_bytes"], peak_bytes=process.totals["allocated_bytes"])
    if lossless:
        expect(process.line("places")["total"], allocations=PLACES, allocated_bytes=PLACES * 21)
        expect(process.line("after")["self"], live_at_exit_bytes=20011)
        expect(process.totals, lost_events=0)


@cases(("none", 0), ("as", 256 << 20), ("data", 64 << 20), ("fsize", 0), ("fsize", 4096), ("nofile", 3), ("nofile", 0))
def test_limits_set_by_the_program(what, value):
    process = record(program("limits"), what, str(value)).process
    check_limits(process, lossless=what in ("none", "data"))


@cases("user", "root", "filter", "descriptors")
def test_out_of_reach(how):
    """A process that can no longer open its recording goes on in it, but for want of descriptors; children that have none are counted."""
    if how in ("user", "root"):
        need_root()
    forks = how != "filter"  # the child would be killed
    recording = record(program("limits"), how, str(int(forks)))
    process = recording.process
    check_limits(process, lossless=how != "descriptors")
    assert process["losses"]["children"] == forks, process["losses"]
    assert recording.report["complete"] == (not forks)
    wanted = {"user": "changed its user", "root": "changed its root", "descriptors": "ulimit -n"}.get(how)
    assert not forks or any("1 forked child process was not recorded: " in note and wanted in note for note in process["notes"]), process["notes"]


@cases("", "/")
def test_bare_child(root):
    """A child without thread-local memory must not be asked who it is by that."""
    if root:
        need_root()
    process = record(program("bare_child"), *[root][: len(root)], status=7).process
    expect(process.line("after")["self"], live_at_exit_bytes=20011)
    assert process["end"] == "exited" and process["exit_code"] == 7 and process.totals["lost_events"] == 0, process["end"]


@cases("ulimit -v 200000", "ulimit -v 60000", "ulimit -d 60000", "ulimit -n 4", "ulimit -n 5", "ulimit -s 256", "ulimit -l 0", "ulimit -u 1")
def test_limits_that_were_there_before(command):
    recording = record("sh", "-c", command + "; exec '%s' none 0" % program("limits"))
    (process,) = recording.by_command("limits", "none")
    check_limits(process, lossless=False)


def test_limits_of_the_launcher():
    """Whatever the limit, the exit status is the program's, and one line says what is missing and why."""
    said = set()
    for kilobytes in range(8000, 64000, 2000):
        command = "ulimit -v %d; exec '%s' run -o r%d sh -c 'exit 7'" % (kilobytes, PEAKLINE, kilobytes)
        done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, universal_newlines=True)
        if done.returncode == 127 and "loading shared libraries" in done.stderr:
            continue
        assert done.returncode == 7, (kilobytes, done)
        if "peakline: recorded in " in done.stderr:
            said.add("summary")
            continue
        line, what, why = re.fullmatch(r"(peakline: (nothing was recorded|no summary): .*limited to ([\d.]+ MiB) \(RLIMIT_AS\).*\n)", done.stderr).groups()
        assert why == "%.3g MiB" % (kilobytes / 1024) and "ulimit -v" in line, done
        said.add(what)
    assert "summary" in said, said  # what else there is depends on what the C library takes


def test_little_data():
    """RLIMIT_DATA counts writable memory that is mapped, used or not: the program has what it needs all the same."""
    recording = record("sh", "-c", "ulimit -d 30000; exec '%s' -c 'print(len(bytearray(3000017)))'" % sys.executable)
    held = max(line["self"]["peak_bytes"] for process in recording.processes for line in process["lines"])
    assert 3000018 <= held < 3000018 + 100000, held  # with what else is "<string>"
    recording = record("sh", "-c", "ulimit -d 60000; exec '%s' -c 'import asyncio'" % sys.executable, output="noted")
    (process,) = recording.by_command("import asyncio")
    assert any("RLIMIT_DATA" in note and "ulimit -d" in note for note in process["notes"]), process["notes"]


def test_a_report_names_the_limit_of_address_space():
    recording = record("sh", "-c", "ulimit -v 120000; exec '%s' -c 'import asyncio'" % sys.executable)
    (process,) = recording.by_command("import asyncio")
    assert any("RLIMIT_AS" in note and "ulimit -v" in note for note in process["notes"]), process["notes"]


def test_a_report_names_the_limit_of_files():
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000)); import asyncio"
    recording = record(sys.executable, "-c", code)
    report = peakline("report", recording.path, universal_newlines=True).stdout
    assert re.search(r"\n  Note: The recording had no room for more: .*\(RLIMIT_FSIZE\); .*`ulimit -f`\.\n", report), report


def test_no_file_may_be_written():
    """RLIMIT_FSIZE 0 from the start: the program runs, unrecorded, and is not killed by SIGXFSZ."""
    recording = record("sh", "-c", "ulimit -f 0; exec '%s' none 0" % program("limits"), compare=False)
    assert recording.stdout == b"still here\n"
    assert recording.process["command"][0] == "sh"


def in_small_file_system(size, command, target="contexts", mount="mount -t tmpfs -o size=%s tmpfs small"):
    need_root()
    os.mkdir("small")
    script = mount % size + ' || exit 77; %s; status=$?; cp -r small/recording . 2>/dev/null; exit $status' % command
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=50, env=clean_environment({"PEAKLINE": PEAKLINE, "TARGET": program(target)}))
    if done.returncode == 77 or done.stderr.startswith(b"unshare: "):
        raise Skip("cannot mount: %s" % done.stderr.decode(errors="replace").strip())
    return done


@cases("256k", "1m")
def test_file_system_fills_up(size):
    done = in_small_file_system(size, '"$PEAKLINE" run --quiet -o small/recording -- "$TARGET"')
    assert done.returncode == 0 and done.stderr == b"", (done.returncode, done.stderr)
    recording = Recording(os.path.abspath("recording"), ["contexts"])
    process = recording.process
    crowd = 1 << 18
    expect(process.totals, allocations=crowd + 2, peak_bytes=crowd // 2 * 33 + crowd // 4 + 30000001)
    # What does not matter is forgotten long before the larger one is full.
    assert (process.totals["lost_events"] > 0) == (size == "256k"), process.totals
    assert process["end"] == "exited"


def test_file_system_is_full():
    """Nothing can be written: either one line and 125, or the program runs as if alone."""
    done = in_small_file_system("64k", 'dd if=/dev/zero of=small/ballast 2>/dev/null; "$PEAKLINE" run --quiet -o small/recording -- "$TARGET"')
    if done.returncode == 125:
        assert done.stderr.count(b"\n") == 1, done.stderr
    else:
        assert done.returncode == 0, (done.returncode, done.stderr)


def in_btrfs(command, overlay):
    """What is stored on a full btrfs goes elsewhere, even where there was something before."""
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 17):
        raise Skip("before Linux 6.17 a store can fail there, whatever we do")
    mount = "export PATH=$PATH:/sbin:/usr/sbin; truncate -s %s image && mkfs.btrfs -q image >&2 && mount -o loop image "
    mount += ("below && mkdir below/up below/work && mount -t overlay -o lowerdir=low,upperdir=below/up,workdir=below/work overlay small"
              if overlay else "small")
    os.mkdir("below")
    os.mkdir("low")
    return in_small_file_system("128M", command, target="disk_filled", mount=mount)


@cases(False, True)
def test_btrfs_fills_up(overlay):
    done = in_btrfs('"$PEAKLINE" run --quiet -o small/recording -- "$TARGET" small/ballast', overlay)
    assert done.returncode == 0, (done.returncode, done.stderr)
    process = Recording(os.path.abspath("recording"), ["disk_filled"]).process
    assert process["end"] == "exited"
    for line, calls, size in (("before", 1, 10007), ("meanwhile", 100000, 3700000), ("after", 1, 50021)):
        expect(process.line(line)["self"], allocations=calls, allocated_bytes=size)
    expect(process.line("leaf")["self"], allocations=8192, live_at_exit_bytes=sum(41 + path % 7 for path in range(8192)))
    assert not any("The disk became full" in note for note in process["notes"]), process["notes"]


def test_btrfs_fills_up_and_the_process_is_killed():
    done = in_btrfs('"$PEAKLINE" run --quiet -o small/recording -- "$TARGET" small/ballast kill', False)
    assert done.returncode == 137, (done.returncode, done.stderr)
    process = Recording(os.path.abspath("recording"), ["disk_filled"]).process
    assert (process["end"], process["signal"]) == ("signalled", signal.SIGKILL), process.raw
    expect(process.line("before")["self"], allocations=1, live_at_exit_bytes=10007)
    assert any("The disk became full" in note for note in process["notes"]), process["notes"]


def test_btrfs_fills_up_and_threads_go_on():
    """What is written at the end fits together."""
    done = in_btrfs('"$PEAKLINE" run --quiet -o small/recording -- "$TARGET" small/ballast leave', False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    process = Recording(os.path.abspath("recording"), ["disk_filled"]).process
    for what in "allocations", "allocated_bytes", "live_at_exit_bytes":
        assert sum(function["self"][what] for function in process["functions"]) == process.totals[what], what
    expect(process.line("after")["self"], allocations=1, allocated_bytes=50021)


def test_recording_is_removed_meanwhile():
    with recording_in_background(program("running")) as (child, recording):
        assert child.stdout.readline() == b"ready\n"
        shutil.rmtree(recording.path)
        for _ in range(5):
            child.stdin.write(b".")
            child.stdin.flush()
            assert child.stdout.readline() == b"ready\n"
        child.stdin.close()
        assert child.wait(10) == 0


def allocator(name):
    paths = glob.glob("/usr/lib/*/" + name) + glob.glob("/usr/lib64/" + name) + glob.glob("/usr/lib/" + name)
    if not paths:
        raise Skip(name + " is not installed")
    return paths[0]


ALLOCATORS = ("libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2.0", "libmimalloc.so.2")


@cases(*ALLOCATORS)
def test_other_allocator_preloaded(name):
    path = allocator(name)
    process = record(program("own_peak"), env={"LD_PRELOAD": path}).process
    expect(process.line("early")["self"], peak_bytes=3000017, at_peak_bytes=0)
    expect(process.line("highest_b")["self"], peak_bytes=2500009, at_peak_bytes=2500009)
    process = record(program("usable"), env={"LD_PRELOAD": path}, output="second").process
    expect(process.line("malloc")["self"], peak_bytes=4999, live_at_exit_bytes=0)
    process = record(program("exchange"), env={"LD_PRELOAD": path}, output="third").process
    expect(process.line("malloc")["self"], allocations=400000, live_at_exit_bytes=0)
    process = record(program("family"), "fork-in-threads", program("leaf"), env={"LD_PRELOAD": path}, output="fourth").process
    expect(process.line("after")["self"], live_at_exit_bytes=700001)


def test_preload_stays_in_charge():
    """What was preloaded before is still preloaded, after the shim."""
    path = allocator("libjemalloc.so.2")
    done = record("sh", "-c", "grep -c jemalloc /proc/$$/maps >/dev/null && echo there", env={"LD_PRELOAD": path})
    assert done.stdout == b"there\n"


def test_threads_and_a_tiny_stack():
    """A shim that needs kilobytes of stack would kill a thread with little."""
    record("sh", "-c", "ulimit -s 128; exec '%s'" % program("many_threads"))


def test_program_that_wraps_malloc():
    process = record(program("wrapping")).process
    expect(process.line("held")["total"], allocations=1, live_at_exit_bytes=1000003, peak_bytes=1000003)
    expect(process.line("freed")["total"], allocations=1, live_at_exit_bytes=0, peak_bytes=500009)
    expect(process.line("next")["self"], allocations=(2, 10), peak_bytes=(1500012, 1500012 + 4096))


def test_program_with_its_own_allocator():
    process = record(program("own_malloc")).process
    assert any("malloc of its own" in note for note in process["notes"]), process["notes"]
    process = record(program("places"), output="not").process
    assert not any("malloc of its own" in note for note in process["notes"]), process["notes"]


@cases("<&-", ">&-", "2>&-", "<&- >&- 2>&-")
def test_closed_standard_streams(redirection):
    """The program finds closed what it would find closed."""
    inner = "open=; for f in 0 1 2 3 4 5; do [ -e /proc/$$/fd/$f ] && open=\"$open $f\"; done; echo $open >%s"
    results = []
    for name, prefix in (("plain", ""), ("recorded", "'%s' run --quiet -o recording --" % PEAKLINE)):
        script = "exec %s; exec %s sh -c '%s'" % (redirection, prefix, inner % name)
        subprocess.run(["sh", "-c", script], timeout=30, env=clean_environment())
        with open(name) as file:
            results.append(file.read())
    assert results[0] == results[1], results


def test_standard_streams_pass_through():
    data = os.urandom(300000)
    plain = subprocess.run(["cat"], input=data, stdout=subprocess.PIPE, check=True)
    done = subprocess.run([PEAKLINE, "run", "--quiet", "-o", "recording", "cat"], input=data, stdout=subprocess.PIPE, check=True, timeout=30)
    assert done.stdout == plain.stdout


def test_very_long_command():
    recording = record("true", *["x" * 1000] * 1000)
    command = recording.process["command"]
    assert command[0] == "true" and command[1] == "x" * 1000, command[:1]


def test_two_hundred_short_processes():
    recording = record("sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done")
    assert len(recording.processes) == 201, len(recording.processes)


def test_several_at_once():
    children = [
        subprocess.Popen([PEAKLINE, "run", "--quiet", program("own_peak")], env=clean_environment()) for _ in range(8)
    ]
    assert [child.wait(30) for child in children] == [0] * 8
    names = sorted(os.listdir("."))
    assert len(names) == 8 and all(re.fullmatch(r"peakline-own_peak-\d+", name) for name in names), names
    for name in names:
        process = Recording(os.path.abspath(name), []).process
        assert process.totals["peak_bytes"] == 40009 + 4500012


def test_options_from_the_environment():
    recording = record(program("functions"), "freed", env={"PEAKLINE_FREES": "1"})
    expect(recording.process.line("free")["self"], frees=9)
