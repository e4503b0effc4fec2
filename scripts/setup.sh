#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs what is missing, and says what. Usage: scripts/setup.sh [build] [demo] [tests] [develop] [bench]
#
#   build    what `make` needs (the default)
#   demo     what scripts/demo.sh needs beside it
#   tests    what the tests need
#   develop  what `make lint` and `make fuzz` need
#   bench    the programs that `make bench` runs and the tools that it compares; with `demo`, its Python programs, too
#
# On Debian and Ubuntu it calls apt-get, with sudo when it is not run by root. Elsewhere it prints the command for that
# system and stops if a tool is missing. Running it again is quick and changes nothing.
set -eu

sets=${*:-build}

# The same thing under each system's name. Fedora's and Arch's lists are UNTESTED.
packages() {
    case $1-$2 in
    debian-build)
        echo gcc g++ make libc6-dev libunwind-dev uthash-dev libdw-dev libelf-dev libiberty-dev
        ;;
    debian-demo) echo python3 python3-numpy python3-pandas python3-sklearn ;;
    debian-tests)
        echo libcmocka-dev python3 python3-dev python3-numpy python3-pandas python3-sklearn python3-jsonschema \
            btrfs-progs gfortran libcap2-bin libjemalloc2 libtcmalloc-minimal4 libmimalloc2.0 musl-tools python3-greenlet python3-venv
        ;;
    debian-develop) # older releases have the sanitizers' runtime in clang itself
        echo clang clang-format clang-tidy cppcheck
        ! apt-cache show libclang-rt-dev >/dev/null 2>&1 || echo libclang-rt-dev ;;
    debian-bench) echo heaptrack valgrind sqlite3 redis-server redis-tools perl python3-venv ;;
    fedora-build)
        echo gcc gcc-c++ make glibc-devel libunwind-devel uthash-devel elfutils-devel elfutils-libelf-devel binutils-devel
        ;;
    fedora-demo) echo python3 python3-numpy python3-pandas python3-scikit-learn ;;
    fedora-tests)
        echo libcmocka-devel python3 python3-devel python3-numpy python3-pandas python3-scikit-learn \
            python3-jsonschema btrfs-progs gcc-gfortran libcap jemalloc gperftools-libs mimalloc musl-gcc python3-greenlet
        ;;
    fedora-develop) echo clang clang-tools-extra cppcheck ;;
    fedora-bench) echo heaptrack valgrind sqlite redis perl ;;
    arch-build) echo gcc make libunwind uthash libelf binutils ;;
    arch-demo) echo python python-numpy python-pandas python-scikit-learn ;;
    arch-tests) echo cmocka python python-numpy python-pandas python-scikit-learn python-jsonschema btrfs-progs gcc-fortran libcap jemalloc \
        gperftools mimalloc musl python-greenlet ;;
    arch-develop) echo clang cppcheck ;;
    arch-bench) echo heaptrack valgrind sqlite redis perl ;;
    *)
        echo "setup.sh: unknown set '$2'; the sets are build, demo, tests, develop and bench" >&2
        return 2
        ;;
    esac
}

for set in $sets; do
    packages debian "$set" >/dev/null
done

# list SYSTEM: what it calls the packages of all the sets.
list() {
    for set in $sets; do
        packages "$1" "$set"
    done | tr ' ' '\n' | sort -u
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "setup.sh: packages are missing and there is no sudo; run as root: $*" >&2
        exit 1
    fi
}

setup_debian() {
    missing=
    for package in $(list debian); do
        status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
        [ "$status" = "install ok installed" ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "setup.sh: installing$missing"
    # Quiet, but for errors: what apt says of a hundred packages would hide everything else.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >/dev/null
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing \
        </dev/null >/dev/null
}

setup_other() {
    echo "setup.sh: this is no Debian or Ubuntu: install these yourself (the list is untested): $2 $(list "$1" | tr '\n' ' ')"
    for tool in gcc make; do
        command -v $tool >/dev/null || exit 1
    done
}

if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
    setup_debian
elif command -v dnf >/dev/null; then
    setup_other fedora "dnf install"
elif command -v pacman >/dev/null; then
    setup_other arch "pacman -S --needed"
else
    echo "setup.sh: no apt-get, dnf or pacman here; on Debian one would install: $(list debian | tr '\n' ' ')"
fi
