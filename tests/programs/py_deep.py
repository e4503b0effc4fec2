# SPDX-License-Identifier: MIT
"""Recursion far deeper than a stack is kept, through several lines, with blocks at every level."""
import sys
import threading

DEPTH = int(sys.argv[1])
sys.setrecursionlimit(10**6)
threading.stack_size(int(sys.argv[2]) << 20)
held = []


def descend(depth):
    held.append(bytearray(1001))  # @even
    if depth % 3 == 0:
        other(depth - 1)  # @third
    elif depth > 0:
        descend(depth - 1)  # @down
    held.append(bytearray(1021))  # @after


def other(depth):
    held.append(bytearray(1013))  # @odd
    if depth > 0:
        descend(depth - 1)  # @back


thread = threading.Thread(target=descend, args=(DEPTH,))
thread.start()
thread.join()
calls = {"even": 0, "odd": 0}
depth, name = DEPTH, "even"
while True:
    calls[name] += 1
    if depth <= 0 and not (name == "even" and depth == 0):
        break
    name = "odd" if name == "even" and depth % 3 == 0 else "even"
    depth -= 1
print(calls["even"], calls["odd"])
