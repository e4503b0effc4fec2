# SPDX-License-Identifier: MIT
"""A module that forks while it is imported; both sides go on."""
import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import py_import_fork

    after = bytearray(500001)  # @after
    if py_import_fork.child == 0:
        os._exit(len(after) % 7)
    print(os.WEXITSTATUS(os.waitpid(py_import_fork.child, 0)[1]))
else:
    before = bytearray(300007)  # @before
    child = os.fork()
    inside = bytearray(400009 if child else 700001)  # @inside
    import json.tool  # more of it, in both
