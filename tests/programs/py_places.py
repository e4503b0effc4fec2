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
with open(b"d\xff/m\xc3\xa9\xfe.py", "w") as file:
    file.write("kept = bytearray(610001)\n")
sys.path.insert(0, os.fsdecode(b"d\xff"))
held.append(__import__(os.fsdecode(b"m\xc3\xa9\xfe")).kept)

for number in range(3):
    # Different programs, with functions of one name on one line of "<string>".
    names = {}
    exec("def work():\n" + "    pass\n" * number + "    return bytearray(%d)" % (620000 + 2 * number), names)
    held.append(names["work"]())
    exec("held.append(bytearray(%d))" % (630000 + 2 * number), {"held": held})

held.append(zipimport.zipimporter("archive.zip"))
print(len(held))
