# SPDX-License-Identifier: MIT
"""What the integration tests share: run a target under `peakline run`, read its recording through the JSON report.

A test is a function `test_*` in a file `test_*.py`. It runs in a process, a session and an empty working directory of its own. It fails
by any exception; it is skipped by `Skip("why")`.

    recording = record(program("own_peak"))
    line = recording.process.line("early")        # the line that is marked `// @early` or `# @early` in the source
    expect(line["self"], peak_bytes=3000017)
"""
import contextlib
import fcntl
import functools
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
PEAKLINE = os.path.join(BUILD, "peakline")
SHIM = os.path.join(BUILD, "libpeakline.so")
SOURCES = os.path.join(ROOT, "tests", "programs")
SCHEMA = os.path.join(ROOT, "reporter", "report-schema.json")


class Skip(Exception):
    """The test cannot run here; the message says why."""


def cases(*values):
    """Runs the test once for each value (or tuple of values)."""

    def mark(function):
        function.cases = values
        return function

    return mark


def limit(seconds):
    """Gives the test another time limit than the runner's."""

    def mark(function):
        function.limit = seconds
        return function

    return mark


def program(name):
    """The path of a compiled target, or of a Python one."""
    if name.endswith(".py"):
        return os.path.join(SOURCES, name)
    path = os.path.join(BUILD, "tests", "programs", name)
    assert os.path.exists(path), "not built: " + path
    return path


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


@functools.lru_cache(None)
def marks(source):
    """The marked lines of a source file: name -> line number."""
    found = {}
    with open(os.path.join(SOURCES, source), encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            match = re.search(r"(?://|#) @(\w+)", text)
            if match:
                assert match.group(1) not in found, "%s: @%s twice" % (source, match.group(1))
                found[match.group(1)] = number
    return found


# --- Interpreters


def python_version(path):
    """(major, minor, micro), the real path of an interpreter and whether it is free-threaded; None when it does not start."""
    code = "import sys, sysconfig; print(sys.executable); print(*sys.version_info[:3]); print(sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"
    try:
        done = subprocess.run([path, "-I", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    executable, version, free_threaded = done.stdout.decode().splitlines()
    return tuple(int(part) for part in version.split()), os.path.realpath(executable), free_threaded == "1"


@functools.lru_cache(None)
def interpreters():
    """Every CPython 3 that is installed, or left in build/pythons by scripts: {"3.11.2": path}.

    A free-threaded one is "3.13.5t"; names that occur twice get a number of primes.
    """
    names = ["python3"] + ["python3.%d" % minor for minor in range(6, 20)]
    directories = os.environ.get("PATH", "").split(":") + ["/usr/bin"]
    directories += sorted(glob.glob(os.path.join(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv")), "versions/*/bin")))
    for build in (BUILD, os.path.join(ROOT, "build")):
        directories += sorted(glob.glob(os.path.join(build, "pythons/*/root/usr/bin")) + glob.glob(os.path.join(build, "pythons/*t/bin")))
    found = {}
    for directory in directories:
        for name in names:
            path = os.path.join(directory, name)
            if os.access(path, os.X_OK) and not re.match(rb"#!", open(path, "rb").read(2)):
                found.setdefault(os.path.realpath(path), path)
    result = {}
    for real in sorted(found):
        answer = python_version(real)
        if answer is None and os.sep + "pythons" + os.sep in real:
            print("%s does not start (was its directory moved?) and is not tested: run its script in scripts/ again" % real, file=sys.stderr)
        if answer is None or answer[0][0] != 3:
            continue
        name = "%d.%d.%d" % answer[0] + "t" * answer[2]
        while name in result:
            name += "'"
        result[name] = real
    return result


def python_cases():
    """The interpreters whose frames peakline promises to read."""
    supported = [name for name in interpreters() if (3, 8) <= minor(name) <= (3, 15)]
    return cases(*(supported or ["none"]))


def python(version):
    if version == "none":
        raise Skip("no interpreter found")
    return interpreters()[version]


def minor(version):
    return tuple(int(part) for part in release(version).split("."))[:2]


def release(version):
    """What the interpreter itself says."""
    return version.rstrip("'t")


def need_malloc(version):
    """For tests of what is recorded without --python-objects=exact."""
    if "t" in version:
        raise Skip("free-threaded: none of the interpreter's blocks come from malloc")


def buffer(interpreter):
    """What the buffer of bytearray(N) has beside N bytes: 1, from 3.15 on the head of a bytes object, too."""
    code = "import sys; print(sys.getsizeof(bytearray(1000)) - bytearray.__basicsize__ - 1000)"
    return int(subprocess.run([interpreter, "-c", code], stdout=subprocess.PIPE, check=True).stdout)


def argument(version):
    """What a call from Python, of a type written in C, takes for the tuple of its one argument: memory of a free list, seen from 3.13 on."""
    if minor(version) < (3, 13):
        return 0
    return int(subprocess.run([python(version), "-c", "import sys; print(sys.getsizeof((0,)))"], stdout=subprocess.PIPE, check=True).stdout)


def need_modules(interpreter, *names):
    done = subprocess.run([interpreter, "-c", "import " + ", ".join(names)], stderr=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Skip("%s has not all of %s" % (interpreter, ", ".join(names)))


@functools.lru_cache(None)
def virtual_environment(name, *packages):
    """A directory of the build with a virtual environment that has these packages from PyPI, made once."""
    directory = os.path.join(BUILD, name)
    done = os.path.join(directory, "done")
    with open(directory + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(done):
            shutil.rmtree(directory, ignore_errors=True)
            command = [os.path.join(directory, "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
            for step in [sys.executable, "-m", "venv", directory], command:
                made = subprocess.run(step, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                if made.returncode != 0:
                    lines = made.stdout.decode(errors="replace").strip().splitlines() or ["no message"]
                    raise Skip("no %s: %s" % (" and ".join(packages), lines[-1]))
            open(done, "w").close()
    return directory


# --- Reports


@functools.lru_cache(None)
def validator():
    import jsonschema

    with open(SCHEMA, encoding="utf-8") as file:
        schema = json.load(file)
    cls = jsonschema.validators.validator_for(schema)
    cls.check_schema(schema)
    return cls(schema)


def validate(report):
    """Holds a report against the project's JSON Schema. Of very long lists, every n-th entry and the ends."""
    thinned = dict(report)
    thinned["processes"] = []
    for process in report["processes"]:
        process = dict(process)
        for key in ("lines", "functions", "contexts", "timeline"):
            entries = process.get(key)
            if entries and len(entries) > 100:
                process[key] = entries[:25] + entries[25:-25 : len(entries) // 25] + entries[-25:]
        thinned["processes"].append(process)
    errors = [
        "%s: %s" % ("/".join(str(part) for part in error.absolute_path), error.message[:300])
        for error in validator().iter_errors(thinned)
    ]
    assert not errors, "the report breaks its schema:\n  " + "\n  ".join(errors[:10])


RUN = 84  # events at most of which an unfinished update may have counted a part, or twice (RECORD_JOURNAL_EVENTS)


def check_invariants(process):
    """What holds in every report, whatever ran."""
    times = [tick[0] for tick in process["timeline"]]
    assert times == sorted(times), "the timeline runs backwards"
    if process["unfinished_update"]:  # a part of the numbers is from before it, another from after it
        return
    totals = process["totals"]
    slack = (totals["peak_error_bytes"] or 0) if totals["peak_error_bytes"] is not None else 0
    for kind in ("lines", "functions"):
        for entry in process[kind]:
            where = "%s %s:%s %s" % (kind, entry["file"], entry.get("line"), entry["function"])
            for name in ("self", "total"):
                m = entry[name]
                allocated, peak = m["allocated_bytes"], m["peak_bytes"]
                assert allocated >= 0 and m["allocations"] >= 0, (where, m)
                assert 0 <= m["at_peak_bytes"] <= peak + slack, (where, name, m)
                assert 0 <= m["live_at_exit_bytes"] <= peak + slack, (where, name, m)
                # May lack what it did before it was forgotten, or what contexts did that found no room.
                again = (totals["forgotten_lines"] or process["losses"]["table_full"]) and not m["peak_exact"]
                assert peak <= allocated + slack or again, (where, name, m)
                assert peak <= totals["peak_bytes"] + slack or not m["peak_exact"], (where, name, m, totals)
                assert m["temporary_allocations"] <= m["allocations"], (where, name, m)
                if m["freed_bytes"] is not None and m["net_bytes"] is not None:
                    assert m["net_bytes"] == allocated - m["freed_bytes"], (where, name, m)
            for field in ("allocated_bytes", "allocations", "peak_bytes", "at_peak_bytes"):
                own, total = entry["self"][field], entry["total"][field]
                assert own <= total + (slack if "peak" in field else 0), (where, field, own, total)
    assert totals["live_at_exit_bytes"] <= totals["peak_bytes"] + slack, totals
    assert totals["peak_bytes"] <= totals["allocated_bytes"] + slack, totals


class Process:
    """One process of a report."""

    def __init__(self, raw):
        self.raw = raw
        self.totals = raw["totals"]

    def __getitem__(self, key):
        return self.raw[key]

    def source(self):
        """The source of the target that this process ran, by its command."""
        command = [os.path.basename(part) for part in self.raw["command"]]
        for part in command:
            if part.startswith("py_"):
                return part
        for suffix in (".c", ".cpp"):
            if os.path.exists(os.path.join(SOURCES, command[0] + suffix)):
                return command[0] + suffix
        raise AssertionError("which source? " + repr(self.raw["command"]))

    def lines(self, mark, source=None):
        source = source or self.source()
        number = marks(source)[mark]
        return [
            line
            for line in self.raw["lines"]
            if line["line"] == number and line["file"] and os.path.basename(line["file"]) == source
        ]

    def line(self, mark, source=None):
        """The one report line of a marked source line."""
        found = self.lines(mark, source)
        assert len(found) == 1, "%d report lines for @%s of %s: %s" % (
            len(found),
            mark,
            source or self.source(),
            json.dumps(found, indent=1) if found else self.overview(),
        )
        return found[0]

    def no_line(self, mark, source=None):
        """Asserts that nothing was allocated on the marked line."""
        for line in self.lines(mark, source):
            assert line["total"]["allocations"] == 0, "allocations on @%s: %s" % (mark, json.dumps(line))

    def function(self, name, source=None):
        source = source or self.source()
        found = [
            f
            for f in self.raw["functions"]
            if f["function"] == name and f["file"] and os.path.basename(f["file"]) == source
        ]
        assert len(found) == 1, "%d functions %s of %s: %s" % (
            len(found),
            name,
            source,
            sorted({f["function"] or "?" for f in self.raw["functions"]})[:60],
        )
        return found[0]

    def overview(self):
        rows = [
            "%s:%s %s self %s total %s" % (
                line["file"] and os.path.basename(line["file"]), line["line"], line["function"],
                line["self"]["allocated_bytes"], line["total"]["allocated_bytes"])
            for line in self.raw["lines"][:25]
        ]
        return "the report has %d lines:\n  " % len(self.raw["lines"]) + "\n  ".join(rows)


def expect(measured, **wanted):
    """Asserts fields of a measurement. A wanted value is a number, or (lowest, highest)."""
    wrong = []
    for field, want in wanted.items():
        got = measured[field]
        good = want[0] <= got <= want[1] if isinstance(want, tuple) and got is not None else got == want
        if not good:
            wrong.append("%s is %r, not %r" % (field, got, want))
    assert not wrong, "; ".join(wrong) + "\n  in " + json.dumps(measured)


class Recording:
    """A finished (or running) recording and what its program printed."""

    def __init__(self, path, command, done=None):
        self.path = path
        self.command = command
        self.stdout = done.stdout if done else None
        self.stderr = done.stderr if done else None
        self.status = done.returncode if done else None
        self._report = None

    def read(self, *options):
        """A fresh report as JSON, validated."""
        done = peakline("report", self.path, "--format", "json", *options)
        assert done.returncode == 0, "report: %d %s" % (done.returncode, done.stderr.decode())
        assert done.stderr == b"", done.stderr.decode()
        report = json.loads(done.stdout)
        validate(report)
        for process in report["processes"]:
            check_invariants(process)
        return report

    @property
    def report(self):
        if self._report is None:
            self._report = self.read()
        return self._report

    @property
    def processes(self):
        return [Process(raw) for raw in self.report["processes"]]

    @property
    def process(self):
        """The process image that was started first."""
        assert self.processes, "no process in the recording: %s" % os.listdir(self.path)
        return min(self.processes, key=lambda p: (p["start_time"], p["image"]))

    @property
    def children(self):
        first = self.process
        rest = [p for p in self.processes if (p["pid"], p["image"]) != (first["pid"], first["image"])]
        return sorted(rest, key=lambda p: p["start_time"])

    def by_command(self, *words):
        """The processes whose command has all the words (each as a suffix of an argument)."""
        return [
            p for p in self.processes if all(any(part.endswith(word) for part in p["command"]) for word in words)
        ]


def peakline(*arguments, **keywords):
    keywords.setdefault("stdout", subprocess.PIPE)
    keywords.setdefault("stderr", subprocess.PIPE)
    keywords.setdefault("stdin", subprocess.DEVNULL)
    keywords.setdefault("timeout", 50)
    return subprocess.run([PEAKLINE, *arguments], **keywords)


def clean_environment(extra=None):
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("PEAKLINE_") and key not in ("LD_PRELOAD", "BUILD")
    }
    environment["LC_ALL"] = "C.UTF-8"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["PYTHONHASHSEED"] = "0"
    environment["OPENBLAS_NUM_THREADS"] = "1"
    environment.update(extra or {})
    return environment


def exit_status(returncode):
    """The status that a shell would see."""
    return 128 - returncode if returncode < 0 else returncode


def record(*command, options=(), env=None, output="recording", compare=True, status=None, **keywords):
    """Runs a command under `peakline run --quiet`.

    Unless compare is off, it runs plainly first, and what it prints and its exit status must be the same both times. A status, when
    given, is what is expected. Python's small objects are recorded unless an option says otherwise.
    """
    keywords.setdefault("stdin", subprocess.DEVNULL)
    keywords.setdefault("timeout", 50)
    keywords.update(stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(env))
    plain = None
    if compare:
        plain = subprocess.run(command, **keywords)
    done = subprocess.run([PEAKLINE, "run", "--quiet", "-o", output, "--python-objects=exact", *options, "--", *command], **keywords)
    if status is not None:
        assert done.returncode == status, "exit status %d, not %d\n%s" % (
            done.returncode, status, done.stderr.decode(errors="replace"))
    if plain is not None:
        assert done.returncode == exit_status(plain.returncode), "exit status %d, plainly %d\n%s" % (
            done.returncode, plain.returncode, done.stderr.decode(errors="replace"))
        assert done.stdout == plain.stdout, "stdout differs:\n%r\nplainly\n%r" % (done.stdout, plain.stdout)
        assert done.stderr == plain.stderr, "stderr differs:\n%r\nplainly\n%r" % (done.stderr, plain.stderr)
    elif status is None:
        assert done.returncode == 0, "exit status %d\n%s" % (done.returncode, done.stderr.decode(errors="replace"))
    return Recording(os.path.abspath(output), command, done)


@contextlib.contextmanager
def recording_in_background(*command, options=(), output="recording", env=None):
    """Starts a command under `peakline run`; yields (Popen, Recording)."""
    child = subprocess.Popen(
        [PEAKLINE, "run", "--quiet", "-o", output, *options, "--", *command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(env))
    try:
        yield child, Recording(os.path.abspath(output), command)
    finally:
        if child.poll() is None:
            child.kill()
        if child.stdin.closed:
            child.stdin = None
        child.communicate(timeout=20)


def wait_until(condition, seconds=10):
    """Waits until the condition holds; returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "waited %s s in vain" % seconds
        time.sleep(0.02)


def main_pid(recording):
    """The pid of the only process image in a recording."""
    names = [name for name in os.listdir(recording.path) if re.fullmatch(r"\d+\.0", name)]
    assert len(names) == 1, names
    return int(names[0].split(".")[0])


def kill_group(pid):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


__all__ = [name for name in dir() if not name.startswith("_")]
