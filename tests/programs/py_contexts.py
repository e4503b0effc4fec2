# SPDX-License-Identifier: MIT
"""More calling contexts than a recording can hold. Objects are put in places of a list and end there when others come, called from
somewhere else: long after their context was folded, and in a call that may itself need a folding. At last it says how many of each
line are left, and ends without taking them down.
"""
import os

LEVELS = 13
PLACES = 997
kept = [None] * PLACES


def odd(number):
    kept[number % PLACES] = bytes(1001)  # @odd


def even(number):
    kept[number % PLACES] = bytes(2003)  # @even


def leaf(number):
    if number & 1:
        odd(number)  # @call_odd
    else:
        even(number)  # @call_even


for level in range(LEVELS):
    inner = "level_%d" % (level - 1) if level else "leaf"
    exec("def level_%d(number):\n    if number & %d:\n        %s(number)\n    else:\n        %s(number)\n" % (level, 1 << level, inner, inner))


def main():
    number = 1
    for _ in range(40000):
        number = (number * 69069 + 1) % 2**32
        level_12(number >> 8)  # @call


# Python's cache of attributes may let go of a name when these lines run for the first time: not below level_12.
for place in range(40):
    (odd, even)[place % 2](place)
kept[:] = [None] * PLACES
main()
left = [sum(len(block) == size for block in kept if block) for size in (1001, 2003)]
os.write(1, b"%d %d\n" % tuple(left))
os._exit(0)
