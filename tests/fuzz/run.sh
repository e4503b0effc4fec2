#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds each fuzz target with libFuzzer and the sanitizers and runs it. Called by `make fuzz`:
#   CLANG=… FLAGS=… LIBS=… tests/fuzz/run.sh DIRECTORY SECONDS SOURCE…
#
# A target names what it is linked with (`// needs: reporter/reader.c …`), and may bring inputs to start from in
# tests/fuzz/corpus/NAME/. What the fuzzer finds stays in DIRECTORY/NAME.corpus; what crashes, in DIRECTORY/NAME.crash-*.
set -u
directory=$1 seconds=$2
shift 2
passed=0 failed=0
for source in "$@"; do
    name=$(basename "$source" .c)
    needs=$(sed -n 's,^// needs: *,,p' "$source" | tr '\n' ' ')
    mkdir -p "$directory/$name.corpus"
    # FLAGS, LIBS and needs are lists of words; VERSION's quotes in FLAGS need the shell to take them off.
    if ! eval "$CLANG $FLAGS -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
        -o '$directory/$name' '$source' $needs $LIBS"; then
        echo "FAILED $name: it does not build"
        failed=$((failed + 1))
        continue
    fi
    inputs=("$directory/$name.corpus")
    [ -d "tests/fuzz/corpus/$name" ] && inputs+=("tests/fuzz/corpus/$name")
    if "$directory/$name" -max_total_time="$seconds" -artifact_prefix="$directory/$name.crash-" -print_final_stats=1 \
        -verbosity=0 "${inputs[@]}"; then
        passed=$((passed + 1))
    else
        echo "FAILED $name"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
