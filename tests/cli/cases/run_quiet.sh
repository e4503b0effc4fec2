# SPDX-License-Identifier: MIT
# The summary at the end, and what --quiet and --no-follow change.
children() {
    peakline run --quiet -o "$1" $2 sh -c '/bin/true; /bin/true; exit 0'
    ls "$1" | wc -l
}
children family
children alone --no-follow
try peakline run --quiet -o quiet true
peakline run -o loud python3 -c 'kept = bytearray(3000017)' 2>summary
[ -s summary ] && grep -c loud summary
# A program that replaces itself by one that cannot record says so.
echo 'int main(void) { return 3; }' >program.c && gcc -static -o static program.c
try peakline run --quiet -o replaced sh -c 'exec ./static'
