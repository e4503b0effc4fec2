#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Golden tests of the command line. Usage: [BUILD=DIRECTORY] tests/cli/run.sh [--update] [CASE…]
#
# A case is a script cases/NAME.sh (or .py); what it prints must be cases/NAME.golden. --update writes the golden files
# anew: look at the difference before you commit it. A case runs in an empty directory of its own, with peakline in
# PATH and this vocabulary:
#
#   try COMMAND…   shows the command, what it writes to standard output and (after "! ") to standard error, and its
#                  exit status
#   skip WHY       ends the case as skipped; what it printed so far is not compared
#   $HERE          the folder of the cases
#
# Directories, process ids and times are replaced by names before the comparison. The last line is
# `N passed, N failed, N skipped`.
set -u
HERE=$(cd "$(dirname "$0")/cases" && pwd)
BUILD=$(cd "${BUILD:-$HERE/../../../build}" && pwd) || exit 1
export HERE BUILD LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PATH="$BUILD:/usr/bin:/bin:$PATH"
unset LD_PRELOAD
for variable in $(compgen -e PEAKLINE_ || true); do
    unset "$variable"
done
# The directory that holds the cases' own; its parents may be closed to other users, some cases are several.
SCRATCH=$(mktemp -d) || exit 1
chmod 755 "$SCRATCH"
trap 'rm -rf "$SCRATCH"' EXIT

try() {
    local status
    printf '$ %s\n' "$*"
    "$@" >"$SCRATCH/stdout" 2>"$SCRATCH/stderr"
    status=$?
    cat "$SCRATCH/stdout"
    sed 's/^/! /' "$SCRATCH/stderr"
    [ $status -eq 0 ] || echo "=> $status"
}
skip() {
    echo "$*" >"$SCRATCH/skipped"
    exit 77
}
export -f try skip
export SCRATCH

normalise() {
    LC_ALL=C sed -E -e "s|$SCRATCH/case|/CASE|g" -e "s|$SCRATCH|/SCRATCH|g" -e "s|$BUILD|/BUILD|g" \
        -e 's/(peakline-[^ /]*-)[0-9]+/\1PID/g'
}

update=no
if [ "${1-}" = --update ]; then
    update=yes
    shift
fi
[ $# -gt 0 ] || set -- "$HERE"/*.sh "$HERE"/*.py
passed=0 failed=0 skipped=0
for script in "$@"; do
    name=$(basename "${script%.*}")
    script=$(ls "$HERE/$name".sh "$HERE/$name".py 2>/dev/null | head -n 1)
    mkdir "$SCRATCH/case"
    case $script in
    *.py) command=(python3 "$script") ;;
    *) command=(bash "$script") ;;
    esac
    (cd "$SCRATCH/case" && exec timeout 120 "${command[@]}" </dev/null) >"$SCRATCH/raw" 2>&1
    status=$?
    normalise <"$SCRATCH/raw" >"$SCRATCH/output"
    rm -rf "$SCRATCH/case"
    if [ $status -eq 77 ]; then
        skipped=$((skipped + 1))
        echo "skipped $name: $(cat "$SCRATCH/skipped")"
    elif [ $status -ne 0 ]; then
        failed=$((failed + 1))
        echo "FAILED $name: exit status $status"
        cat "$SCRATCH/output"
    elif [ $update = yes ]; then
        cp "$SCRATCH/output" "$HERE/$name.golden"
        passed=$((passed + 1))
    elif diff -u --label "$name.golden" --label "$name, now" "$HERE/$name.golden" "$SCRATCH/output"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name"
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
