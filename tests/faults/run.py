#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lets the n-th request of the shim for memory, disk space or a file fail, for every n: that one alone, and all from it on. Then the
same for the n-th block that it asks of its own arena.

The program must print and return what it does plainly, and what is in the recording must be readable and consistent. The shim is built
a second time for this, with shim/sys.h from here in front of its own.

Usage: run.py [--all] [PROGRAM…]     without --all, of long sequences the first and then some, of some programs
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))
from harness import BUILD, ROOT, Recording, check_invariants, clean_environment, exit_status, program, validate  # noqa: E402
import json  # noqa: E402

FAULTS = os.path.join(BUILD, "faults")
PYTHON = "import threading\nx = [str(i) * 3 for i in range(20000)]\nt = threading.Thread(target=lambda: [bytes(i) for i in range(900)])\nt.start()\nt.join()\ntry:\n    1 // 0\nexcept ZeroDivisionError as e:\n    print(len(x), e)\n"
PROGRAMS = {
    "threads": [program, "exchange"],
    "exceptions": [program, "exceptions"],
    "deep": [program, "deep"],
    "contexts": [program, "contexts"],
    "places": [program, "limits", "none", "0"],
    "mappings": [program, "mappings"],
    "scopes": [program, "scopes"],
    "python": [lambda name: name, "python3", "-c", PYTHON],
}
SLOW = ("contexts", "exceptions", "places")  # which only --all, or being named, runs
NEVER = (1 << 64) - 1


def build():
    if not os.path.exists(os.path.join(ROOT, "Makefile")):
        sys.exit("no Makefile")
    flags = "CFLAGS=-O2 -g -iquote tests/faults -Wl,--wrap=arena_alloc,--wrap=arena_reserve"
    command = ["make", "-s", "-j2", "BUILD=" + FAULTS, flags, FAULTS + "/libpeakline.so", FAULTS + "/python"]
    subprocess.run(command, cwd=ROOT, check=True)
    shutil.copy(os.path.join(BUILD, "peakline"), FAULTS)
    subprocess.run([os.path.join(ROOT, "tests", "programs", "build.sh"), os.path.join(BUILD, "tests", "programs")], check=True)


def run(command, directory, kind, first, last):
    """Runs the command with these requests failing. How many there were, and what was wrong (None: nothing)."""
    plan = os.path.join(directory, "plan")
    with open(plan, "wb") as file:
        for number in range(2):
            file.write(struct.pack("QQQ", 0, *((first, last) if number == kind else (NEVER, NEVER))))
    output = os.path.join(directory, "recording")
    shutil.rmtree(output, ignore_errors=True)
    environment = clean_environment({"PEAKLINE_FAULTS": plan})
    try:
        done = subprocess.run(
            [os.path.join(FAULTS, "peakline"), "run", "--quiet", "--python-objects=exact", "-o", output, "--", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, timeout=60, cwd=directory)
    except subprocess.TimeoutExpired:
        return 0, "it hangs", None
    with open(plan, "rb") as file:
        calls = struct.unpack("6Q", file.read())[3 * kind]
    recorded = os.path.isdir(output) and [name for name in os.listdir(output) if "." in name]
    errors = done.stderr
    if not recorded and b"peakline: nothing was recorded: " in errors:
        errors = errors[: errors.rindex(b"peakline: nothing was recorded: ")]  # which is said by `peakline run`, after the program
    if (exit_status(done.returncode), done.stdout, errors) != plain(command, directory):
        return calls, "exit status %d, output %r %r" % (done.returncode, done.stdout[-200:], done.stderr[-200:]), None
    if not recorded:
        return calls, None, None
    report = subprocess.run(
        [os.path.join(BUILD, "peakline"), "report", output, "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    if report.returncode != 0 or report.stderr:
        return calls, "report: %d %s" % (report.returncode, report.stderr.decode()), None
    parsed = json.loads(report.stdout)
    try:
        validate(parsed)
        for process in parsed["processes"]:
            check_invariants(process)
    except AssertionError as error:
        return calls, "report: %s" % error, None
    return calls, None, parsed["processes"][0]["totals"] if parsed["processes"] else None


known = {}


def plain(command, directory):
    key = tuple(command)
    if key not in known:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(), timeout=60, cwd=directory)
        known[key] = (exit_status(done.returncode), done.stdout, done.stderr)
    return known[key]


def main():
    every = "--all" in sys.argv
    names = [name for name in sys.argv[1:] if name != "--all"] or [name for name in PROGRAMS if every or name not in SLOW]
    build()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as directory:
        for name in names:
            find, first, *rest = PROGRAMS[name]
            command = [find(first), *rest]
            problems, runs, sizes = [], 0, []
            for kind, what in enumerate(("request", "block")):
                calls, wrong, whole = run(command, directory, kind, NEVER, NEVER)
                sizes.append(calls)
                if wrong or calls < 5:
                    problems.append("without faults, %d %ss: %s" % (calls, what, wrong))
                n = 1
                while n <= calls and len(problems) < 5:
                    for last in (n, NEVER):
                        _, wrong, totals = run(command, directory, kind, n, last)
                        runs += 1
                        if not wrong and totals and totals["allocations"] < whole["allocations"] * 0.99 and not totals["lost_events"]:
                            wrong = "%d of %d allocations, and nothing is said to be lost" % (totals["allocations"], whole["allocations"])
                        if wrong:
                            problems.append("%s %d%s fails: %s" % (what, n, "" if last == n else " and all after it", wrong))
                    n += 1 if every or n < 4 else n * 2
            for problem in problems:
                print("FAILED %s: %s" % (name, problem))
            print("%s: %d requests, %d blocks, %d runs" % (name, *sizes, runs), flush=True)
            passed += not problems
            failed += bool(problems)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
