# SPDX-License-Identifier: MIT
"""Ten thousand code objects that come and go, at few addresses; each has a line of its own."""
import sys

kept = []
for number in range(int(sys.argv[1])):
    source = "\n" * (number % 977) + "def f%d(size):\n    return bytes(bytearray(size))\n" % (number % 13)
    names = {}
    exec(compile(source, "made %d.py" % (number % 7), "exec"), names)
    names["f%d" % (number % 13)](2001)
    del names
print("done")
