# SPDX-License-Identifier: MIT
"""The interpreters that bench.py runs Python programs on: CPython 3.11 and the newest found, each with numpy, pandas and scikit-learn
from PyPI in an environment under build/. Without these: this system's interpreter with what it has."""
import functools
import os
import subprocess
import sys

from bench_common import BUILD, QUIET, ROOT

sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))

from harness import interpreters, minor, python_version  # noqa: E402

OLDER = (3, 11)
PACKAGES = ["numpy", "pandas", "scikit-learn"]
PROFILERS = ["memray", "filprofiler"]
SYSTEM = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


class Interpreter:
    """`path` runs it; `label` says which one it is."""

    def __init__(self, path):
        self.path, self.label = path, "Python " + two(path)

    @functools.lru_cache(None)
    def has(self, *modules):
        return not modules or subprocess.run([self.path, "-c", "import " + ", ".join(modules)], **QUIET).returncode == 0

    def versions(self):
        """What it is and has, for the headline."""
        code = "import platform\nprint('Python', platform.python_version(), end='')\nfor name in 'numpy', 'pandas', 'sklearn':\n" \
            "    try: print(',', name, __import__(name).__version__, end='')\n    except ImportError: pass"
        return subprocess.run([self.path, "-c", code], stdout=subprocess.PIPE).stdout.decode()


def two(path):
    """The version of an interpreter, as in "3.11"."""
    return "%d.%d" % python_version(path)[0][:2]


def newest(of):
    """The newest interpreter with a GIL whose version `of` accepts; None."""
    known = [name for name in interpreters() if name.rstrip("'")[-1] != "t" and of(minor(name))]
    best = max(known, key=lambda name: tuple(int(part) for part in name.rstrip("'").split(".")), default=None)
    return best and interpreters()[best]


def environment(interpreter):
    """The path of `interpreter` in an environment with the packages; None when they are not to be had."""
    directory = os.path.join(BUILD, "bench-python", two(interpreter))
    path, complete = os.path.join(directory, "bin", "python"), os.path.join(directory, "complete")
    if not os.path.exists(complete):
        pip = [os.path.join(installer(), "bin", "pip"), "--python", path, "install", "--only-binary", ":all:"]
        subprocess.run([interpreter, "-m", "venv", "--clear", "--without-pip", directory], **QUIET)
        if not os.path.exists(path) or subprocess.run([*pip, *PACKAGES], timeout=1200, **QUIET).returncode != 0:
            return None
        for package in PROFILERS:
            subprocess.run([*pip, package], timeout=600, **QUIET)
        # The runs write no bytecode, so that each does the same; one that had to be unpacked has none yet.
        library = subprocess.run([path, "-c", "import os; print(os.path.dirname(os.__file__))"], stdout=subprocess.PIPE, check=True)
        subprocess.run([path, "-m", "compileall", "-q", library.stdout.decode().strip()], **QUIET)
        open(complete, "w", encoding="ascii").close()
    return path


def installer():
    """An environment with a pip that knows the newest interpreters."""
    directory = os.path.join(BUILD, "bench-python", "pip")
    if not os.path.exists(directory):
        subprocess.run([SYSTEM, "-m", "venv", directory], **QUIET)
        subprocess.run([os.path.join(directory, "bin", "pip"), "install", "--upgrade", "pip"], timeout=600, **QUIET)
    return directory


def found(may_install):
    """The interpreters to run on, at least one."""
    if may_install:
        chosen = [newest(lambda version: version == OLDER), newest(lambda version: OLDER < version <= (3, 15))]
        made = [environment(path) for path in chosen if path]
        made = [Interpreter(path) for path in made if path]
        if made:
            return warm(made)
    return warm([Interpreter(SYSTEM)])


def warm(pythons):
    """The interpreters, with bytecode of what peakline runs when they start, too: ordinarily the first run leaves it."""
    for python in pythons:
        subprocess.run([python.path, "-m", "compileall", "-q", os.path.join(BUILD, "python")], **QUIET)
    return pythons
