# SPDX-License-Identifier: MIT
# Options, from the command line and from the environment, as the shim gets to see them.
cat >show <<'END'
echo $PEAKLINE_PYTHON_OBJECTS $PEAKLINE_NATIVE $PEAKLINE_FREES $PEAKLINE_FOLLOW $PEAKLINE_MAX_SIZE
echo $PEAKLINE_OUTPUT
[ $PEAKLINE_ROOT = $$ ] && echo root
END
export PEAKLINE_QUIET=1
try peakline run sh show
try peakline run --python-objects=off --native --frees --no-follow --max-size=1G -o a sh show
PEAKLINE_PYTHON_OBJECTS=sampled PEAKLINE_NATIVE=yes PEAKLINE_FREES=1 PEAKLINE_NO_FOLLOW=on PEAKLINE_MAX_SIZE=1MiB \
    PEAKLINE_RECORDING="$PWD/b/" try peakline run sh show
# The command line has the last word.
PEAKLINE_PYTHON_OBJECTS=sampled PEAKLINE_NATIVE=yes PEAKLINE_MAX_SIZE=2m PEAKLINE_RECORDING=nowhere/at/all \
    try peakline run --python-objects exact --native=no --max-size 1048576 -oc sh show
# Options of the program are the program's.
try peakline run -o d echo -o e --quiet -- --help
try peakline run -o e -- echo -- -h
# What is preloaded already stays, behind the shim. Inside another run nothing is added twice.
LD_PRELOAD=libm.so.6 try peakline run -o f sh -c 'echo "$LD_PRELOAD"'
try peakline run -o g peakline run -o h sh -c 'echo "$LD_PRELOAD $PEAKLINE_OUTPUT"'
# Python finds ours first, then what it would have found.
PYTHONPATH= try peakline run -o i sh -c 'echo "$PYTHONPATH"'
PYTHONPATH='a place:' try peakline run -o j peakline run -o k sh -c 'echo "$PYTHONPATH"'
try ls
