#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Compiles the target programs into DIRECTORY, two at a time, those whose source (or this script, or a header here) is newer.
# Usage: tests/programs/build.sh DIRECTORY
#
# Each source file is one program of the same name. Comments in it may say otherwise:
#   // cflags: FLAGS     more compiler flags; $OUT is DIRECTORY
#   // output: NAME      what the result is called
#   // also: NAME FLAGS  a second result, with these flags as well
set -eu
cd "$(dirname "$0")"
mkdir -p "$1"
OUT=$(cd "$1" && pwd)
export OUT

build() {
    source=$1
    name=$(sed -n 's|^// output: ||p' "$source")
    name=${name:-${source%.*}}
    if [ -e "$OUT/$name" ] && [ -z "$(find "$source" build.sh ./*.h -newer "$OUT/$name")" ]; then
        return 0
    fi
    more=$(sed -n 's|^// cflags: ||p' "$source")
    # The flags may name $OUT, whose path may hold spaces.
    flags=()
    for flag in $more; do
        flags+=("${flag//\$OUT/$OUT}")
    done
    case $source in
    *.cpp) compiler=(${CXX:-g++} -std=gnu++17) ;;
    *) compiler=(${CC:-gcc} -std=gnu11) ;;
    esac
    "${compiler[@]}" -D_GNU_SOURCE -O0 -g -fno-builtin -pthread -Wall -Wextra -Wno-alloc-size-larger-than \
        -o "$OUT/$name.new" "$source" "${flags[@]}"
    sed -n 's|^// also: ||p' "$source" | while read -r other options; do
        # shellcheck disable=SC2086
        "${compiler[@]}" -D_GNU_SOURCE -O0 -g -fno-builtin -o "$OUT/$other" "$source" "${flags[@]}" $options
    done
    mv "$OUT/$name.new" "$OUT/$name"
}

if [ "${2-}" = --one ]; then
    build "$3"
    exit
fi
# Libraries first: programs link with them.
for sources in "$(grep -l '^// output: lib' ./*.c ./*.cpp || true)" "$(grep -L '^// output: lib' ./*.c ./*.cpp || true)"; do
    printf '%s\n' $sources | sed 's|^\./||' | xargs -r -P 2 -n 1 ./build.sh "$OUT" --one
done
