# SPDX-License-Identifier: MIT
# A limit on the size of files that leaves no room for a recording: said at once, and nothing is left behind.
limited() {
    (ulimit -f 100 && exec "$@")
}
try limited peakline run -o small touch started
try ls
