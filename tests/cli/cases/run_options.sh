# SPDX-License-Identifier: MIT
# Wrong options of `run`: one line, exit status 125, and nothing is started.
try peakline run
try peakline run --
try peakline run --quiet
try peakline run --maxsize 3 touch started
try peakline run --wrong touch started
try peakline run -x touch started
try peakline run --python-objects=some touch started
try peakline run --python-objects
try peakline run -o
try peakline run -o '' touch started
try peakline run --quiet=maybe touch started
try peakline run --max-size=1 touch started
try peakline run --max-size=2G touch started
try peakline run --max-size=1.5M touch started
try peakline run --max-size=16Q touch started
try peakline run --max-size=-16M touch started
try peakline run --max-size=99999999999999999999 touch started
try peakline run --max-size=18014398509481985K touch started
PEAKLINE_MAX_SIZE=huge try peakline run touch started
PEAKLINE_PYTHON_OBJECTS=none try peakline run touch started
PEAKLINE_NATIVE=perhaps try peakline run touch started
try ls
