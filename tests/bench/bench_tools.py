# SPDX-License-Identifier: MIT
"""The profilers that bench.py compares: peakline, and those that are installed."""
import os
import shutil
import subprocess

from bench_programs import BUILD, PYTHON

PEAKLINE = os.path.join(BUILD, "peakline")
ENVIRONMENT = os.path.join(BUILD, "bench-venv")


class Tool:
    """A way to run a command: start(command, directory) is the command line, report(directory) the one that reads the recording. A `slow`
    tool is measured at a smaller size, against the plain run of that size."""

    def __init__(self, name, kinds, start, report=None, slow=False):
        self.name, self.kinds, self.start, self.report, self.slow = name, kinds, start, report, slow


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
        lambda command, directory: [python, "-m", "memray", "run", "-q", *options, "-o", recording(directory), *command[1:]],
        lambda directory: [python, "-m", "memray", "flamegraph", "-f", "-o", os.path.join(directory, "flame.html"), recording(directory)])


def install():
    """memray and Fil, into an environment under build/, each if it can be had."""
    if not os.path.exists(ENVIRONMENT):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([PYTHON, "-m", "venv", "--system-site-packages", ENVIRONMENT], **quiet)
        for package in ("memray", "filprofiler"):
            subprocess.run([os.path.join(ENVIRONMENT, "bin", "pip"), "install", package], timeout=600, **quiet)


def tools(may_install):
    """Those to be had, plain and peakline first."""
    if may_install:
        install()
    binary = os.path.join(ENVIRONMENT, "bin")
    found = [
        Tool("plain", ("native", "python"), lambda command, directory: command),
        Tool("peakline", ("native", "python"), peakline(), peakline_report),
        Tool("peakline, objects sampled", ("python",), peakline("--python-objects=sampled"), peakline_report),
        Tool("peakline, objects off", ("python",), peakline("--python-objects=off"), peakline_report),
    ]
    if shutil.which("heaptrack") and shutil.which("heaptrack_print"):
        found.append(
            Tool("heaptrack", ("native",), lambda command, directory: ["heaptrack", "-o", recording(directory), *command], heaptrack_report))
    if shutil.which("valgrind"):
        found.append(Tool(
            "dhat", ("native",),
            lambda command, directory: ["valgrind", "-q", "--tool=dhat", "--dhat-out-file=" + recording(directory), *command], slow=True))
    if os.path.exists(os.path.join(binary, "memray")):
        python = os.path.join(binary, "python")
        found += [memray(python), memray(python, "--trace-python-allocators")]
    if os.path.exists(os.path.join(binary, "fil-profile")):
        found.append(Tool(
            "Fil", ("python",),
            lambda command, directory: [os.path.join(binary, "fil-profile"), "--no-browser", "-o", recording(directory), "run", *command[1:]]))
    return found
