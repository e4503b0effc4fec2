# SPDX-License-Identifier: MIT
"""Replaces Python's object allocators by itself. Arguments: the library, how (0 in front, 1 malloc, 2 a pool), "relent" or "stay"."""
import ctypes
import itertools
import sys

library, how, end = sys.argv[1:4]
replace = ctypes.CDLL(library).allocator_replace
relent = ctypes.CDLL(library).allocator_relent
get, set_ = (ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p) for name in ("PyMem_GetAllocator", "PyMem_SetAllocator"))


def allocate(count):
    return [bytes(40) for _ in itertools.repeat(None, count)]


before = allocate(50000)  # @before
replace(get, set_, int(how))
kept = allocate(60000)  # @meanwhile
grown = []
for i in range(3000):
    grown.append([None] * (i % 200))
    grown[i // 2].append(i)
del before  # @del
block = bytearray(1000003)  # @large
again = []
for i in range(4000):
    again.append(bytes(2000))  # @bytes
if end == "relent":
    relent()
    after = allocate(70000)  # @after
    del after
del kept, grown, again
print("done")
