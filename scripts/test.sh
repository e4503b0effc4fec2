#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what is missing, builds, and runs every test. Ends with `N passed, N failed, N skipped`; exit status 1 when a
# test failed. Meant for a fresh clone as well as for CI; nothing is read from standard input.
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh build tests
make -j "$(nproc)" </dev/null
exec make --no-print-directory check </dev/null
