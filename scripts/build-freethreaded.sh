#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds free-threaded interpreters (3.13t, 3.14t, ...) from Debian's source packages, for the test matrix. Debian has
# no package of them. Takes about ten minutes each; not part of the default test run.
#
#   scripts/build-freethreaded.sh [DIRECTORY [VERSION...]]      default: build/pythons 3.13 3.14
#
# Leaves DIRECTORY/VERSIONt/bin/python3. Needs a compiler, libffi-dev and zlib1g-dev. The sources come from the Debian mirror that
# this system's own apt uses, with a package state of its own. What is already there is left alone, if it starts (paths are built in).
set -eu

directory=${1:-$(dirname "$0")/../build/pythons}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- 3.13 3.14
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
    sed -n 's/^Debian|Debian|//p' | head -n 1)
if [ -z "$mirror" ]; then
    echo "build-freethreaded: apt knows no Debian mirror (run apt-get update first)" >&2
    exit 1
fi

state=$directory/.apt/source
mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/etc"
: >"$state/status"
for suite in trixie sid; do
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$state/etc/sources.list"
apt_source() {
    apt-get -q -o Dir::Etc::sourcelist="$state/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State="$state" \
        -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" \
        -o APT::Sandbox::User=root "$@"
}
apt_source update >/dev/null

# From the first release that has the version: its sources change least.
build() {
    version=$1
    target=$directory/${version}t
    if "$target/bin/python3" -c pass 2>/dev/null; then
        echo "${version}t: already there"
        return
    fi
    work=$directory/.source/$version
    rm -rf "$work"
    mkdir -p "$work"
    for suite in trixie sid; do
        (cd "$work" && apt_source source --download-only "python$version/$suite" >/dev/null 2>&1) && break
    done
    if ! ls "$work"/*.orig.tar.?z >/dev/null 2>&1; then
        echo "build-freethreaded: $mirror has no sources of python$version" >&2
        return 1
    fi
    tar -x -f "$work"/*.orig.tar.?z -C "$work" || return 1
    # Without the optimisations that take hours; the structures are the same.
    (
        cd "$work"/Python-*/ &&
            ./configure --quiet --disable-gil --enable-shared --prefix="$target" --without-ensurepip \
                --disable-test-modules LDFLAGS="-Wl,-rpath,$target/lib" >/dev/null &&
            nice make -s -j "$(nproc)" >"$work/make.log" 2>&1 &&
            make -s install >>"$work/make.log" 2>&1
    ) || return 1
    "$target/bin/python3" -c 'import ctypes, asyncio, sysconfig; assert sysconfig.get_config_var("Py_GIL_DISABLED")' || return 1
    rm -rf "$work"
    echo "${version}t: $("$target/bin/python3" -c 'import sys; print(sys.version.split()[0])')"
}

status=0
for version in "$@"; do
    build "$version" || {
        echo "build-freethreaded: $version could not be built" >&2
        status=1
    }
done
exit $status
