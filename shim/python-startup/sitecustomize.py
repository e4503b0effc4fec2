# SPDX-License-Identifier: MIT
"""Runs when an interpreter starts under `peakline run`, which has put this directory in front of PYTHONPATH.

Makes `peakline` and the drop-in for memory_profiler importable, takes the directory out of sys.path again, and gives way to the
sitecustomize that would have been found without it. Nothing but the standard library's innermost modules, and valid in any Python: an
error here would be the program's.
"""
import sys


class PeaklineFinder(object):
    """Finds two modules in one directory."""

    def __init__(self, directory, startup):
        self.path = [directory]
        self.startup = startup  # kept: Python 2 clears a module's names with its last reference

    def find_spec(self, name, path=None, target=None):
        if name != "peakline" and name != "memory_profiler":
            return None
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(name, self.path)


class PeaklineProfile(object):
    """What launchers of memory_profiler give to a script that uses @profile without an import: it can be switched on and off, too."""

    def __call__(self, func=None, stream=None, precision=None, backend="psutil"):
        from memory_profiler import profile

        return profile(func, stream, precision, backend)

    def add_function(self, func):
        self(func)

    def enable(self):
        return self

    def disable(self, *error):
        pass

    enable_by_count = __enter__ = enable
    disable_by_count = __exit__ = disable


def peakline_start():
    directory = __file__.replace("\\", "/").rpartition("/")[0]
    startup = sys.modules.pop(__name__)
    sys.path[:] = [entry for entry in sys.path if entry != directory]
    sys.path_importer_cache.pop(directory, None)
    if sys.version_info >= (3, 8):
        import builtins

        sys.meta_path.insert(0, PeaklineFinder(directory, startup))
        if not hasattr(builtins, "profile"):
            builtins.profile = PeaklineProfile()


peakline_start()
import sitecustomize  # noqa: E402 - the next one; where there is none, the error that site expects
