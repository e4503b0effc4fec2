#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds each fuzz target with the sanitizers and runs it.
#
#   CLANG=… FLAGS=… LIBS=… tests/fuzz/run.sh DIRECTORY SECONDS SOURCE…    with libFuzzer, for so long: `make fuzz`
#   [BUILD=DIRECTORY] tests/fuzz/run.sh                                   all on the inputs that are here (replay.c): `make check`
#
# A target names what it is linked with (`// needs: reporter/reader.c …`), and may bring inputs to start from in
# tests/fuzz/corpus/NAME/. What the fuzzer finds stays in DIRECTORY/NAME.corpus; what crashes, in DIRECTORY/NAME.crash-*.
set -u
cd "$(dirname "$0")/../.." || exit 1
if [ $# -gt 0 ]; then
    directory=$1 seconds=$2
    shift 2
    compiler="$CLANG $FLAGS -fsanitize=fuzzer,address,undefined" driver=
else
    directory=${BUILD:-build}/replay seconds=0
    set -- tests/fuzz/fuzz_*.c
    compiler="${CC:-gcc} -std=gnu11 -I. -D_GNU_SOURCE -DPEAKLINE_VERSION='\"test\"' -fsanitize=address,undefined"
    driver=tests/fuzz/replay.c LIBS='-ldw -lelf -lstdc++ -liberty'
fi
mkdir -p "$directory"
passed=0 failed=0
for source in "$@"; do
    name=$(basename "$source" .c)
    needs=$(sed -n 's,^// needs: *,,p' "$source" | tr '\n' ' ')
    # The compiler, LIBS and needs are lists of words; VERSION's quotes need the shell to take them off.
    if ! eval "$compiler -O1 -g -fno-sanitize-recover=all -o '$directory/$name' '$source' $driver $needs $LIBS"; then
        echo "FAILED $name: it does not build"
        failed=$((failed + 1))
        continue
    fi
    inputs=()
    [ -d "tests/fuzz/corpus/$name" ] && inputs+=("tests/fuzz/corpus/$name")
    if [ -z "$driver" ]; then
        mkdir -p "$directory/$name.corpus"
        set_of="-max_total_time=$seconds -artifact_prefix=$directory/$name.crash- -print_final_stats=1 -verbosity=0"
        # shellcheck disable=SC2086 # words
        "$directory/$name" $set_of "$directory/$name.corpus" "${inputs[@]}"
    else
        "$directory/$name" "${inputs[@]}"
    fi
    if [ $? -eq 0 ]; then
        passed=$((passed + 1))
    else
        echo "FAILED $name"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
