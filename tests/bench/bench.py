#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What peakline costs, beside other profilers. Usage: tests/bench/run.sh [--only GLOB] [--tools GLOB] [--runs N] [--quick] [--no-install]

For each program, the plain run and the run under each tool take turns. Prints one Markdown table:

  M allocations/s   of the plain run, as that tool counts them; more than 20 is more than real programs do
  wall s            median of the runs
  ratio             median of each turn's ratio to the plain run
  ratio, small      the same at a tenth of the size, for tools that would take too long
  RSS + MiB         by how much the largest process of the run grew
  recording MiB     on disk
  report s          until there is a report

Under it, what a second busy thread adds to the cost of an allocation.

Python programs run on CPython 3.11 and the newest interpreter that is found, each with the newest numpy, pandas and scikit-learn, and
with memray and Fil where there are any for it. These are put into environments under build/ when the network allows it; otherwise, and
with --no-install, this system's interpreter runs with what it has. Installed packages give heaptrack and valgrind's dhat, for native
programs.
"""
import argparse
import datetime
import fnmatch
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

from bench_common import NATIVE
from bench_programs import NATIVE_PROGRAMS, Program, build, python_programs
from bench_pythons import found as interpreters
from bench_tools import peakline_report, tools

SMALL = 0.1
HEADINGS = ["program", "tool", "M allocations/s", "wall s", "ratio", "ratio, small", "RSS + MiB", "recording MiB", "report s"]


class Failed(Exception):
    """A command that did not end well."""


def measure(command, directory, load=None):
    """(wall seconds, max RSS in bytes of the largest process) of one run; with a load, the load's seconds."""
    environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
    numbers = os.path.join(directory, "numbers")
    output = os.path.join(directory, "output")
    with open(output, "wb") as file:
        child = subprocess.Popen(
            [os.path.join(NATIVE, "measure"), numbers, *command], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            cwd=directory, env=environment, start_new_session=True)
        try:
            seconds = load(directory) if load else None
            # A server that the load could not end: there is nothing to wait for.
            status = child.wait(20 if load else None)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    if status != 0 or (load and seconds is None):
        with open(output, encoding="utf-8", errors="replace") as file:
            raise Failed("status %s of %s\n%s" % (status, " ".join(command), file.read()[-2000:]))
    with open(numbers, encoding="utf-8") as file:
        wall, peak = file.read().split()
    os.unlink(numbers)
    os.unlink(output)
    return seconds if load else float(wall), int(peak)


def size_of(path):
    """Bytes on disk: a recording reserves more than it fills."""
    total = 0
    for directory, _, names in os.walk(path):
        total += sum(os.stat(os.path.join(directory, name)).st_blocks * 512 for name in names)
    return total


def allocations_of(directory):
    """As peakline counted them, in all processes."""
    done = subprocess.run([*peakline_report(directory), "--top", "1"], stdout=subprocess.PIPE, check=True)
    return sum(process["totals"]["allocations"] for process in json.loads(done.stdout)["processes"])


class Runs:
    """What was measured of a program under one tool: a number for each turn."""

    def __init__(self):
        self.walls, self.ratios, self.grown = [], [], []
        self.recording = self.report = self.allocations = None
        self.failed = False

    def look(self, tool, directory, repeats):
        """At what the last run left."""
        self.recording = size_of(directory)
        if "peakline" in tool.name:
            self.allocations = allocations_of(directory)
        if tool.report:
            self.report = statistics.median(measure(tool.report(directory), directory)[0] for _ in range(repeats))


class Bench:
    def __init__(self, turns, scale, scratch):
        self.turns, self.scale, self.scratch = turns, scale, scratch

    def run(self, program, tool, scale, use=None):
        """One run; `use` may look at what it left."""
        directory = tempfile.mkdtemp(dir=self.scratch)
        load = (lambda where: program.load(where, scale)) if program.load else None
        try:
            result = measure(tool.start(program.command(scale), directory), directory, load)
            if use:
                use(directory)
            return result
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def turn(self, program, chosen, runs, last):
        """Each tool once."""
        plain = {}
        for tool in chosen:
            scale = self.scale * (SMALL if tool.slow else 1)
            mine = runs[tool.name]
            if mine.failed:
                continue
            try:
                if scale not in plain:
                    plain[scale] = self.run(program, chosen[0], scale)
                wall, peak = plain[scale]
                if tool is not chosen[0]:
                    wall, peak = self.run(program, tool, scale, (lambda where, t=tool, m=mine: m.look(t, where, min(self.turns, 3))) if last else None)
            except Failed as why:
                if tool.name == "plain" or "peakline" in tool.name:
                    sys.exit("bench: %s" % why)
                print("bench: %s" % why, file=sys.stderr)
                mine.failed = True
                continue
            mine.walls.append(wall)
            mine.ratios.append(wall / plain[scale][0])
            mine.grown.append(peak - plain[scale][1])

    def program(self, program, chosen):
        runs = {tool.name: Runs() for tool in chosen}
        for turn in range(self.turns):
            self.turn(program, chosen, runs, turn == self.turns - 1)
        plain = statistics.median(runs["plain"].walls)
        for tool in chosen:
            show(program.name, tool, runs[tool.name], plain)

    def scaling(self, peakline, plain):
        """Nanoseconds that peakline adds to an allocation, with one thread and with two that are busy."""
        rounds = max(1, round(100 * self.scale))
        added = {1: [], 2: []}
        for _ in range(self.turns):
            for threads in added:
                command = [os.path.join(NATIVE, "scaling"), str(threads), str(rounds)]
                program = Program("scaling", lambda scale, command=command: command)
                walls = [self.run(program, tool, 1)[0] for tool in (plain, peakline)]
                added[threads].append((walls[1] - walls[0]) / (rounds * 100000) * 1e9)
        one, two = (statistics.median(numbers) for numbers in added.values())
        ratios = [b / a for a, b in zip(added[1], added[2]) if a > 0]
        print("\nAn allocation and its free under peakline take %.0f ns more with one thread, and %.0f ns more in each of two busy threads%s." % (
            one, two, ": %.2f times as much" % statistics.median(ratios) if ratios else ""))


def show(name, tool, runs, plain):
    cells = dict.fromkeys(HEADINGS, "")
    cells["program"], cells["tool"] = name, tool.name
    if runs.failed:
        cells["ratio"] = "failed"
    else:
        if not tool.slow:
            cells["wall s"] = "%.2f" % statistics.median(runs.walls)
        cells["ratio, small" if tool.slow else "ratio"] = "%.2f" % statistics.median(runs.ratios)
        if tool.name != "plain" and not tool.slow:
            cells["RSS + MiB"] = "%.1f" % (statistics.median(runs.grown) / 2**20)
            cells["recording MiB"] = "%.2f" % (runs.recording / 2**20)
        if runs.report is not None:
            cells["report s"] = "%.2f" % runs.report
        if runs.allocations is not None:
            cells["M allocations/s"] = "%.2g" % (runs.allocations / plain / 1e6)
    row(cells.values())


def row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return "%s, %d cores, Linux %s" % (model, os.cpu_count(), os.uname().release)


def wanted(name, pattern):
    return not pattern or fnmatch.fnmatch(name.lower(), "*" + pattern.lower() + "*")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="GLOB", help="only programs whose name matches (and `scaling`)")
    parser.add_argument("--tools", metavar="GLOB", help="only tools whose name matches, beside plain and peakline")
    parser.add_argument("--runs", type=int, default=5, help="turns; default 5")
    parser.add_argument("--quick", action="store_true", help="a quarter of the size, and one turn")
    parser.add_argument("--no-install", action="store_true", help="do not make environments; use this system's interpreter")
    options = parser.parse_args()
    turns = 1 if options.quick else max(1, options.runs)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # with what it has started and made
    pythons = interpreters(not options.no_install)
    build(pythons[0])
    found = tools(pythons[0])
    found = found[:2] + [tool for tool in found[2:] if not options.tools or fnmatch.fnmatch(tool.name, options.tools)]
    print("%s; %s; median of %d" % (machine(), datetime.date.today().isoformat(), turns))
    for python in pythons:
        print(python.versions())
    print()
    row(HEADINGS)
    print("|---|---|" + "---:|" * (len(HEADINGS) - 2), flush=True)
    scratch = tempfile.mkdtemp(prefix="peakline-bench-")
    bench = Bench(turns, 0.25 if options.quick else 1, scratch)
    try:
        for program in [program for python in pythons for program in python_programs(python)] + NATIVE_PROGRAMS:
            if not wanted(program.name, options.only):
                continue
            if program.usable():
                bench.program(program, [tool for tool in found if tool.fits(program)])
            else:
                row([program.name, "not installed", *[""] * (len(HEADINGS) - 2)])
        if wanted("scaling", options.only):
            bench.scaling(found[1], found[0])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
