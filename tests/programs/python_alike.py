# SPDX-License-Identifier: MIT
"""Many allocations, all from a few stacks: of a module's own code, of functions, and with a C function between them."""

for number in range(100000):
    kept = bytes(number % 64 + 1)


def inner(count):
    for number in range(count):
        kept = bytes(number % 64 + 1)
    return kept


def outer(count):
    return inner(count)


outer(100000)
sorted([100000], key=outer)
print("done")
