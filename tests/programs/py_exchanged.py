# SPDX-License-Identifier: MIT
"""Stacks of which all but the outermost frames are exchanged between two events, as fast as Python can, and look alike."""
import itertools

DEPTH = 250  # small integers are not allocated
held = [None]  # what is replaced here is freed in the innermost frame


def down(depth, size):
    if depth:
        return down(depth - 1, size)
    held[0] = bytearray(size)


def nested(depth, sizes):
    if depth:
        yield from nested(depth - 1, sizes)
    else:
        for size in sizes:
            held[0] = bytearray(size)
            yield


sizes = [100003, 200003]
for _ in itertools.repeat(None, 1000):
    down(DEPTH, sizes[0])  # @called
    down(DEPTH, sizes[1])  # @called_again
generator = nested(DEPTH, sizes * 1000)
for _ in itertools.repeat(None, 1000):
    next(generator)  # @resumed
    next(generator)  # @resumed_again
