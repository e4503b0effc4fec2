# SPDX-License-Identifier: MIT
# What `report` is given and cannot use: one line, exit status 2, and nothing half-written.
try peakline report
mkdir empty && echo text >text && mkdir foreign && echo text >foreign/notes
try peakline report
try peakline report missing
try peakline report ''
try peakline report empty
try peakline report text
try peakline report foreign
peakline run --quiet -o recording sh -c 'x=$(echo child); exit 0'
file=$(ls recording/*.0 | head -n 1)
variant() {
    mkdir "$1" && cp "$file" "$1/1.0"
}
variant other && printf 'NOTPEAKL' | dd of=other/1.0 conv=notrunc status=none
try peakline report other
variant started && head -c 8 /dev/zero | dd of=started/1.0 conv=notrunc status=none
try peakline report started
variant newer && printf '\377' | dd of=newer/1.0 bs=1 seek=8 conv=notrunc status=none
try peakline report newer
for size in 0 7 100 4096 40000; do
    variant "cut-$size" && truncate -s "$size" "cut-$size/1.0"
    try peakline report "cut-$size"
done
try peakline report --format xml recording
try peakline report --sort colour recording
try peakline report --top many recording
try peakline report --pid 0x recording
try peakline report --pid 1 recording
try peakline report --pid 1.2 recording
try peakline report --pid 1.x recording
try peakline report --pid .1 recording
try peakline report --wrong recording
try peakline report --contexts recording
try peakline report recording recording
try peakline report recording --format json -o missing/report.json
try peakline report recording --format json -o empty
try peakline report missing --format json -o report.json
try ls
