# SPDX-License-Identifier: MIT
"""Several interpreters in one process. Each marked line allocates 7000000 + 1000 * N bytes, and a few. Prints one line."""
import sys

try:
    import _interpreters
except ImportError:
    import _xxsubinterpreters as _interpreters

inside = """
def inner():
    bytearray(7002000)
    list(bytearray(n) for n in (7003000,))
inner()
"""


def outer():
    if sys.version_info >= (3, 13):
        made = _interpreters.create("legacy")  # shares the GIL
    else:
        made = _interpreters.create()
    bytearray(7001000)  # @1 outer
    _interpreters.run_string(made, inside)
    bytearray(7004000)  # @4 outer
    _interpreters.destroy(made)
    bytearray(7005000)  # @5 outer


outer()
print("done")
