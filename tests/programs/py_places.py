# SPDX-License-Identifier: MIT
"""Code that comes from strange places: a zip file, names that are no UTF-8, one and the same name for different code; frozen modules."""
import os
import sys
import zipfile
import zipimport

with zipfile.ZipFile("archive.zip", "w") as archive:
    archive.writestr("packed.py", "def work():\n    return bytearray(600011)\n")
sys.path.insert(0, "archive.zip")
import packed

held = [packed.work()]

os.makedirs(b"d\xff", exist_ok=True)
sys.path.insert(0, os.fsdecode(b"d\xff"))
for name, size in (b"m\xc3\xa9\xfe", 610001), (b"m\xc3\xa9\xfd", 615001):
    with open(b"d\xff/" + name + b".py", "w") as file:
        file.write("kept = bytearray(%d)\n" % size)
    held.append(__import__(os.fsdecode(name)).kept)

for number in range(3):
    # Different programs, with functions of one name on one line of "<string>".
    names = {}
    exec("def work():\n" + "    pass\n" * number + "    return bytearray(%d)" % (620000 + 2 * number), names)
    held.append(names["work"]())
    exec("\n" * 40 + "held.append(bytearray(%d))" % (630000 + 2 * number), {"held": held})

held.append(zipimport.zipimporter("archive.zip"))
print(len(held))
