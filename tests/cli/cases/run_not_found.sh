# SPDX-License-Identifier: MIT
# Programs that cannot be executed: exit status 127 or 126, and nothing is left behind.
mkdir folder
printf '#!/usr/bin/env python3\n' >script.py
printf '#!/no/such/interpreter\n' >orphan
printf '#! %s/script.py -x\n' "$PWD" >stepchild
printf '#!%s/orphan\n' "$PWD" >chain
printf 'echo "$0 says $*"\n' >bare
chmod +x orphan stepchild chain bare
try peakline run no-such-program
try peakline run ./no-such-program
try peakline run script.py/below
try peakline run ''
try peakline run ./folder
try peakline run /dev/null
try peakline run ./script.py
try peakline run ./orphan
try peakline run ./stepchild
try peakline run ./chain
PATH=$PWD:$PATH try peakline run script.py
try peakline run -o named no-such-program
try peakline run $'a\nb\xff\e[1m'
try peakline run --quiet -o recording ./bare words
try ls
