# SPDX-License-Identifier: MIT
"""peakline from inside a program: name the spans and instants that matter, leave out what does not.

    import peakline

    with peakline.scope("load"):
        table = read_table(path)

    @peakline.scope("epoch")
    async def train(): ...

Under `peakline run` this package is there by itself, and the report has the peak of all that was allocated in a scope. Installed with
pip it lets the program run anywhere else, too: there it does nothing. Threads: any.
"""
import _thread
import sys

__all__ = ["mark", "pause", "resume", "scope"]

_shim = None  # not looked for yet; False = there is none


def _find():
    """The shim's functions, or False. Looked for once: the shim is preloaded or never there."""
    global _shim
    if _shim is None:
        try:
            import ctypes

            # PyDLL keeps the GIL: the stack that the shim looks at is that of the caller. Without `argtypes`: to convert arguments by
            # them takes calls, and where no more are left ctypes has an error of its own for that.
            shim = ctypes.PyDLL(None)
            for name, result in (
                ("open_frame", None),
                ("enter_code", ctypes.c_uint64),
                ("exit", None),
                ("follow", ctypes.c_uint32),
                ("mark", None),
                ("pause", None),
                ("resume", None),
                ("aside", None),
                ("source", None),
            ):
                function = getattr(shim, "peakline_shim_" + name)
                function.restype = result
                setattr(shim, name, function)
            shim.handle, shim.number, shim.pointer, shim.byref = ctypes.c_uint64, ctypes.c_int64, ctypes.c_void_p, ctypes.byref
            shim.size = ctypes.c_size_t
            _follow(shim)
            _shim = shim
        except RecursionError:  # it may be there
            raise
        except Exception:  # no ctypes, or no shim in this process
            _shim = False
    return _shim


_variable = None  # a context's scopes: their handles, 8 bytes each, the outermost first; None: contexts cannot be read
_alive = set()  # the handles of open scopes


def _follow(shim):
    """Has the shim look for scopes in contexts, if it finds in them what is there."""
    global _variable
    if _variable is not None:
        return  # another thread was first
    import contextvars

    variable = contextvars.ContextVar("peakline")

    def found(value):
        variable.set(value)
        return shim.follow(shim.pointer(id(variable)), shim.number(hash(variable)), shim.pointer(id(value)))

    def test():
        # Few variables and many are kept differently.
        others = [contextvars.ContextVar("peakline test") for _ in range(40)]
        few = found(bytes(24))
        for other in others:
            other.set(0)
        return few and found(bytes(16))

    if contextvars.Context().run(test):
        _variable = variable


def _context():
    """The handles in the present context. It exists from now on: it is told by its address."""
    if _variable is None:
        return b""
    handles = _variable.get(None)
    if handles is None:
        handles = b""
        _variable.set(handles)
    elif handles:
        every = [handles[at : at + 8] for at in range(0, len(handles), 8)]
        handles = b"".join([handle for handle in every if handle in _alive])
    return handles


def _word(handle):
    return handle.value.to_bytes(8, "little")


_TEXT_MOST = 65535  # bytes of one text that a recording keeps


def _text_of(lines):
    """As much of it as is kept: whole lines."""
    text = []
    left = _TEXT_MOST
    for line in lines:
        line = line.encode("utf-8", "backslashreplace")
        left -= len(line)
        if left < 0:
            break
        text.append(line)
    return b"".join(text)


def _is_typed(name, entry):
    """Whether an entry of linecache is code that is in no file: typed into IPython or marimo."""
    from os.path import exists

    if type(name) is not str or type(entry) is not tuple or len(entry) != 4 or type(entry[2]) is not list:
        return False
    return name.startswith("<ipython-input-") or not (name.startswith("<") or exists(name))


def _keep_sources():
    """Has the recording keep the text of what was typed in, within a pause. No error of it is the program's."""
    try:
        typed = [(name, entry[2]) for name, entry in list(sys.modules["linecache"].cache.items()) if _is_typed(name, entry)]
    except Exception:
        return
    for name, lines in typed:
        if not _find():
            return
        try:
            name, text = name.encode("utf-8", "surrogateescape"), _text_of(lines)
            _shim.source(name, _shim.size(len(name)), text, _shim.size(len(text)))
        except Exception:
            pass


def _check(what, name):
    if not isinstance(name, str):
        hint = " (with parentheses: @peakline.scope(\"name\"))" if callable(name) else ""
        raise TypeError("peakline.%s takes a name, a str, not %s%s" % (what, type(name).__name__, hint))


def _bytes(name):
    return name.replace("\0", "\\0").encode("utf-8", "backslashreplace")


_ENTERING = ("__enter__", "__aenter__", "__exit__", "__aexit__")


def _passes_on(frame):
    """Whether a frame enters or leaves a block on behalf of its caller."""
    return frame.f_code.co_name in _ENTERING or frame.f_globals.get("__name__") == "contextlib"


def _block(frame):
    """The frame whose `with` block is being entered or left, and how many calls outside of `frame` it is.

    A context manager that enters a scope, be it a class or a generator under contextlib, does so for the block of its own caller.
    """
    up = 0
    while frame.f_back is not None and (_passes_on(frame) or _passes_on(frame.f_back)):
        frame = frame.f_back
        up += 1
    return frame, up


class scope:
    """A named span: `with peakline.scope(name):`, or `@peakline.scope(name)` on any kind of function.

    It belongs to the frame of that block or function, and holds what is allocated there and in all that is called from there. A
    coroutine or generator that is suspended takes its scope with it. Tasks that were started within a `with` block are in its scope
    until the block ends, as is all that runs in a copy of its context (asyncio.to_thread, callbacks); threads, and tasks that a
    decorated function starts, are not. Scopes nest; one of a name that is open already counts once.
    """

    def __init__(self, name):
        _check("scope", name)
        self.name = name
        # One object may be in use by several threads and tasks: id of a block's frame -> its entries, the innermost last; each with that
        # id, its thread, and the shim's handle.
        self._open = {}

    # A signal handler's exception can come after any call; one that comes at the beginning of __exit__ leaves the scope open.

    def __enter__(self):
        shim = _find()
        if shim:
            shim.aside()  # what this takes is not the program's
            entry = None
            try:
                outer = _context()
                frame, up = _block(sys._getframe(1))
                entry = (id(frame), _thread.get_ident(), shim.handle())
                self._open.setdefault(entry[0], []).append(entry)
                shim.open_frame(_bytes(self.name), up + 1, shim.byref(entry[2]))
                if _variable is not None and entry[2].value:
                    handle = _word(entry[2])
                    _alive.add(handle)
                    _variable.set(outer + handle)
            except BaseException:
                self._end(entry)
                raise
        return self

    def __exit__(self, *error):
        entry = None
        try:
            if self._open:
                _shim.aside()
                entry = self._entry(sys._getframe(1))
                self._end(entry)
        except BaseException:
            self._end(entry or self._entry(sys._getframe(1)))
            raise

    def _entry(self, frame):
        """The innermost entry of the block that is left there; of one that was entered elsewhere, the thread's last, or any."""
        entries = self._open.get(id(_block(frame)[0]))
        if entries:
            return entries[-1]
        thread = _thread.get_ident()
        others = [entry for entries in list(self._open.values()) for entry in entries[-1:]]
        return ([entry for entry in others if entry[1] == thread] or others or [None])[-1]

    def _end(self, entry):
        """As often as one likes."""
        if entry is None:
            return
        block, _, handle = entry
        _shim.exit(handle)
        if _variable is not None:
            _alive.discard(_word(handle))
            _variable.set(_context())
        entries = self._open.get(block, [])
        if entry in entries:
            entries.remove(entry)
        if not entries:
            self._open.pop(block, None)

    def __call__(self, function):
        functions = _functions(function)
        if not functions:
            raise TypeError("peakline.scope decorates functions and methods, not %r" % (function,))
        if _find():
            if function is functions[0]:
                function = functions[0] = _copy(function)
            for inner in functions:
                _enter_code(inner, _bytes(self.name))
        return function

    def __repr__(self):
        return "peakline.scope(%r)" % (self.name,)


def _functions(function):
    """A function and those that it wraps, as far as they are Python's."""
    found = []
    while function is not None and len(found) < 100:
        if hasattr(function, "__code__"):
            found.append(function)
        function = getattr(function, "__func__", None) or getattr(function, "__wrapped__", None)
    return found


def _copy(function):
    """Another function that does the same: who calls the first one by another name is not in the scope."""
    from types import FunctionType

    if type(function) is not FunctionType:
        return function
    copy = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    for name in ("__kwdefaults__", "__qualname__", "__module__", "__doc__", "__type_params__"):
        if hasattr(function, name):
            setattr(copy, name, getattr(function, name))
    if getattr(function, "__annotate__", None) is not None:  # since 3.14: evaluated when somebody asks
        copy.__annotate__ = function.__annotate__
    else:
        copy.__annotations__ = function.__annotations__
    copy.__dict__.update(function.__dict__)
    return copy


_codes = {}


def _enter_code(function, name):
    """All frames of the function are in the scope."""
    import weakref

    # Functions that come from one `def` share its code object.
    if id(function.__code__) not in _codes:
        function.__code__ = function.__code__.replace()
    code = function.__code__
    handle = _shim.handle(_shim.enter_code(name, _shim.pointer(id(code))))

    def died(_, address=id(code), handle=handle):
        _codes.pop(address, None)
        _shim.exit(handle)

    _codes.setdefault(id(code), []).append(weakref.ref(code, died))


def mark(name):
    """Names this instant: the report lists these, with the heap and the RSS they had."""
    _check("mark", name)
    if _find():
        _shim.mark(_bytes(name))


class _Paused:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        resume()


_paused = _Paused()


def pause():
    """Until resume(), what this thread allocates is not recorded, nor is its release. `with peakline.pause():` resumes at the end.

    Blocks that were allocated before are accounted as ever when they are freed; one that is reallocated meanwhile counts as freed.
    Pauses nest. It is the thread that pauses: all tasks that run in it.
    """
    if _find():
        _shim.pause()
    return _paused


def resume():
    """Ends the innermost pause of this thread."""
    if _find():
        _shim.resume()
