# SPDX-License-Identifier: MIT
"""One allocation for each way in which Python code can be running, each with a size of its own.

Site N allocates 7000000 + 1000 * N bytes. A line that ends in `# @N function` is the one that does it, in that function (its qualified
name); where interpreters before 3.12 run a comprehension as a function of its own, that follows after `|`.

With an argument, nothing is allocated: each site writes what the interpreter itself says of its caller to the file of that name,
`size line first-line file name`, separated by tabs.
"""
import asyncio
import contextlib
import ctypes
import functools
import gc
import operator
import sys
import threading

sizes = [7000000 + 1000 * number for number in range(100)]
libc = ctypes.PyDLL(None)  # keeps the GIL
if len(sys.argv) > 1:
    told = open(sys.argv[1], "w", encoding="utf-8", errors="surrogateescape")

    def malloc(size):
        frame = sys._getframe(1)
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)
        told.write("%d\t%d\t%d\t%s\t%s\n" % (size, frame.f_lineno, code.co_firstlineno, code.co_filename, name))
        told.flush()
        return 1

    loose_malloc = malloc
else:
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    loose_libc = ctypes.CDLL(None)  # releases the GIL around the call
    loose_libc.malloc.restype = ctypes.c_void_p
    loose_libc.malloc.argtypes = [ctypes.c_size_t]
    malloc, loose_malloc = libc.malloc, loose_libc.malloc

malloc(sizes[1])  # @1 <module>


def function():
    malloc(sizes[2])  # @2 function


function()


class Class:
    malloc(sizes[3])  # @3 Class

    def method(self):
        malloc(sizes[4])  # @4 Class.method

    @classmethod
    def class_method(cls):
        malloc(sizes[5])  # @5 Class.class_method

    @staticmethod
    def static_method():
        malloc(sizes[6])  # @6 Class.static_method

    @property
    def attribute(self):
        return malloc(sizes[7])  # @7 Class.attribute

    def __init__(self):
        malloc(sizes[8])  # @8 Class.__init__

    def __getitem__(self, key):
        malloc(sizes[9])  # @9 Class.__getitem__

    def __del__(self):
        malloc(sizes[10])  # @10 Class.__del__

    def __enter__(self):
        malloc(sizes[11])  # @11 Class.__enter__

    def __exit__(self, *args):
        malloc(sizes[12])  # @12 Class.__exit__


for _ in range(20):  # often enough for the interpreter to specialise the calls
    instance = Class()
    instance.method()
    Class.class_method()
    Class.static_method()
    instance.attribute
    instance[1]
    with instance:
        pass
    del instance


def closure():
    number = 13

    def inner():
        malloc(sizes[number])  # @13 closure.<locals>.inner

    return inner


closure()()

nothing = lambda: malloc(sizes[14])  # @14 <lambda>
nothing()


def generator():
    malloc(sizes[15])  # @15 generator
    yield 1
    malloc(sizes[16])  # @16 generator
    yield 2


for _ in generator():
    pass


def delegating():
    yield from generator_inner()


def generator_inner():
    malloc(sizes[17])  # @17 generator_inner
    yield 1


list(delegating())


def comprehensions():
    [malloc(n) for n in sizes[18:19]]  # @18 comprehensions | comprehensions.<locals>.<listcomp>
    {malloc(n) for n in sizes[19:20]}  # @19 comprehensions | comprehensions.<locals>.<setcomp>
    {n: malloc(n) for n in sizes[20:21]}  # @20 comprehensions | comprehensions.<locals>.<dictcomp>
    list(malloc(n) for n in sizes[21:22])  # @21 comprehensions.<locals>.<genexpr>


comprehensions()


async def coroutine():
    malloc(sizes[22])  # @22 coroutine
    await asyncio.sleep(0)
    malloc(sizes[23])  # @23 coroutine


async def async_generator():
    malloc(sizes[24])  # @24 async_generator
    yield 1


async def main():
    await coroutine()
    async for _ in async_generator():
        malloc(sizes[25])  # @25 main
    await asyncio.gather(*(task(n) for n in range(3)))


async def task(number):
    await asyncio.sleep(0)
    malloc(sizes[26])  # @26 task


asyncio.run(main())

exec(compile("\n\ndef made():\n    malloc(sizes[27])\nmade()\n", "<été \udcff 漢字 \U0001f40d>", "exec"))
exec("malloc(sizes[28])")
eval("malloc(sizes[29])")


def in_thread():
    malloc(sizes[30])  # @30 in_thread


thread = threading.Thread(target=in_thread)
thread.start()
thread.join()


def unlocked():
    loose_malloc(sizes[31])  # @31 unlocked


unlocked()

busy = True


def spin():
    while busy:
        pass


spinner = threading.Thread(target=spin)
spinner.start()
for _ in range(3):
    loose_malloc(sizes[32])  # @32 <module>
busy = False
spinner.join()

(
    function,
    1 + 1,
    malloc(
        sizes[33]
    ),
)
operator.add(
    1,
    malloc(sizes[34]) or 0,  # @34 <module>
)


def many_lines(
    a,
    b=malloc(sizes[35]),  # @35 <module>
):
    value = (
        a
        + len(str(malloc(sizes[36])))  # @36 many_lines
    )
    try:
        raise ValueError(
            malloc(sizes[37])  # @37 many_lines
        )
    except ValueError:
        malloc(sizes[38])  # @38 many_lines
    finally:
        malloc(sizes[39])  # @39 many_lines
    with contextlib.suppress(KeyError):
        malloc(sizes[40])  # @40 many_lines
        {}[malloc(sizes[41])]  # @41 many_lines
    return value


many_lines(1)


def decorate(inner):
    @functools.wraps(inner)
    def wrapper(*args, **kwargs):
        malloc(sizes[42])  # @42 decorate.<locals>.wrapper
        return inner(*args, **kwargs)

    return wrapper


@decorate
def decorated():
    malloc(sizes[43])  # @43 decorated


decorated()


def recursive(depth):
    if depth:
        return recursive(depth - 1)
    malloc(sizes[44])  # @44 recursive


recursive(200)

sorted([1], key=lambda _: malloc(sizes[45]))  # @45 <lambda>
list(map(lambda n: malloc(n), [sizes[46]]))  # @46 <lambda>
functools.partial(malloc, sizes[47])()  # @47 <module>
sum(malloc(n) and 0 for n in sizes[48:49])  # @48 <genexpr>


class Meta(type):
    def __call__(cls, *args):
        malloc(sizes[49])  # @49 Meta.__call__
        return super().__call__(*args)

    def __new__(mcs, name, bases, members):
        malloc(sizes[50])  # @50 Meta.__new__
        return super().__new__(mcs, name, bases, members)


class OfMeta(metaclass=Meta):
    def __init__(self, value):
        self.value = value, malloc(sizes[51])  # @51 OfMeta.__init__


for _ in range(20):
    OfMeta(1)


class Cycle:
    def __init__(self):
        self.me = self

    def __del__(self):
        malloc(sizes[52])  # @52 Cycle.__del__


Cycle()
gc.collect()

callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


@callback
def compare(a, b):
    malloc(sizes[53])  # @53 compare
    return 0


libc.qsort((ctypes.c_int * 2)(), 2, 4, compare)

if sys.version_info >= (3, 10):
    # The syntax is newer than the oldest interpreter.
    exec("match sizes[54]:\n    case size:\n        malloc(size)\n")


def tail(number):
    for _ in range(2): number += 1; malloc(sizes[55]); number += 1  # @55 tail
    while number:
        number = malloc(sizes[56]) and 0  # @56 tail
    return [
        1,
        malloc(sizes[57]),  # @57 tail
        2,
    ]


tail(0)

for lines in range(40):
    # The same place in memory, the same names, another line.
    exec("\n" * lines + "malloc(sizes[58])")


def again(lines):
    inner = {}
    exec("\n" * lines + "def inner(malloc, size):\n    malloc(size)\n", inner)
    inner["inner"](malloc, sizes[59])


for lines in range(40):
    again(lines)
