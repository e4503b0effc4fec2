# SPDX-License-Identifier: MIT
"""Stands in for the package memory_profiler under `peakline run`, whether or not that is installed.

`@profile` leaves the function as it is and has peakline print its table when the program ends. All other names come from the installed
package.
"""
import os as _os
import sys as _sys

# The reporter. A program may clear its environment.
_reporter = _os.environ.get("PEAKLINE_PROGRAM")

# (code, stream, precision), in the order of definition; of one code, each stream once. A reload keeps what was decorated.
_functions = globals().get("_functions", [])
_before = globals().get("_show")
_shim = None  # not looked for yet; False = this process is not recorded


def _find():
    global _shim
    if _shim is None:
        import ctypes

        import peakline

        _shim = peakline._find()
        if _shim:
            _shim.choose = _shim.peakline_shim_choose
            _shim.choose.restype, _shim.choose.argtypes = ctypes.c_uint32, (ctypes.c_void_p,)
            _shim.recording = _shim.peakline_shim_recording
            _shim.recording.restype, _shim.recording.argtypes = ctypes.c_char_p, ()
            _shim = _shim.recording() is not None and _shim
    return _shim


def _code(function):
    """The code of the function itself, beneath whatever wraps it."""
    code = None
    for _ in range(100):
        code = getattr(function, "__code__", code)
        inner = getattr(function, "__wrapped__", None) or getattr(function, "__func__", None)
        if inner is None:
            break
        function = inner
    return code


def profile(func=None, stream=None, precision=None, backend="psutil"):
    """Prints the function's table when the program ends, to `stream` or to standard output.

    precision: digits after the point of MiB; without it, three significant digits. backend: of no meaning here.
    """
    if func is None:
        return lambda function: profile(function, stream, precision, backend)
    if not _find():
        package = _installed()
        if package is None:
            return func
        return package.profile(func, stream=stream, precision=1 if precision is None else precision, backend=backend)
    code = _code(func)
    if code is None:
        import warnings

        warnings.warn("Could not extract a code object for the object %r" % (func,))
    elif _shim.choose(id(code)):
        import atexit
        import os

        if not _functions:
            os.register_at_fork(after_in_child=_forked)
        _note(code, stream, precision)
        # What was registered last runs first: before streams and loggers are closed that are there by now.
        atexit.unregister(_show)
        atexit.register(_show)
    return func


def _note(code, stream, precision):
    """One table is enough, however often a function is decorated; the last precision that was given holds."""
    for at, (known, its_stream, its_precision) in enumerate(_functions):
        if known is code and its_stream is stream:
            _functions[at] = (code, stream, its_precision if precision is None else precision)
            return
    _functions.append((code, stream, precision))


def _forked():
    """The child's recording begins with nothing."""
    global _shim
    _shim = None
    if _find():
        for code, _, _ in _functions:
            _shim.choose(id(code))


def _show():
    """Prints the tables. What that takes is not the program's."""
    import peakline

    failed = None
    with peakline.pause():
        peakline._keep_sources()
        at = 0
        while at < len(_functions):
            code, stream, precision = _functions[at]
            numbers = []
            while at < len(_functions) and _functions[at][1] is stream and _functions[at][2] == precision:
                number = str(_shim.choose(id(_functions[at][0]))) if _shim else "0"
                if number != "0" and number not in numbers:
                    numbers.append(number)
                at += 1
            if numbers:
                try:
                    _write(stream, _tables(numbers, precision))
                except Exception as error:  # the stream's own; the others get their tables all the same
                    failed = failed or error
    if failed is not None:
        raise failed


if _before is not None:
    import atexit as _atexit

    _atexit.unregister(_before)
    if _functions:
        _atexit.register(_show)


def _tables(numbers, precision):
    """What `peakline report` prints of these functions of this process, which it reads as it is now."""
    if not _reporter:
        return ""
    arguments = [_reporter, "report", _os.fsdecode(_shim.recording()), "--chosen=" + ",".join(numbers)]
    if precision is not None:
        arguments.append("--precision=%d" % max(0, min(int(precision), 9)))
    # The reporter is not part of the program: it is not recorded, and takes no defaults from the environment.
    environment = {key: value for key, value in _os.environ.items() if not key.startswith("PEAKLINE_")}
    environment["PEAKLINE_OUTPUT"] = ""
    try:
        read, write = _os.pipe()
    except OSError:  # the program has used up its descriptors; `peakline report` has the tables
        return ""
    null = -1
    try:
        null = _os.open(_os.devnull, _os.O_RDWR | _os.O_CLOEXEC)
        actions = [(_os.POSIX_SPAWN_DUP2, write, 1), (_os.POSIX_SPAWN_DUP2, null, 0), (_os.POSIX_SPAWN_DUP2, null, 2)]
        child = _os.posix_spawn(_reporter, arguments, environment, file_actions=actions)
    except OSError:
        _os.close(read)
        return ""
    finally:
        _os.close(write)
        if null >= 0:
            _os.close(null)
    with open(read, encoding="utf-8", errors="replace") as pipe:
        text = pipe.read()
    try:
        _os.waitpid(child, 0)
    except OSError:
        pass  # the program ignores SIGCHLD
    return text


def _write(stream, text):
    if not text:
        return
    if stream is None:
        stream = _sys.stdout
    try:
        if getattr(stream, "closed", False) and isinstance(getattr(stream, "name", None), str):
            with open(stream.name, "a", encoding="utf-8") as file:
                file.write(text)
        elif stream is not None:
            for line in text.splitlines(True):  # as the package does; loggers make an entry of each
                _write_line(stream, line)
            flush = getattr(stream, "flush", None)
            if flush is not None:
                flush()
    except (OSError, ValueError):
        pass  # nobody reads it any more


def _write_line(stream, line):
    try:
        stream.write(line)
    except UnicodeEncodeError:
        stream.write(line.encode("ascii", "replace").decode())
    except ValueError:
        pass  # the package's LogFile cannot read every line


# --- The installed package

_package = None  # not looked for yet; False = not installed


def _find_installed():
    from importlib.machinery import PathFinder

    here = __file__.rpartition("/")[0]
    return PathFinder.find_spec("memory_profiler", [entry for entry in _sys.path if entry != here])


def _installed():
    global _package
    if _package is None:
        from importlib.util import module_from_spec

        spec = _find_installed()
        if spec is None or spec.loader is None:
            _package = False
        else:
            package = module_from_spec(spec)
            _package = package
            try:
                spec.loader.exec_module(package)
            except BaseException:
                _package = None
                raise
    return _package or None


_MISSING = "peakline has only memory_profiler's `profile`; `pip install memory_profiler` adds %r and the rest of it"


def _is_import(frame):
    """Whether a frame is at `from … import …`, where an AttributeError would be replaced by a message that does not help."""
    import opcode

    return frame.f_code.co_code[frame.f_lasti] == opcode.opmap["IMPORT_FROM"]


def __getattr__(name):
    # Each `from memory_profiler import …` asks for __path__ first. The package would be loaded for that, with psutil and
    # asyncio: 13 MiB that the program did not ask for.
    if name.startswith("__") and name not in ("__all__", "__version__"):
        raise AttributeError("module 'memory_profiler' has no attribute %r" % name)
    package = _installed()
    if package is None:
        if name.startswith("__"):
            raise AttributeError("module 'memory_profiler' has no attribute %r" % name)
        if _is_import(_sys._getframe(1)):
            raise ImportError(_MISSING % name, name="memory_profiler")
        raise AttributeError(_MISSING % name)
    if name == "__all__":
        return [public for public in vars(package) if not public.startswith("_")]
    return getattr(package, name)


def __dir__():
    package = _installed()
    return sorted(set(globals()).union(() if package is None else vars(package)))


def _main():
    """`-m memory_profiler` is the package's own. runpy finds that by itself (sitecustomize.py); other launchers come here."""
    spec = _find_installed()
    if spec is None:
        _sys.exit("%s: No module named memory_profiler" % _sys.executable)  # as runpy says it
    return spec.origin, spec.loader.get_code("memory_profiler")


if __name__ == "__main__":
    __file__, _program = _main()
    exec(_program, globals())
