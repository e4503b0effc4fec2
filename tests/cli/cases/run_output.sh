# SPDX-License-Identifier: MIT
# Where the recording goes, and what is never overwritten. Nothing is left behind when the start fails.
try peakline run --quiet -o first true
# An empty file is one that its process did not come to fill in.
touch first/0.7
try peakline run --quiet -o first true
try peakline run --quiet --force -o first true
try test -e first/0.7
mkdir empty && try peakline run --quiet -o empty true
try peakline run --quiet --force -o empty true
echo kept >first/notes.txt
try peakline run --quiet --force -o first true
try cat first/notes.txt
rm first/notes.txt && mkdir first/1.1
try peakline run --quiet --force -o first true
rmdir first/1.1 && touch target && ln -s ../target first/1.1
try peakline run --quiet --force -o first true
rm first/1.1
echo kept >file
try peakline run --quiet --force -o file true
try cat file
ln -s first link
try peakline run --quiet --force -o link true
try peakline run -o missing/parent true
try peakline run -o file/below true
try peakline run -o /proc/recording true
try peakline run -o "$(printf 'x%.0s' $(seq 300))" true
# A start that fails leaves what was there.
before=$(ls first)
head -c 64 /bin/true >damaged && chmod +x damaged
try peakline run --quiet --force -o first ./damaged
[ "$before" = "$(ls first)" ] && echo "as before"
try peakline run --quiet -o second ./damaged
# The default name.
try peakline run --quiet true
try ls
stat -c '%a' first
stat -c '%a' first/* | sort -u
