# SPDX-License-Identifier: MIT
"""Imports: what the import system does is done by the line that imports. Writes its modules into the current directory."""
import _thread
import importlib
import sys
import time

FILES = {
    "fat.py": "kept = bytearray(710001)\n",
    # Its constant is made by the import system.
    "constant.py": "text = '%s'\n" % ("x " * 760001),
    "first.py": "import second\nkept = bytearray(310001)\n",
    "second.py": "import third\nkept = bytearray(320003)\n",
    "third.py": "kept = bytearray(330007)\n",
    "found.py": "kept = bytearray(450001)\n",
}
DEPTH = 5
for number in range(1, DEPTH + 1):
    # Imports this file's function again, which imports the next one.
    FILES["again%d.py" % number] = "import __main__\nkept = bytearray(%d)\n__main__.recurse(%d)\n" % (100001 + 2 * number, number - 1)
for name, text in FILES.items():
    with open(name, "w") as file:
        file.write(text)
sys.path.insert(0, "")
sys.dont_write_bytecode = True
compile("pass", "first", "exec")  # makes the compiler's own types, if nothing has been compiled before
importlib.invalidate_caches()


class Finder:
    """Called by the import system, and in the way between it and the line that imports."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "found":
            Finder.kept = bytearray(440003)  # @finder


sys.meta_path.insert(0, Finder)


def recurse(depth):
    if depth:
        __import__("again%d" % depth)  # @recurse


def even(depth):
    return odd(depth - 1) if depth else importlib._bootstrap_external.cache_from_source("directory/module.py")  # @even


def odd(depth):
    return even(depth - 1) if depth else importlib._bootstrap_external.cache_from_source("directory/module.py")  # @odd


def main():
    import fat  # @fat
    import constant  # @constant
    del sys.modules["constant"], constant  # @drop
    import first  # @first
    import found  # @found
    recurse(DEPTH)  # @deep
    # The import system under the same callers, once beneath a line that recurs.
    for depth in [1, 2] * 200:
        even(depth)
    # A thread that has no other frame than one of the import system's.
    kept = []
    _thread.start_new_thread(importlib._bootstrap._call_with_frames_removed, (kept.extend, map(bytearray, [730003])))
    while not kept:
        time.sleep(0.01)


main()
