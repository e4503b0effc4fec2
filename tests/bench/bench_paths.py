# SPDX-License-Identifier: MIT
"""Where things are, for the parts of bench.py."""
import os

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
NATIVE = os.path.join(BUILD, "tests", "bench")
