#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What peakline costs, beside other profilers. Usage: tests/bench/run.sh [--only GLOB] [--runs N] [--quick] [--no-memray]

For each program, the plain run and the run under each tool that is installed take turns; each number is the median of the runs.
Prints one Markdown table. Columns: wall seconds and their ratio to the plain run; by how much the largest process of the run grew
(max RSS); the size of the recording; the seconds until there is a report.

heaptrack is used where it is installed, for native programs; memray from PyPI is installed into a virtual environment under build/ when
the network allows it, and Fil used where `fil-profile` is found, for Python programs.
"""
import argparse
import datetime
import fnmatch
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
NATIVE = os.path.join(BUILD, "tests", "bench")
PEAKLINE = os.path.join(BUILD, "peakline")
EVALUATION = os.path.join(ROOT, "scripts", "demo_evaluate.py")
MEASUREMENTS = os.path.join(NATIVE, "measurements.csv")
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable

SQL = """create table t(id integer primary key, name text, value real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < %d)
insert into t select i, 'name ' || (i * 7919 %% 100003), i * 0.5 from n;
create index by_name on t(name); create index by_value on t(value, name);
select count(*), sum(value) from t where name like 'name 1%%';"""


def programs(quick):
    """name -> (kind, command, what must be there). Sizes for one to four seconds of plain run, a quarter of it with --quick."""
    def size(full):
        return str(max(1, full // 4 if quick else full))

    def native(name, full):
        return ("native", [os.path.join(NATIVE, name), size(full)], None)

    return {
        "evaluation (pandas, scikit-learn)": ("python", [PYTHON, EVALUATION, MEASUREMENTS], "pandas, sklearn"),
        "json, dicts, lists": ("python", [PYTHON, os.path.join(HERE, "objects.py"), size(48)], None),
        "recursive tree builder": native("tree_builder", 500),
        "C++ containers and strings": native("containers", 60),
        "small blocks, 100 call sites": native("call_sites", 36000),
        "two threads, each other's blocks": native("two_threads", 16000),
        "sqlite3, two indexes": ("native", ["sqlite3", ":memory:", SQL % (int(size(1200000)))], "sqlite3"),
        "g++ -O2, one file": ("native", ["g++", "-O2", "-c", "-o", "/dev/null", os.path.join(HERE, "containers.cpp")], "g++"),
    }


class Tool:
    """A way to run a command: `start` makes the command line, `report` the one that reads the recording."""

    def __init__(self, name, kinds, start, report=None, files=None):
        self.name, self.kinds, self.start, self.report = name, kinds, start, report
        self.files = files or (lambda directory: directory)


def find_memray(allowed):
    """The memray of an environment under build/, made when it is not there; None when it cannot be had."""
    environment = os.path.join(BUILD, "bench-venv")
    memray = os.path.join(environment, "bin", "memray")
    if not os.path.exists(memray) and allowed:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([PYTHON, "-m", "venv", "--system-site-packages", environment], **quiet)
        subprocess.run([os.path.join(environment, "bin", "pip"), "install", "memray"], timeout=600, **quiet)
    return memray if os.path.exists(memray) else None


def tools(memray_allowed):
    found = [
        Tool("plain", ("native", "python"), lambda command, out: command),
        Tool(
            "peakline", ("native", "python"),
            lambda command, out: [PEAKLINE, "run", "--quiet", "-o", os.path.join(out, "recording"), "--", *command],
            lambda out: [PEAKLINE, "report", os.path.join(out, "recording"), "--format", "json"]),
    ]
    if shutil.which("heaptrack"):
        found.append(Tool(
            "heaptrack", ("native",),
            lambda command, out: ["heaptrack", "-o", os.path.join(out, "recording"), *command],
            lambda out: ["heaptrack", "--analyze", *recorded(out)] if shutil.which("heaptrack_print") is None else
            ["heaptrack_print", *recorded(out)]))
    memray = find_memray(memray_allowed)
    if memray:
        python = os.path.join(os.path.dirname(memray), "python")
        for name, options in (("memray", []), ("memray, all objects", ["--trace-python-allocators"])):
            found.append(Tool(
                name, ("python",),
                lambda command, out, options=options: [
                    python, "-m", "memray", "run", "-q", *options, "-o", os.path.join(out, "recording.bin"), *command[1:]],
                lambda out: [python, "-m", "memray", "flamegraph", "-f", "-o", os.path.join(out, "flame.html"), *recorded(out)]))
    fil = shutil.which("fil-profile")
    if fil:
        found.append(Tool("Fil", ("python",), lambda command, out: [fil, "--no-browser", "-o", out, "run", *command[1:]]))
    return found


def recorded(out):
    return [os.path.join(out, name) for name in sorted(os.listdir(out)) if name.startswith("recording")]


def size_of(path):
    """Bytes on disk: a recording reserves more than it fills."""
    total = 0
    for directory, _, names in os.walk(path):
        total += sum(os.stat(os.path.join(directory, name)).st_blocks * 512 for name in names)
    return total


class Failed(Exception):
    """A command that did not end well."""


def measure(command, directory):
    """(wall seconds, max RSS in bytes of the largest process) of one run."""
    environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
    numbers = os.path.join(directory, "numbers")
    done = subprocess.run(
        [os.path.join(NATIVE, "measure"), numbers, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, cwd=directory, env=environment)
    if done.returncode != 0:
        raise Failed("status %d of %s\n%s" % (done.returncode, " ".join(command), done.stdout.decode(errors="replace")[-2000:]))
    with open(numbers, encoding="utf-8") as file:
        wall, peak = file.read().split()
    os.unlink(numbers)
    return float(wall), int(peak)


def bench(command, chosen, runs, scratch):
    """Runs every tool in turn; returns tool name -> (wall, RSS, recording bytes, report seconds), or None for a tool that failed."""
    failed = set()
    walls = {tool.name: [] for tool in chosen}
    peaks = {tool.name: [] for tool in chosen}
    last = {}
    for turn in range(runs):
        for tool in chosen:
            if tool.name in failed:
                continue
            directory = tempfile.mkdtemp(dir=scratch)
            try:
                wall, peak = measure(tool.start(command, directory), directory)
            except Failed as why:
                if tool.name in ("plain", "peakline"):
                    sys.exit("bench: %s" % why)
                failed.add(tool.name)
                continue
            walls[tool.name].append(wall)
            peaks[tool.name].append(peak)
            if turn < runs - 1:
                shutil.rmtree(directory)
            else:
                last[tool.name] = directory
    result = {}
    for tool in chosen:
        if tool.name in failed:
            result[tool.name] = None
            continue
        size = size_of(last[tool.name]) if tool.name != "plain" else None
        seconds = None
        if tool.report:
            seconds = statistics.median(measure(tool.report(last[tool.name]), last[tool.name])[0] for _ in range(min(runs, 3)))
        shutil.rmtree(last[tool.name])
        result[tool.name] = (statistics.median(walls[tool.name]), statistics.median(peaks[tool.name]), size, seconds)
    return result


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return "%s, %d cores, Linux %s, Python %s" % (
        model, os.cpu_count(), os.uname().release,
        subprocess.run([PYTHON, "-c", "import platform; print(platform.python_version())"], stdout=subprocess.PIPE).stdout.decode().strip())


def build():
    os.makedirs(NATIVE, exist_ok=True)
    for name in os.listdir(HERE):
        base, extension = os.path.splitext(name)
        if extension in (".c", ".cpp"):
            compiler = ["g++", "-std=gnu++17"] if extension == ".cpp" else ["gcc", "-std=gnu11"]
            subprocess.run([*compiler, "-O2", "-g", "-pthread", "-o", os.path.join(NATIVE, base), os.path.join(HERE, name)], check=True)
    if usable([PYTHON, EVALUATION], "pandas, sklearn"):
        subprocess.run([PYTHON, EVALUATION, "--generate", MEASUREMENTS], check=True)


def usable(command, needs):
    if needs is None:
        return True
    if command[0] == PYTHON:
        return os.path.exists(command[1]) and subprocess.run([PYTHON, "-c", "import " + needs], stderr=subprocess.DEVNULL).returncode == 0
    return shutil.which(needs) is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="GLOB", help="only programs whose name matches")
    parser.add_argument("--tools", metavar="GLOB", help="only tools whose name matches, beside plain and peakline")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="smaller sizes and one run")
    parser.add_argument("--no-memray", action="store_true", help="do not install memray")
    options = parser.parse_args()
    runs = 1 if options.quick else max(1, options.runs)
    build()
    found = tools(not options.no_memray)
    if options.tools:
        found = found[:2] + [tool for tool in found[2:] if fnmatch.fnmatch(tool.name, options.tools)]
    print("%s; %s; median of %d" % (machine(), datetime.date.today().isoformat(), runs))
    print()
    print("| program | tool | wall s | ratio | RSS + MiB | recording MiB | report s |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    scratch = tempfile.mkdtemp(prefix="peakline-bench-")
    try:
        for name, (kind, command, needs) in programs(options.quick).items():
            if options.only and not fnmatch.fnmatch(name, "*" + options.only + "*"):
                continue
            if not usable(command, needs):
                print("| %s | not installed | | | | | |" % name, flush=True)
                continue
            chosen = [tool for tool in found if kind in tool.kinds]
            result = bench(command, chosen, runs, scratch)
            plain = result["plain"]
            for tool in chosen:
                if result[tool.name] is None:
                    print("| %s | %s | failed | | | | |" % (name, tool.name), flush=True)
                    continue
                wall, peak, size, seconds = result[tool.name]
                row = [name, tool.name, "%.2f" % wall, "%.2f" % (wall / plain[0])]
                row.append("" if tool.name == "plain" else "%.1f" % ((peak - plain[1]) / 2**20))
                row.append("" if size is None else "%.2f" % (size / 2**20))
                row.append("" if seconds is None else "%.2f" % seconds)
                print("| " + " | ".join(row) + " |", flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
