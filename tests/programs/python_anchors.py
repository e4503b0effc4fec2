# SPDX-License-Identifier: MIT
"""Calls by way of exec, eval, imports, functions made of a module's code, class bodies, generators: at random, from
different lines, mostly without an allocation in between. Usage: python_anchors.py STEPS SEED [LIBRARY]

With the library (python_allocator.c), Python's small objects come from another allocator for some of the time."""
import collections
import contextvars
import ctypes
import functools
import gc
import importlib.abc
import importlib.util
import operator
import random
import sys
import threading
import types

STEPS, SEED = int(sys.argv[1]), int(sys.argv[2])
sys.setrecursionlimit(20000)

kept = [None] * 64
TEXT = "abc" * (300 if sys.argv[3:] else 30)  # more than 512 bytes, in spite of the other allocator
local = threading.local()


def keep():
    kept[local.random.randrange(64)] = [None] * local.random.randrange(9)


def step(depth):
    if depth > 40 or local.left <= 0:
        return keep()
    local.left -= 1
    local.depth = depth + 1
    return local.random.choice(ACTIONS)(depth + 1)


def twice(depth):
    step(depth)
    step(depth)


def same_again(depth):
    """The very same thing from two lines, as quiet as Python can be."""
    run = local.random.choice(QUIET)
    run()
    run()


def quiet_function():
    leaf()
    leaf()


def leaf():
    TEXT * 2


MODULE = compile("step(local.depth)", "module", "exec")
TWO = compile("step(local.depth)\nstep(local.depth)", "two", "exec")
LEAVES = compile("leaf()\nleaf()\nquiet_function()", "leaves", "exec")
EXPRESSION = compile("step(local.depth)", "expression", "eval")
NAMED = compile("class A:\n    step(local.depth)\n    step(local.depth)\n", "named", "exec")
NOWHERE = dict(globals())
del NOWHERE["__name__"]


def executed(depth):
    exec(MODULE)
    exec(MODULE, globals(), {})


def executed_twice(depth):
    exec(TWO, globals())


def evaluated(depth):
    return eval(EXPRESSION), eval(EXPRESSION)


def a_class(depth):
    exec(NAMED, globals(), {})

    class B:
        step(depth)
        step(depth)


class Finder(importlib.abc.Loader):
    def exec_module(self, module):
        exec(MODULE, dict(globals(), __name__=module.__name__))
        exec(LEAVES, dict(globals(), __name__=module.__name__))


def imported(depth):
    spec = importlib.util.spec_from_loader("made", Finder())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    spec.loader.exec_module(module)


def generator(depth):
    def inside():
        step(depth)
        yield
        exec(MODULE)
        yield
        step(depth)

    for _ in inside():
        step(depth)


def held(depth):
    frame = sys._getframe()
    exec(TWO, globals())
    kept[local.random.randrange(64)] = frame
    exec(TWO, globals())
    kept[local.random.randrange(64)] = None


def raises(depth):
    try:
        exec(RAISING, globals())
    except KeyError:
        exec(MODULE, globals())
        try:
            exec(RAISING, globals())
        except KeyError:
            step(depth)


RAISING = compile("step(local.depth)\nraise KeyError", "raising", "exec")


def collected(depth):
    if local.random.random() < 0.02:
        gc.collect()
    step(depth)


def compiled(depth):
    exec("step(local.depth)\nstep(local.depth)", globals())


def nothing(depth):
    leaf()


def from_c(depth):
    made = types.FunctionType(MODULE, globals())
    list(map(operator.call if hasattr(operator, "call") else lambda f: f(), [made, made]))
    sorted([1, 2], key=lambda _: bool(step(depth)))


# Functions of a module's code that have just been made, and that nobody knows but who calls them, from C.
def set_state(depth):
    STATE.__setstate__((types.FunctionType(LEAVES, globals()), (), {}, None))
    STATE()
    STATE()


def in_a_context(depth):
    run = contextvars.copy_context().run
    made = types.FunctionType(LEAVES, globals())
    run(made)
    run(made)


def with_other_code(depth):
    def made():
        pass

    run = contextvars.copy_context().run
    made.__code__ = LEAVES
    run(made)
    run(made)


def default(depth):
    missing = collections.defaultdict(types.FunctionType(LEAVES, globals()))
    missing[1]
    missing[2]


def held_and_called(depth):
    """The function of a frame that is held does not end with it; then comes another one of the same code."""
    me = sys._getframe()
    exec(HOLDING, globals())
    CALL_HOLDING()
    holding.clear()
    del me


STATE = functools.partial(len)
holding = []
HOLDING = compile("holding.append(sys._getframe())\nleaf()\nleaf()", "holding", "exec")
CALL_HOLDING = functools.partial(types.FunctionType(HOLDING, globals()))

# Code that calls others from C before anything is allocated.
CALL_LEAF = functools.partial(leaf)
FROM_C = compile("CALL_LEAF()\nCALL_LEAF()\nleaf()", "from C", "exec")
CALL_QUIET = functools.partial(exec, FROM_C)
TWICE_FROM_C = compile("CALL_QUIET()\nCALL_QUIET()\nCALL_LEAF()", "twice from C", "exec")

# Functions of a module's code: no call of them makes an object.
MADE = types.FunctionType(LEAVES, globals())
ANONYMOUS = types.FunctionType(LEAVES, NOWHERE)

QUIET = [quiet_function, MADE, ANONYMOUS, functools.partial(exec, LEAVES), leaf]
QUIET += [CALL_QUIET, functools.partial(exec, TWICE_FROM_C), types.FunctionType(TWICE_FROM_C, globals()), functools.partial(types.FunctionType(FROM_C, globals()))]
QUIET += [functools.partial(types.FunctionType(LEAVES, globals())), functools.partial(types.FunctionType(LEAVES, NOWHERE)), functools.partial(MADE), functools.partial(quiet_function), functools.partial(lambda: quiet_function())]
ACTIONS = [twice, twice, same_again, same_again, executed, executed_twice, evaluated, a_class, imported, generator, held, raises, collected, compiled, nothing, nothing, from_c]
ACTIONS += [set_state, in_a_context, with_other_code, default, held_and_called]


def main(seed):
    local.random = random.Random(seed)
    local.left = STEPS
    while local.left > 0:
        step(0)
        same_again(0)


threads = [threading.Thread(target=main, args=(SEED + i,)) for i in range(2)]
for thread in threads:
    thread.start()
main(SEED + 7)
if sys.argv[3:]:
    get, set_ = (ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p) for name in ("PyMem_GetAllocator", "PyMem_SetAllocator"))
    replace = ctypes.CDLL(sys.argv[3]).allocator_replace
    # A frame that is held keeps its function object, whose end would be seen, too.
    REPLACING = compile("leaf()\nif stopped.append(sys._getframe()) is None and len(stopped) == 1: replace(get, set_, 2)\nleaf()\nleaf()", "replacing", "exec")
    stopped = []

    def outside():
        exec(REPLACING, globals())
        exec(REPLACING, globals())
        exec(REPLACING, globals())

    outside()
    main(SEED + 8)
    ctypes.CDLL(sys.argv[3]).allocator_relent()
    main(SEED + 9)
for thread in threads:
    thread.join()
print("done")
