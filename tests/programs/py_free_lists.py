# SPDX-License-Identifier: MIT
"""Objects that are kept, in memory that temporaries of other lines have left in CPython's free lists.

Arguments: a number: how many of each, 3,000 by default. `oracle`: tracemalloc says what each line holds at the end, and is not started
else. `traced`: it has been used before. `threads`: the temporaries are made by one thread and dropped by another.
"""
import gc
import itertools
import json
import os
import queue
import sys
import threading

COUNT = next((int(argument) for argument in sys.argv[1:] if argument.isdigit()), 3000)


def temporaries(i):
    pair = (i, None)
    triple = (pair, None, pair)
    x = i * 0.25
    y = x + 1.5
    values = [i]
    table = {}
    return len(triple) + len(values) + len(table) + int(y)


def first(held):
    for i in range(COUNT):
        temporaries(i)
        held.append((held, None))  # @pair
        temporaries(i)
        held.append((held, None, held))  # @triple


def second(held):
    for i in range(COUNT):
        temporaries(i)
        held.append(i / 3)  # @float
        temporaries(i)
        held.append([])  # @list


def inner(i):
    temporaries(i)
    return (i, 0.5)  # @returned


def third(held):
    for i in range(COUNT):
        held.append(inner(i))
        held.append({})  # @dict
        temporaries(i)


def alternately(held):
    """The newest block of all, whose object has ended, is taken by another line, without an allocation between."""
    room = [None] * COUNT
    for i in range(COUNT):
        temporary = (None, i, None, i)
        del temporary
        room[i] = (i, None, None, i)  # @newest
    held.append(room)


def counted(held):
    """One block, taken again and again, with nothing between."""
    for _ in itertools.repeat(None, COUNT):
        (held, None)  # @counted


def anew(held):
    """Blocks that were really freed, and allocated again."""
    tables = [{} for _ in range(COUNT)]
    text = b"a"
    for table in tables:
        large = text * 300  # @anew
        table[1] = 1
        del large


def dropper(tasks):
    while tasks.get() is not None:
        tasks.task_done()


def passed_on(held):
    tasks = queue.Queue()
    thread = threading.Thread(target=dropper, args=(tasks,))
    thread.start()
    for i in range(COUNT):
        tasks.put((i, None))
        tasks.join()
        held.append((i, i))  # @passed
    tasks.put(None)
    thread.join()


def work(held):
    first(held)
    second(held)
    third(held)
    alternately(held)
    counted(held)
    anew(held)
    if "threads" in sys.argv:
        passed_on(held)


def main():
    held = []
    oracle = "oracle" in sys.argv
    if oracle or "traced" in sys.argv:
        import tracemalloc

        from py_traced_lines import traced_lines

        tracemalloc.start(1)
        if not oracle:
            traced = [bytes(i) for i in range(1000)]
            tracemalloc.stop()
            del traced
    held.extend([None] * (8 * COUNT))
    del held[:]
    gc.collect()  # empties the free lists
    gc.disable()
    work(held)
    if oracle:
        print(json.dumps(traced_lines(__file__)))
    sys.stdout.flush()
    os._exit(0)


main()
