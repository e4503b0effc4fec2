#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what is missing, builds, runs a model evaluation (scripts/demo_evaluate.py) under `peakline run`, and prints
# the table of its functions. The recording stays in build/demo/.
set -eu
cd "$(dirname "$0")/.."
export BUILD=${BUILD:-build}
# The distribution's interpreter, which has pandas and scikit-learn; not one that happens to be in PATH before it.
export PATH="/usr/bin:$PATH"
scripts/setup.sh build demo
make -s -j "$(nproc)" </dev/null
mkdir -p "$BUILD/demo"
python3 scripts/demo_evaluate.py --generate "$BUILD/demo/measurements.csv"

# show COMMAND…: what a user would type, and what comes of it.
show() {
    printf '\n$ %s\n' "$*"
    "$@"
}
show "$BUILD/peakline" run --force -o "$BUILD/demo/recording" python3 scripts/demo_evaluate.py \
    "$BUILD/demo/measurements.csv"
show "$BUILD/peakline" report "$BUILD/demo/recording" --file demo_evaluate.py
