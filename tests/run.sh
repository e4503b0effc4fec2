#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Runs the tests and adds them up. Usage: [BUILD=DIRECTORY] tests/run.sh [SUITE…]
#
# A suite is `unit`, whose programs `make check-unit` has built, or a folder beside this file that has a run.sh or
# run.py; bench, which is no test, aside. Without arguments: all. A runner's last line is
# `N passed, N failed`, with `, N skipped` if any; a runner that does not end that way counts as a failure.
# The last line is the same, over all suites; the exit status is 1 when a test failed.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-$PWD/build}
export BUILD
passed=0 failed=0 skipped=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

# The environment of a session that is itself being recorded, or has options set, would change every result.
unset LD_PRELOAD
for variable in $(compgen -e PEAKLINE_ || true); do
    unset "$variable"
done

unit() {
    local program name ok bad skip status
    for program in "$BUILD"/tests/unit/test_*; do
        [ -x "$program" ] && [ -f "$program" ] && [[ $program != *.* ]] || continue
        name=${program##*/}
        CMOCKA_MESSAGE_OUTPUT=tap timeout 300 "$program" >"$log" 2>&1
        status=$?
        ok=$(grep -cE '^ok [0-9]+' "$log")
        skip=$(grep -ciE '^(not )?ok [0-9]+.*# *SKIP' "$log")
        bad=$(grep -cE '^not ok [0-9]+' "$log")
        bad=$((bad - $(grep -ciE '^not ok [0-9]+.*# *SKIP' "$log")))
        ok=$((ok - $(grep -ciE '^ok [0-9]+.*# *SKIP' "$log")))
        # A crash, a time-out, a sanitizer's report.
        if [ $status -ne 0 ] && [ $bad -eq 0 ]; then
            bad=1
        fi
        if [ $bad -ne 0 ] || [ $((ok + skip)) -eq 0 ]; then
            [ $bad -ne 0 ] || bad=1
            sed "s|^|$name: |" "$log"
            echo "FAILED $name (exit status $status)"
        fi
        passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    done
}

suite() {
    local runner last
    for runner in "tests/$1/run.sh" "tests/$1/run.py"; do
        [ -x "$runner" ] || continue
        "$runner" 2>&1 | tee "$log"
        last=$(tail -n 1 "$log")
        if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
            passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
            skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
        else
            echo "FAILED $runner: it did not come to its end"
            failed=$((failed + 1))
        fi
        return
    done
    echo "FAILED $1: no such suite"
    failed=$((failed + 1))
}

if [ $# -eq 0 ]; then
    set -- unit
    for runner in tests/*/run.sh tests/*/run.py; do
        name=$(basename "$(dirname "$runner")")
        case $name in
        bench | unit | '*') ;;
        *) set -- "$@" "$name" ;;
        esac
    done
fi
for name in "$@"; do
    echo "== $name"
    if [ "$name" = unit ]; then
        unit
    else
        suite "$name"
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
