# SPDX-License-Identifier: MIT
"""Signals and job control on a terminal of our own: what the program gets, and what its user's shell sees."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

# Reports each signal that it gets, once; "ready" when it is prepared; ends on SIGTERM with status 9, or after a while.
# Through the wakeup descriptor, because two signals in quick succession are one call of a Python handler.
PROGRAM = """
import os, select, signal, sys
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
signal.signal(signal.SIGINT, signal.SIG_DFL)
for name in sys.argv[1].split(","):
    if name == "moves": os.setpgid(0, 0)
    elif name: signal.signal(getattr(signal, name), lambda number, frame: None)
os.write(1, b"ready %d\\n" % os.getpid())
while select.select([reader], [], [], 30)[0]:
    number, = os.read(reader, 1)
    os.write(1, b"got %s\\n" % signal.Signals(number).name.encode())
    if number == signal.SIGTERM: sys.exit(9)
"""


def shell():
    """A shell with job control, as far as needed: runs one job, in the foreground; `fg` when it has stopped."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "exit":
            return
        if words[0] == "fg":
            os.tcsetpgrp(0, job)
            os.killpg(job, signal.SIGCONT)
        else:
            job = os.fork()
            if job == 0:
                os.setpgid(0, 0)
                os.tcsetpgrp(0, os.getpid())
                signal.signal(signal.SIGTTOU, signal.SIG_DFL)
                if words[0] == "nohup":
                    signal.signal(signal.SIGHUP, signal.SIG_IGN)
                os.execvp("peakline", ["peakline", "run", "--quiet", "-o", f"recording-{os.getpid()}", sys.executable, "-c", PROGRAM,
                                       words[1] if len(words) > 1 else ""])
            print("job", job, flush=True)
        _, status = os.waitpid(job, os.WUNTRACED)
        os.tcsetpgrp(0, os.getpgrp())
        if os.WIFSTOPPED(status):
            print("stopped by", signal.Signals(os.WSTOPSIG(status)).name, flush=True)
        else:
            print("status", os.waitstatus_to_exitcode(status), flush=True)


if sys.argv[1:] == ["shell"]:
    shell()
    sys.exit()

try:
    shell_pid, terminal = pty.fork()
except OSError as error:
    with open(os.path.join(os.environ["SCRATCH"], "skipped"), "w") as file:
        file.write(f"no terminals here ({error})")
    sys.exit(77)
if shell_pid == 0:
    os.execv(sys.executable, [sys.executable, __file__, "shell"])
# No echo, and no translation of the ends of lines: what is read is what was written.
attributes = termios.tcgetattr(terminal)
attributes[1] &= ~termios.OPOST
attributes[3] &= ~termios.ECHO
termios.tcsetattr(terminal, termios.TCSANOW, attributes)
seen = ""


def expect(pattern):
    """Reads until a line matches; returns the match."""
    global seen
    end = time.time() + 20
    while True:
        match = re.search(f"^{pattern}\n", seen, re.M)
        if match:
            passed, seen = seen[:match.end()], seen[match.end():]
            for line in passed.splitlines():
                print("  ", re.sub(r"\d{2,}", "N", line) if line.startswith(("ready", "job")) else line)
            return match
        if time.time() > end:
            raise TimeoutError(f"{pattern!r} was not in {seen!r}")
        seen += os.read(terminal, 4096).decode()


def type_in(text):
    os.write(terminal, text.encode())


def start(what, command):
    print(what, flush=True)
    type_in(command + "\n")
    launcher = int(expect(r"job (\d+)").group(1))
    return launcher, int(expect(r"ready (\d+)").group(1))


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        letter = file.read().rpartition(")")[2].split()[0]
    return {"T": "stopped", "Z": "dead"}.get(letter, "alive")


def settle():
    """Gives a signal that should not come the time to come."""
    global seen
    time.sleep(0.3)
    while select.select([terminal], [], [], 0)[0]:
        seen += os.read(terminal, 4096).decode()


launcher, program = start("kill, at peakline: passed on, once", "run SIGTERM,SIGHUP,SIGINT,SIGUSR1,SIGUSR2,SIGWINCH,SIGCONT,SIGRTMIN")
for name in "SIGHUP", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT", "SIGRTMIN", "SIGTERM":
    os.kill(launcher, getattr(signal, name))
    expect(f"got {name}")
    settle()
expect("status 9")

launcher, program = start("kill, at the whole group: once", "run SIGTERM,SIGHUP,SIGINT,SIGUSR1,SIGWINCH,SIGCONT,SIGRTMIN")
for name in "SIGHUP", "SIGINT", "SIGUSR1", "SIGWINCH", "SIGCONT", "SIGRTMIN":
    os.killpg(launcher, getattr(signal, name))
    expect(f"got {name}")
    settle()
print("   mixed, queued")
for send in os.kill, os.killpg, os.killpg, os.kill:
    send(launcher, signal.SIGRTMIN)
for _ in range(4):
    expect("got SIGRTMIN")
settle()
print("   stopped and continued, the launcher alone and the whole group")
os.killpg(launcher, signal.SIGSTOP)
expect("stopped by SIGSTOP")
os.kill(launcher, signal.SIGCONT)
expect("got SIGCONT")
for send in os.kill, os.killpg:
    send(launcher, signal.SIGUSR1)
    expect("got SIGUSR1")
    settle()
print("   states", state(launcher), state(program))
os.killpg(launcher, signal.SIGTERM)
expect("got SIGTERM")

launcher, program = start("kill, at the whole group, which the program has left: once", "run moves,SIGTERM,SIGUSR1")
for send in os.kill, os.killpg:
    send(launcher, signal.SIGUSR1)
    expect("got SIGUSR1")
    settle()
os.killpg(launcher, signal.SIGTERM)
expect("got SIGTERM")
expect("status 9")

launcher, program = start("keyboard, handled: once, and peakline survives", "run SIGTERM,SIGINT,SIGQUIT,SIGTSTP,SIGWINCH")
for key, name in ("\x03", "SIGINT"), ("\x1c", "SIGQUIT"), ("\x1a", "SIGTSTP"):
    type_in(key)
    expect(f"got {name}")
    settle()
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
expect("got SIGWINCH")
settle()
print("   states", state(launcher), state(program))
os.kill(program, signal.SIGTERM)
expect("status 9")

start("keyboard, not handled", "run")
type_in("\x03")
expect("status 130")
start("", "run")
type_in("\x1c")
expect("status 131")

launcher, program = start("Ctrl-Z, fg, Ctrl-Z, fg", "run SIGTERM,SIGCONT")
for _ in range(2):
    type_in("\x1a")
    expect("stopped by SIGTSTP")
    print("   states", state(launcher), state(program))
    type_in("fg\n")
    expect("got SIGCONT")
    settle()
os.kill(launcher, signal.SIGTERM)
expect("status 9")

launcher, program = start("the program alone is stopped, and continued", "run SIGTERM")
os.kill(program, signal.SIGSTOP)
expect("stopped by SIGSTOP")
type_in("fg\n")
os.kill(launcher, signal.SIGTERM)
expect("status 9")

launcher, program = start("nohup", "nohup SIGTERM")
os.kill(launcher, signal.SIGHUP)
settle()
os.kill(launcher, signal.SIGTERM)
expect("status 9")

launcher, program = start("peakline is killed, and the program lives on", "run SIGTERM")
os.kill(launcher, signal.SIGKILL)
expect("status -9")
print("   states", state(program))
os.kill(program, signal.SIGTERM)
expect("got SIGTERM")

launcher, program = start("the terminal goes away", "run")
os.close(terminal)
os.kill(shell_pid, signal.SIGKILL)
os.waitpid(shell_pid, 0)
for pid in launcher, program:
    for _ in range(100):
        try:
            if state(pid) == "dead":
                break
        except FileNotFoundError:
            break
        time.sleep(0.1)
    else:
        print("   still running:", pid)
