#!/bin/sh
# SPDX-License-Identifier: MIT
# Fetches interpreters newer than this system's from Debian's later releases, for the test matrix: CPython 3.13 of
# trixie and every python3.N of sid, each unpacked (not installed) with the libraries that it needs.
#
#   scripts/fetch-pythons.sh [DIRECTORY]      default: build/pythons
#
# Leaves DIRECTORY/NAME/python, a script that runs the interpreter with the loader and libraries of its own release
# (PRELOAD names what to preload), and DIRECTORY/NAME/root with the unpacked packages, headers included. The interpreter
# there, DIRECTORY/NAME/root/usr/bin/python3.N, is made to find its loader and libraries by itself, too.
# It asks the Debian mirror that this system's own apt uses, with a package state of its own: nothing of the system
# changes. An interpreter that is already there is left alone, unless it does not start: paths are built in, and DIRECTORY may
# have been moved.
set -eu

directory=${1:-$(dirname "$0")/../build/pythons}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
    sed -n 's/^Debian|Debian|//p' | head -n 1)
if [ -z "$mirror" ]; then
    echo "fetch-pythons: apt knows no Debian mirror (run apt-get update first)" >&2
    exit 1
fi

# apt_in SUITE ARGUMENTS...: apt-get with a state of its own for that suite.
apt_in() {
    apt_suite=$1
    shift
    apt_state=$directory/.apt/$apt_suite
    mkdir -p "$apt_state/lists/partial" "$apt_state/cache/archives/partial" "$apt_state/etc"
    : >"$apt_state/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $apt_suite main" \
        >"$apt_state/etc/sources.list"
    apt_tool=$1
    shift
    "$apt_tool" -q -o Dir::Etc::sourcelist="$apt_state/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State="$apt_state" -o Dir::State::lists="$apt_state/lists" -o Dir::State::status="$apt_state/status" \
        -o Dir::Cache="$apt_state/cache" -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Sandbox::User=root -o APT::Architecture=amd64 "$@"
}

# This system's patchelf, unpacked, too.
patchelf=$directory/.apt/patchelf/usr/bin/patchelf
if [ ! -x "$patchelf" ]; then
    mkdir -p "$directory/.apt/patchelf"
    (cd "$directory/.apt/patchelf" && apt-get -q -o APT::Sandbox::User=root download patchelf >/dev/null && dpkg-deb -x patchelf_*.deb .)
fi

# fetch SUITE VERSION: VERSION is like 3.14.
fetch() {
    suite=$1 version=$2
    name=$suite-$version
    target=$directory/$name
    if "$target/python" -c pass 2>/dev/null; then
        echo "$name: already there"
        return
    fi
    rm -rf "$target"
    mkdir -p "$target/debs" "$target/root"
    # Releases differ in the names of a few libraries: take those that exist.
    wanted="python$version-minimal libpython$version-minimal libpython$version-stdlib libpython$version
        libpython$version-dev libc6 libgcc-s1 libexpat1 zlib1g libssl3 libssl3t64 libffi8 libzstd1 liblzma5
        libbz2-1.0 libsqlite3-0 libstdc++6 libuuid1"
    # shellcheck disable=SC2086
    packages=$(apt_in "$suite" apt-cache policy $wanted |
        awk '/^[^ ]/ { name = $1; sub(":$", "", name) } $1 == "Candidate:" && $2 != "(none)" { print name }')
    # shellcheck disable=SC2086
    (cd "$target/debs" && apt_in "$suite" apt-get download $packages >/dev/null) || return 1
    # A release with a merged /usr still has packages with files in /lib: unpack those into usr/lib.
    mkdir -p "$target/root/usr/lib" "$target/root/usr/lib64"
    ln -s usr/lib "$target/root/lib"
    ln -s usr/lib64 "$target/root/lib64"
    for package in "$target"/debs/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$target/root" || return 1
    done
    rm -rf "$target/debs"
    libraries=$target/root/usr/lib/x86_64-linux-gnu
    "$patchelf" --set-interpreter "$libraries/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$libraries" \
        "$target/root/usr/bin/python$version" || return 1
    cat >"$target/python.new" <<END
#!/bin/sh
export PYTHONHOME='$target/root/usr'
exec '$libraries/ld-linux-x86-64.so.2' --library-path '$libraries' \${PRELOAD:+--preload "\$PRELOAD"} \\
    '$target/root/usr/bin/python$version' "\$@"
END
    chmod +x "$target/python.new"
    "$target/python.new" -c 'import sys, json, ctypes; print(sys.version)' >/dev/null || return 1
    mv "$target/python.new" "$target/python"
    echo "$name: $("$target/python" -c 'import sys; print(sys.version.split()[0])')"
}

for suite in trixie sid; do
    apt_in "$suite" apt-get update >/dev/null
    # shellcheck disable=SC2016
    for version in $(apt_in "$suite" apt-cache pkgnames python3. |
        sed -n 's/^python\(3\.[0-9]*\)-minimal$/\1/p' | sort -t. -k2n -u); do
        fetch "$suite" "$version" || echo "fetch-pythons: $suite $version could not be fetched" >&2
    done
done
