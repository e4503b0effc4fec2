# SPDX-License-Identifier: MIT
"""Packages that Python people run their programs with: pytest and the real memory_profiler, from PyPI in a virtual environment of ours."""
from harness import *


def environment():
    return virtual_environment("venv", "pytest", "memory_profiler")


def tool(name):
    return os.path.join(environment(), "bin", name)


PYTEST = '''
import pytest

@pytest.fixture
def block():
    return bytearray(2000003)

def test_good(block):
    more = bytearray(5000011)
    assert len(block) + len(more) == 7000014

def test_bad():
    assert [0] * 10 == 3
'''


@limit(300)
def test_pytest():
    with open("test_it.py", "w") as file:
        file.write(PYTEST)
    for number, start in enumerate(([tool("pytest")], [tool("python"), "-m", "pytest"])):
        command = start + ["-q", "-p", "no:cacheprovider", "test_it.py"]
        plain = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
        recording = record(*command, compare=False, status=1, output="recording-%d" % number)
        assert plain.returncode == 1 and recording.stderr == plain.stderr, recording.stderr

        def timeless(text):
            return re.sub(rb"in [\d.]+s", b"", text)

        assert timeless(recording.stdout) == timeless(plain.stdout), recording.stdout
        for line, size in ((6, 2000004), (9, 5000012)):
            (found,) = [each for each in recording.process["lines"] if each["file"] and each["file"].endswith("/test_it.py") and each["line"] == line]
            expect(found["self"], peak_bytes=(size, size + 512))


SCRIPT = '''
import sys
from memory_profiler import LogFile, memory_usage, profile

@profile(precision=3)
def decorated():
    first = bytearray(3 << 20)
    second = bytearray(5 << 20)
    del second
    return first

decorated()
print(len(memory_usage((decorated, (), {}), max_usage=True, retval=True)), LogFile.__name__)
sys.exit(3)
'''
PLAIN = '''
@profile
def decorated():
    first = bytearray(3 << 20)
    second = bytearray(5 << 20)
    del second
    return first

decorated()
'''


def rows(text, width):
    """Line number -> the first three numbers of its row."""
    return {int(match.group(1)): match.group(2).split() for match in re.finditer(r"(?m)^ +(\d+) +((?:-?[\d.]+ MiB +){%d})" % width, text)}


@limit(300)
def test_memory_profiler_is_installed():
    """Its other names are its own; the table shows what its own would show, without the noise of RSS."""
    with open("script.py", "w") as file:
        file.write(SCRIPT)
    recording = record(tool("python"), "script.py", compare=False, status=3, options=["--python-objects=off"])
    out = recording.stdout.decode()
    assert out.startswith("2 LogFile\n") and "Filename:" not in out, out
    ours = rows(out, 3)
    # Peaks. memory_usage has run it several times, and held on to what the last run returned.
    assert ours[7][4] == "6.000" and ours[8][4] == "5.000", ours
    with open("plain.py", "w") as file:
        file.write(PLAIN)
    theirs = rows(subprocess.run([tool("python"), "-m", "memory_profiler", "plain.py"], stdout=subprocess.PIPE, check=True).stdout.decode(), 2)
    out = record(tool("python"), "plain.py", compare=False, options=["--python-objects=off"], output="second").stdout.decode()
    ours = dict(re.findall(r"(?m)^ +(\d+) .*?(-?[\d.]+) MiB +[\d.]+ (?:MiB|B) +\d+  ", out))
    for line in 4, 5, 6:
        assert abs(float(ours[str(line)]) - float(theirs[line][2])) < 0.5, (line, ours, theirs)


@limit(300)
def test_the_package_as_a_program():
    """`python -m memory_profiler` and `mprof` under peakline do what they do without."""
    with open("plain.py", "w") as file:
        file.write(PLAIN)
    for number, command in enumerate(([tool("python"), "-m", "memory_profiler", "plain.py"], [tool("mprof"), "run", "--interval", "0.01", "plain.py"])):
        plain = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
        recording = record(*command, compare=False, output="recording-%d" % number, options=["--python-objects=off"])

        def numberless(text):
            return re.sub(rb"-?[\d.]+ +MiB|mprofile_\d+", b"N", text)

        assert numberless(recording.stdout) == numberless(plain.stdout), (recording.stdout, plain.stdout)
        assert recording.stderr == plain.stderr, recording.stderr
        blocks = [line for process in recording.processes for line in process["lines"] if line["line"] == 5 and line["function"] == "decorated"]
        assert len(blocks) == 1, blocks
        expect(blocks[0]["self"], peak_bytes=(5 * 2**20 + 1, 5 * 2**20 + 513))
    assert glob.glob("mprofile_*.dat")
    # An error's traceback, too.
    with open("fails.py", "w") as file:
        file.write("def inner():\n    raise ValueError('x')\n@profile\ndef f():\n    inner()\nf()\n")
    command = [tool("python"), "-m", "memory_profiler", "fails.py"]
    plain = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
    recording = record(*command, compare=False, output="fails", status=1)
    assert plain.returncode == 1 and b"in inner" in plain.stderr and recording.stderr == plain.stderr, (recording.stderr, plain.stderr)
