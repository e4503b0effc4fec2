# SPDX-License-Identifier: MIT
"""What an embedding program runs: no module that is not built in. Each marked line allocates 7000000 + 1000 * N bytes (and one)."""


def function():
    bytearray(7001000)  # @1 function


class Class:
    def method(self):
        [bytearray(n) for n in (7002000,)]  # @2 Class.method | Class.method.<locals>.<listcomp>


function()
Class().method()
for i in range(50):
    exec("\n" * i + "bytearray(7003000)")  # on line i + 1 of <string>
bytearray(7004000)  # @4 <module>
