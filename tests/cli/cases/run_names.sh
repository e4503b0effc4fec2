# SPDX-License-Identifier: MIT
# Paths that are hard to handle: of the program, of the recording, and of the shim.
program=$'a program \xff\xe4:$ORIGIN'
cp /bin/echo "$program"
try peakline run --quiet "./$program" one
try peakline run --quiet -o $'the \xff recording' "./$program" two
ls peakline-*/ | wc -l
ls $'the \xff recording' | wc -l
for directory in 'with space' 'with:colon' 'with$ORIGIN' $'with\xff'; do
    mkdir "$directory" temporary
    cp "$BUILD/peakline" "$BUILD/libpeakline.so" "$directory"
    TMPDIR=$PWD/temporary try "./$directory/peakline" run --quiet -o "$directory/recording" \
        python3 -c 'import os, subprocess; print(len(os.environ["LD_PRELOAD"].split(":")), flush=True); subprocess.run(["true"])'
    ls "$directory/recording" | wc -l
    rm -r temporary
done
# The link stays, for processes that the program leaves behind, and is used again.
mkdir temporary
for run in 1 2; do
    TMPDIR=$PWD/temporary "with space/peakline" run --quiet -o "$run" true
done
readlink temporary/*/*
# Somebody else's directory is not used, nor a link that leads elsewhere.
link=$(echo temporary/*/*)
ln -sfn "$PWD/with" "$link"
TMPDIR=$PWD/temporary "with space/peakline" run --quiet -o 3 sh -c 'readlink "$LD_PRELOAD"'
chmod 777 temporary/*
TMPDIR=$PWD/temporary "with space/peakline" run --quiet -o 4 sh -c 'readlink "$LD_PRELOAD"'
ls temporary | wc -l
rm -r temporary && mkdir temporary
# Nowhere to link from.
cp "$BUILD/peakline" temporary && try temporary/peakline run true
