# SPDX-License-Identifier: MIT
"""Arithmetic, and tuples for a moment: objects whose memory mostly comes from CPython's free lists. Usage: floats.py ROUNDS"""
import sys


def main(rounds):
    x, y, total = 0.1, 0.2, 0.0
    for _ in range(rounds * 100_000):
        a = x * y
        b = a + x
        c = b * b
        d = c - a
        total = total + d * 0.5
        x = (x + 0.001) % 1.0
        pair = (a, b)
        pair = (c, d)
    print(total, pair)


main(int(sys.argv[1]))
