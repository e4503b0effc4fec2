# SPDX-License-Identifier: MIT
"""The profilers that bench.py compares: peakline, and those that are installed."""
import os
import shutil

from bench_common import BUILD

PEAKLINE = os.path.join(BUILD, "peakline")


class Tool:
    """A way to run a command: start(command, directory) is the command line, report(directory) the one that reads the recording. A `slow`
    tool is measured at a smaller size, against the plain run of that size. `module`: what the program's interpreter must have."""

    def __init__(self, name, kinds, start, report=None, slow=False, module=None):
        self.name, self.kinds, self.start, self.report, self.slow, self.module = name, kinds, start, report, slow, module

    def fits(self, program):
        return program.kind in self.kinds and (not self.module or program.python.has(self.module))


def recording(directory):
    return os.path.join(directory, "recording")


def peakline(*options):
    return lambda command, directory: [PEAKLINE, "run", "--quiet", *options, "-o", recording(directory), "--", *command]


def peakline_report(directory):
    return [PEAKLINE, "report", recording(directory), "--format", "json"]


def heaptrack_report(directory):
    return ["heaptrack_print", *(os.path.join(directory, name) for name in sorted(os.listdir(directory)) if name.startswith("recording"))]


def memray(python, *options):
    return Tool(
        "memray, all objects" if options else "memray", ("python",),
        lambda command, directory: [command[0], "-m", "memray", "run", "-q", *options, "-o", recording(directory), *command[1:]],
        lambda directory: [python.path, "-m", "memray", "flamegraph", "-f", "-o", os.path.join(directory, "flame.html"), recording(directory)],
        module="memray")


def fil(command, directory):
    return [os.path.join(os.path.dirname(command[0]), "fil-profile"), "--no-browser", "-o", recording(directory), "run", *command[1:]]


def tools(python):
    """Those to be had, plain and peakline first. `python` has memray, if any has."""
    found = [
        Tool("plain", ("native", "python"), lambda command, directory: command),
        Tool("peakline", ("native", "python"), peakline(), peakline_report),
        Tool("peakline, objects sampled", ("python",), peakline("--python-objects=sampled"), peakline_report),
        Tool("peakline, objects off", ("python",), peakline("--python-objects=off"), peakline_report),
        Tool("peakline, with native frames", ("python",), peakline("--native"), peakline_report),
    ]
    if shutil.which("heaptrack") and shutil.which("heaptrack_print"):
        found.append(
            Tool("heaptrack", ("native",), lambda command, directory: ["heaptrack", "-o", recording(directory), *command], heaptrack_report))
    if shutil.which("valgrind"):
        found.append(Tool(
            "dhat", ("native",),
            lambda command, directory: ["valgrind", "-q", "--tool=dhat", "--dhat-out-file=" + recording(directory), *command], slow=True))
    return found + [memray(python), memray(python, "--trace-python-allocators"), Tool("Fil", ("python",), fil, module="filprofiler")]
