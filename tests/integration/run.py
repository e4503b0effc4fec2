#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the integration tests. Usage: tests/integration/run.py [-k GLOB] [--jobs N] [--list]

Each test has a process, a session, an empty working directory and a time limit of its own, so that a deadlock is a failure and nothing
else. GLOB matches `file::test[case]`, or a part of it. The last line is `N passed, N failed, N skipped`.
"""
import argparse
import fnmatch
import glob
import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
# What was started in the background ignores it, and so would all that is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

LIMIT = 60  # seconds for one test
PASSED, FAILED, SKIPPED = 0, 1, 77


def collect(pattern):
    tests = []
    for path in sorted(glob.glob(os.path.join(harness.HERE, "test_*.py"))):
        module = importlib.import_module(os.path.basename(path)[:-3])
        for name, function in vars(module).items():
            if not name.startswith("test_") or not callable(function):
                continue
            for case in getattr(function, "cases", [()]):
                arguments = case if isinstance(case, tuple) else (case,)
                label = "%s::%s" % (module.__name__[5:], name[5:])
                if arguments:
                    label += "[%s]" % ",".join(str(argument) for argument in arguments)
                if pattern is None or fnmatch.fnmatchcase(label, pattern) or fnmatch.fnmatchcase(label, "*" + pattern + "*"):
                    tests.append((label, function, arguments))
    return tests


def run_here(function, arguments, directory):
    """The life of a test process."""
    os.setsid()
    os.chdir(directory)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(os.path.join(directory, "..", os.path.basename(directory) + ".log"), "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            function(*arguments)
            status = PASSED
        except harness.Skip as why:
            print(why)
            status = SKIPPED
        except BaseException:
            traceback.print_exc()
            status = FAILED
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-k", metavar="GLOB", help="only the tests whose name matches")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="name the tests and stop")
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="name the N slowest tests at the end")
    options = parser.parse_args()
    tests = collect(options.k)
    if options.list:
        print("\n".join(label for label, _, _ in tests))
        return 0
    if not (os.path.exists(harness.PEAKLINE) and os.path.exists(harness.SHIM)):
        print("nothing to test in %s: run make first\n0 passed, 1 failed, 0 skipped" % harness.BUILD)
        return 1
    programs = os.path.join(harness.BUILD, "tests", "programs")
    if subprocess.run([os.path.join(harness.SOURCES, "build.sh"), programs]).returncode != 0:
        print("the target programs do not compile\n0 passed, 1 failed, 0 skipped")
        return 1
    harness.validator()
    root = tempfile.mkdtemp(prefix="peakline-integration-")
    waiting = list(enumerate(tests))[::-1]
    running = {}
    counts = {PASSED: 0, FAILED: 0, SKIPPED: 0}
    durations = []

    def finish(pid, status):
        index, label, started, _ = running.pop(pid)
        durations.append((time.monotonic() - started, label))
        harness.kill_group(pid)
        with open(os.path.join(root, "%d.log" % index), errors="replace") as log:
            output = log.read()
        if os.WIFSIGNALED(status):
            verdict = FAILED
            output += "ended by signal %d%s\n" % (os.WTERMSIG(status), " (time limit)" if os.WTERMSIG(status) == 9 else "")
        else:
            verdict = os.WEXITSTATUS(status)
        counts[verdict if verdict in counts else FAILED] += 1
        if verdict == SKIPPED:
            print("SKIP %s: %s" % (label, output.strip()), flush=True)
        elif verdict != PASSED:
            print("FAIL %s\n%s" % (label, "".join("    %s\n" % line for line in output.splitlines())), flush=True)
        shutil.rmtree(os.path.join(root, str(index)), ignore_errors=True)

    try:
        while waiting or running:
            while waiting and len(running) < max(1, options.jobs):
                index, (label, function, arguments) = waiting.pop()
                directory = os.path.join(root, str(index))
                os.mkdir(directory)
                open(os.path.join(root, "%d.log" % index), "w").close()
                pid = os.fork()
                if pid == 0:
                    run_here(function, arguments, directory)
                running[pid] = (index, label, time.monotonic(), getattr(function, "limit", LIMIT))
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in running:
                finish(pid, status)
                continue
            for pid, (_, _, started, seconds) in running.items():
                if time.monotonic() - started > seconds:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
    finally:
        for pid in running:
            harness.kill_group(pid)
        shutil.rmtree(root, ignore_errors=True)
    for seconds, label in sorted(durations, reverse=True)[: options.slowest]:
        print("%6.1f s  %s" % (seconds, label))
    print("%d passed, %d failed, %d skipped" % (counts[PASSED], counts[FAILED], counts[SKIPPED]))
    return 1 if counts[FAILED] or not counts[PASSED] else 0


if __name__ == "__main__":
    sys.exit(main())
