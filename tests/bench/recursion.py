# SPDX-License-Identifier: MIT
"""Recursion: each of DEPTH nested calls makes a list of one number. Usage: recursion.py DEPTH CALLS"""
import sys


def descend(depth):
    if not depth:
        return 0
    kept = [depth]
    return descend(depth - 1) + len(kept)


depth, calls = map(int, sys.argv[1:])
sys.setrecursionlimit(depth + 100)
print(sum(descend(depth) for _ in range(calls // depth)))
