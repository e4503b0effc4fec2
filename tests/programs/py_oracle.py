# SPDX-License-Identifier: MIT
"""Small objects of many kinds, held to the end. With the argument `oracle`, tracemalloc says what each line holds.

work() runs the same way in both cases, so that the profiler can be checked against the oracle.
"""
import gc
import json
import os
import sys

class Plain:
    def __init__(self, number):
        self.number = number
        self.text = "value %d" % number


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a):
        self.a = a
        self.b = (a, a)


def empty_free_list():
    """Takes all lists that the interpreter has in store (80 at the most), which differ from run to run."""
    return [[] for _ in range(200)]


def work(held):
    held.append([i * 1000003 for i in range(2000)])  # numbers
    held.append({"key %d" % i: i for i in range(3000)})  # strings
    held.append([Plain(i) for i in range(500)])
    held.append([Slotted(i) for i in range(700)])
    held.append({i for i in range(5000)})
    held.append([(i, str(i)) for i in range(1500)])
    held.append([bytes(i) for i in range(1000)])
    held.append([float(i) for i in range(1234)])
    held.append("x" * 1000001)
    text = ",".join(str(i) for i in range(4000))
    held.append(text.split(","))
    held.append(json.loads("[" + text + "]"))
    held.append(empty_free_list())
    growing = []
    for i in range(3000):
        growing.append([i])
    held.append(growing)
    del growing[1000:]
    held.append([bytearray(i) for i in range(0, 3000, 7)])


def main():
    held = []
    oracle = len(sys.argv) > 1
    # Empties the free lists: tracemalloc charges an object from there to the line that takes it, not to the one that
    # made it allocate.
    gc.collect()
    if oracle:
        import tracemalloc

        from py_traced_lines import traced_lines

        gc.collect()
        tracemalloc.start(1)
    work(held)
    if oracle:
        print(json.dumps(traced_lines(__file__)))
    sys.stdout.flush()
    os._exit(0)


main()
