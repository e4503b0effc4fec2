# SPDX-License-Identifier: MIT
"""Runs when an interpreter starts under `peakline run`, which has put this directory in front of PYTHONPATH.

Makes `peakline` and the drop-in for memory_profiler importable, takes the directory out of sys.path again, and gives way to the
sitecustomize that would have been found without it. Nothing but the standard library's innermost modules, and valid in any Python: an
error here would be the program's.
"""
import sys


class PeaklineFinder(object):
    """Finds two modules in one directory."""

    def __init__(self, directory):
        self.path = [directory]

    def find_spec(self, name, path=None, target=None):
        if name in ("IPython", "marimo"):
            peakline_keep_sources()
        if name not in ("peakline", "memory_profiler"):
            return None
        from importlib.machinery import PathFinder

        if name == "memory_profiler":
            frame = peakline_importer()
            # `python -m memory_profiler` is the installed package's own.
            if frame is not None and frame.f_globals.get("__name__") == "runpy":
                return None
            # Who wants something else of it does without it, where it is not installed.
            if frame is not None and not peakline_may_want_profile(frame) and PathFinder.find_spec(name) is None:
                return None
        return PathFinder.find_spec(name, self.path)


def peakline_keep_sources():
    """The text of cells is nowhere but in the process: at its end, the recording takes what it has lines of."""
    global peakline_waits
    if not peakline_waits:
        peakline_waits = True
        import atexit

        atexit.register(peakline_at_exit)


peakline_waits = False


def peakline_at_exit():
    """Neither what this takes nor any error of it is the program's."""
    try:
        if "IPython" in sys.modules or "marimo" in sys.modules:
            import posix

            peakline_tell(posix, 0x70656B01)
            try:
                from peakline import _keep_sources

                _keep_sources()
            finally:
                peakline_tell(posix, 0x70656B02)
    except Exception:
        pass


def peakline_tell(posix, group):
    """Begins or ends a pause, without ctypes: the shim knows these process groups, of which there are none (hooks/process.c)."""
    try:
        posix.waitpid(-group, posix.WNOHANG)
    except OSError:
        pass


def peakline_importer():
    """The frame that a module is found for."""
    frame = sys._getframe(2)
    while frame is not None and (str(frame.f_globals.get("__name__")) + ".").startswith(("importlib.", "_frozen_importlib.", "_frozen_importlib_external.")):
        frame = frame.f_back
    return frame


def peakline_names_profile(code):
    """Whether the code, or that of a function or class in it, has the name, as a text perhaps, or imports all names."""
    if "profile" in code.co_names or "profile" in code.co_consts or ("*",) in code.co_consts:
        return True
    return any(hasattr(inner, "co_names") and peakline_names_profile(inner) for inner in code.co_consts)


def peakline_may_want_profile(frame):
    """Whether code that imports memory_profiler could be about `profile`. What is typed in, or given to exec, goes on elsewhere."""
    code = frame.f_code
    if code.co_filename.startswith("<") or peakline_names_profile(code):
        return True
    if code.co_name == "<module>":
        return False
    try:  # a function of a module
        with open(code.co_filename, "rb") as file:
            return b"profile" in file.read().replace(b"memory_profiler", b"")
    except OSError:
        return True


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
    startup = sys.modules.pop(__name__)  # noqa: F841 - Python 2 clears a module's names with its last reference
    sys.path[:] = [entry for entry in sys.path if entry != directory]
    sys.path_importer_cache.pop(directory, None)
    if sys.version_info < (3, 8):
        return False
    import builtins

    sys.meta_path.insert(0, PeaklineFinder(directory))
    if not hasattr(builtins, "profile"):
        builtins.profile = PeaklineProfile()
    return True


# The next sitecustomize; where there is none, the error is the one that site expects. In Python 2 this module has no
# names any more. In later ones, what the statement calls: -X importtime has one line for the name, as without peakline.
if peakline_start():
    sys.modules["_frozen_importlib"]._gcd_import(__name__)
else:
    import sitecustomize  # noqa: F401
