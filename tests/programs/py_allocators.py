# SPDX-License-Identifier: MIT
"""What programs do with Python's allocators: statistics, tracemalloc. Prints one line."""
import sys
import tracemalloc

before = sys.getallocatedblocks()
kept = [[i] for i in range(10000)]
after = sys.getallocatedblocks()
assert after == 0 or 20000 <= after - before < 32000, after - before  # 0: it does not count when PYTHONMALLOC=malloc


def allocate():
    return [object() for _ in range(20000)]  # @traced


def counted():
    line = allocate.__code__.co_firstlineno + 1
    found = [s.count for s in tracemalloc.take_snapshot().statistics("lineno") if s.traceback[0].lineno == line]
    assert found and found[0] >= 19990, found


if not tracemalloc.is_tracing():
    allocate()
    tracemalloc.start(5)
kept = allocate()
counted()
tracemalloc.stop()
allocate()
tracemalloc.start()
kept = allocate()
counted()
tracemalloc.stop()
del kept
print("done")
