# SPDX-License-Identifier: MIT
# Functions that the program chose, as memory_profiler's users do; sizes in MiB.
cat >script.py <<'END'
from memory_profiler import profile


@profile
def load():
    table = bytearray(3 << 20)
    del table


@profile(precision=6)
def small():
    return bytearray(1)


def other():
    return bytearray(5 << 20)


load()
other()
print("done")
END
# How large the heap is besides depends on the interpreter.
masked() {
    sed -E 's/^( *6) *[0-9.]+ MiB/\1     ?.?? MiB/'
}
export PYTHONHASHSEED=0
try peakline run --quiet --max-size 64M -o recording python3 script.py | masked
peakline report recording | sed '/^script.py: load/,$!d' | masked
peakline report recording --function load --precision 2 | sed '/^script.py: load/,$!d' | masked
try peakline report recording --chosen 4294967296
try peakline report recording --chosen 1,
try peakline report recording --chosen ''
try peakline report recording --precision 10
try peakline report recording --chosen 4000000000
