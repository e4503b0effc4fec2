#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What `make bench` runs. Options: see bench.py --help.
exec /usr/bin/python3 -B "$(dirname "$0")/bench.py" "$@"
