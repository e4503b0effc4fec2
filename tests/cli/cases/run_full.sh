# SPDX-License-Identifier: MIT
# A file system that is full at the start, and one that fills up on the way: the program does not notice.
[ "$(id -u)" = 0 ] || skip "needs root, to mount a small file system"
mkdir full filling
mount -t tmpfs -o size=64k tmpfs full 2>/dev/null || skip "mounting is not allowed here"
trap 'umount full filling 2>/dev/null' EXIT
mount -t tmpfs -o size=640k tmpfs filling
try peakline run -o full/recording touch started
try ls full
cat >program.py <<'END'
import json, re, decimal, email.message, http.client, unittest, xml.dom.minidom, argparse, asyncio
kept = [bytearray(1000 + i) for i in range(1000)]
print("done", len(kept))
END
# What else is in there leaves little more than the start of a recording.
head -c 256k /dev/zero >filling/ballast
try peakline run --quiet -o filling/recording python3 program.py
peakline report filling/recording --format json >report.json
python3 - <<'END'
import json
process, = json.load(open("report.json"))["processes"]
print("events lost:", process["totals"]["lost_events"] > 0, "| peak:", process["totals"]["peak_bytes"] > 1_400_000)
END
