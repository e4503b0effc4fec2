#!/bin/sh
# SPDX-License-Identifier: MIT
# Executes a notebook under peakline, with `jupyter nbconvert --execute` from PyPI in a virtual environment of its own (some 50
# packages; so it is no part of the tests), and looks for the lines of its cells in the report.
#
#   scripts/try-notebook.sh [DIRECTORY]      default: build/notebook; the environment is made once
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
directory=${1:-$root/build/notebook}
peakline=$root/build/peakline
mkdir -p "$directory"
cd "$directory"
if [ ! -x venv/bin/jupyter-nbconvert ]; then
    python3 -m venv venv
    venv/bin/pip --quiet install nbconvert ipykernel
fi
cat >notebook.ipynb <<'END'
{"cells": [{"cell_type": "code", "id": "a", "execution_count": null, "metadata": {}, "outputs": [], "source": [
   "def load():\n",
   "    return bytearray(6000011)\n",
   "kept = load()\n",
   "print(len(kept))"]}],
 "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
 "nbformat": 4, "nbformat_minor": 5}
END
PATH=$directory/venv/bin:$PATH "$peakline" run --quiet --force -o recording venv/bin/jupyter nbconvert --to notebook --execute \
    notebook.ipynb --output executed.ipynb
grep -q 6000011 executed.ipynb
"$peakline" report recording --format json | python3 -c '
import json, sys
lines = [line for process in json.load(sys.stdin)["processes"] for line in process["lines"] if "ipykernel_" in (line["file"] or "")]
(found,) = [line for line in lines if line["function"] == "load"]
assert found["line"] == 2 and found["self"]["allocated_bytes"] in (6000012 + 56, 6000012), found
print("the cell that allocates: line 2 of its function, to the byte")'
"$peakline" report recording --file "*ipykernel_*/*" | grep "return bytearray(6000011)"
