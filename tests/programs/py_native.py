# SPDX-License-Identifier: MIT
"""Python that calls C that calls Python, and so on, in each way that puts another evaluation loop on the C stack."""
import ctypes
import sys
import threading

library = ctypes.CDLL(sys.argv[1])
library.native_outer.restype = library.native_leaf.restype = None  # else what is left in a register
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int)
kept = []


def callback(n):
    kept.append(bytearray(70001))  # @callback
    if n:
        library.native_outer(CALLBACK(callback), n - 1)  # @again
    library.native_leaf()  # @leaf


def recursive():
    library.native_outer(CALLBACK(callback), 2)  # @recursive


def generate():
    for _ in range(3):
        library.native_leaf()  # @generated
        yield 1


def generator():
    return sum(generate())  # @sum


class Key:
    def __init__(self, number):
        self.number = number

    def __lt__(self, other):
        library.native_leaf()  # @compare
        return self.number < other.number


def compared():
    return sorted([Key(2), Key(1)])  # @sorted


class Dying:
    def __del__(self):
        library.native_leaf()  # @died


def dying():
    Dying()  # @dying


class Made:
    def __init__(self):
        self.deeper()  # @init

    def deeper(self):
        library.native_leaf()  # @made


def made():
    for _ in range(20):  # until the call is specialised
        Made()  # @make


def with_arguments(*arguments, **keywords):
    library.native_leaf()  # @arguments


def threaded():
    library.native_outer(CALLBACK(lambda n: library.native_leaf()), 0)  # @threaded


def deep(n):
    if n:
        return sum(map(deep, [n - 1]))
    library.native_leaf()  # @deep


def tower(n):
    return tower(n - 1) if n else library.native_leaf()  # @tower


def ping(n):
    return pong(n - 1) if n else library.native_leaf()  # @ping


def pong(n):
    return ping(n)  # @pong


# The innermost frame of each language is one that calls further, too.
MAKE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)
malloc = ctypes.cast(ctypes.CDLL(None).malloc, ctypes.c_void_p)
library.native_make.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
library.native_make.restype = library.native_other.restype = None


def make_again(size):
    library.native_other(CALLBACK(lambda n: library.native_make(malloc, 40009)), 0)  # @make_again


def make():
    call = MAKE(make_again)
    library.native_make(ctypes.cast(call, ctypes.c_void_p), 1)  # @made_first


recursive()  # @call_recursive
ping(2)
make()
generator()
compared()
dying()
made()
with_arguments(*[1], **{"a": 2})  # @call_arguments
if len(sys.argv) == 2:  # the order of threads' events is nobody's to know
    thread = threading.Thread(target=threaded)
    thread.start()
    thread.join()
try:
    deep(60)  # @call_deep
except TypeError:  # None cannot be summed up
    pass
tower(300)  # @call_tower
exec(compile("\n\nlibrary.native_leaf()\n", "<made>", "exec"))
print(len(kept))
