# SPDX-License-Identifier: MIT
# The program's exit status and streams are its own.
export PEAKLINE_QUIET=1
for status in 0 1 7 125 126 127 255; do
    try peakline run -o "exit-$status" sh -c "exit $status"
done
for signal in HUP INT KILL SEGV TERM USR1; do
    try peakline run -o "signal-$signal" sh -c "kill -$signal \$\$"
done
try peakline run -o streams sh -c 'echo out; echo err >&2; cat' <<<'from standard input'
# Descriptors that are closed stay closed, those that are open stay open, and there are no others.
exec 7</dev/null
list='import os; print([fd for fd in range(256) if os.path.lexists(f"/proc/self/fd/{fd}")], file=open("list", "w"))'
python3 -c "$list" && mv list expected
peakline run -o open python3 -c "$list"
cmp list expected && echo "the same descriptors"
python3 -c "$list" <&- >&- 2>&- && mv list expected
peakline run -o closed python3 -c "$list" <&- >&- 2>&-
cmp list expected && echo "the same descriptors"
# The launcher holds no copy of the program's output: whoever reads it sees its end while the program runs.
mkfifo gate
peakline run -o early sh -c 'exec >&-; read -r line <gate; exit 0' 7<&- | (cat; echo "end of output"; echo go >gate)
# Ignored signals and a signal mask are inherited.
cat >inherited.py <<'END'
import signal
print([s.name for s in (signal.SIGHUP, signal.SIGCHLD, signal.SIGINT) if signal.getsignal(s) == signal.SIG_IGN],
      sorted(s.name for s in signal.pthread_sigmask(signal.SIG_BLOCK, [])))
END
cat >inherit.py <<'END'
import os, signal, sys
for s in (signal.SIGHUP, signal.SIGCHLD):
    signal.signal(s, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
os.execvp(sys.argv[1], sys.argv[1:])
END
try python3 inherit.py peakline run -o inherited python3 inherited.py
try python3 inherit.py peakline run -o inherited-too sh -c 'exit 5'
