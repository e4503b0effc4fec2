# SPDX-License-Identifier: MIT
"""Greenlets, which swap stacks below the interpreter. Marked lines allocate 7000000 + 1000 * N bytes, and a few. Prints one line."""
import greenlet


def deeper(depth, function):
    return deeper(depth - 1, function) if depth else function()


def first():
    bytearray(7001000)  # @1 first
    deeper(5, other.switch)
    bytearray(7003000)  # @3 first
    deeper(2, other.switch)


def second():
    deeper(3, lambda: [0] * 3)
    bytearray(7002000)  # @2 second
    deeper(7, one.switch)
    deeper(1, one.switch)


one, other = greenlet.greenlet(first), greenlet.greenlet(second)
one.switch()


def worker(number):
    for i in range(200):
        [str(i)] * (number + 1)
        deeper((i * number) % 11, greenlet.getcurrent().parent.switch)


workers = [greenlet.greenlet(worker) for _ in range(20)]
for number, each in enumerate(workers):
    each.switch(number)
while any(not each.dead for each in workers):
    for each in workers:
        if not each.dead:
            each.switch()
print("done")
