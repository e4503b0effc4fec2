# SPDX-License-Identifier: MIT
"""What bench.py runs. Sizes are for one to four seconds of plain run; `scale` (1 = full) makes them smaller."""
import os
import random
import shutil
import subprocess
import time

from bench_common import HERE, NATIVE, QUIET, ROOT

EVALUATION = os.path.join(ROOT, "scripts", "demo_evaluate.py")
MEASUREMENTS = os.path.join(NATIVE, "measurements.csv")
FRAMES = os.path.join(HERE, "frames.py")
PREDICTIONS = os.path.join(NATIVE, "predictions.csv")
ROWS = 200_000
PREPROCESSED = os.path.join(NATIVE, "containers.ii")

SQL = """create table t(id integer primary key, name text, value real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < %s)
insert into t select i, 'name ' || (i * 7919 %% 100003), i * 0.5 from n;
create index by_name on t(name); create index by_value on t(value, name);
select count(*), sum(value) from t where name like 'name 1%%';"""


class Program:
    """`command(scale)` is a command line. `needs`: programs, or, with a `python` (an Interpreter), modules. With `load(directory, scale)`
    the program is a server: the load is what is timed, and it makes the server end."""

    def __init__(self, name, command, needs=(), load=None, python=None):
        self.name, self.command, self.needs, self.load, self.python = name, command, needs, load, python
        self.kind = "python" if python else "native"

    def usable(self):
        return self.python.has(*self.needs) if self.python else all(shutil.which(program) for program in self.needs)


def size(full, scale):
    return str(max(1, round(full * scale)))


def native(title, name, full):
    return Program(title, lambda scale: [os.path.join(NATIVE, name), size(full, scale)])


def reading(python, title, script, data, *needs):
    """A Python program with a file of data, which cannot do half of it."""
    return Program("%s: %s" % (python.label, title), lambda scale: [python.path, script, data], needs, python=python)


def counting(python, title, script, full, *needs):
    """One with a number of rounds."""
    return Program("%s: %s" % (python.label, title), lambda scale: [python.path, os.path.join(HERE, script), size(full, scale)], needs, python=python)


def recursion(python, depth, full):
    title = "%s: recursion, %d deep" % (python.label, depth)
    return Program(title, lambda scale: [python.path, os.path.join(HERE, "recursion.py"), str(depth), size(full, scale)], python=python)


def python_programs(python):
    return [
        reading(python, "pandas, in chunks and whole", FRAMES, PREDICTIONS, "pandas"),
        reading(python, "the demo's evaluation", EVALUATION, MEASUREMENTS, "pandas", "sklearn"),
        counting(python, "scikit-learn, import and models", "models.py", 3, "sklearn"),
        counting(python, "JSON, dicts, lists", "objects.py", 62),
        counting(python, "floats", "floats.py", 60),
        recursion(python, 100, 5_000_000),
        recursion(python, 900, 5_000_000),
    ]


def compiler(scale):
    """The compiler proper, because not every tool follows the driver to it. It cannot do half a file."""
    done = subprocess.run(["g++", "-print-prog-name=cc1plus"], stdout=subprocess.PIPE, check=True)
    return [done.stdout.decode().strip(), "-quiet", "-O2" if scale > 0.2 else "-O0", "-o", "/dev/null", PREPROCESSED]


def redis_load(directory, scale):
    """Runs redis-benchmark against the server that is being started in the directory, then has the server end."""
    socket = os.path.join(directory, "redis.sock")
    for _ in range(600):
        if os.path.exists(socket) and subprocess.run(["redis-cli", "-s", socket, "ping"], **QUIET).returncode == 0:
            break
        time.sleep(0.05)
    load = ["redis-benchmark", "-s", socket, "-q", "-c", "20", "-P", "8", "-d", "100", "-r", "100000", "-n", size(80000, scale)]
    start = time.monotonic()
    done = subprocess.run([*load, "-t", "set,get,lpush,lpop,sadd,hset,zadd"], **QUIET)
    seconds = time.monotonic() - start
    subprocess.run(["redis-cli", "-s", socket, "shutdown", "nosave"], **QUIET)
    return seconds if done.returncode == 0 else None


NATIVE_PROGRAMS = [
    native("deep recursion", "tree_builder", 150),
    native("C++ containers and strings", "containers", 60),
    native("small blocks, 100 call sites", "expressions", 400),
    native("two threads, each other's blocks", "two_threads", 16000),
    Program("sqlite3, two indexes", lambda scale: ["sqlite3", ":memory:", SQL % size(1200000, scale)], ("sqlite3",)),
    Program("g++ -O2 (cc1plus), one file", compiler, ("g++",)),
    Program(
        "redis-server under load",
        lambda scale: ["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"],
        ("redis-server", "redis-benchmark", "redis-cli"), redis_load),
    Program("perl, words of a text", lambda scale: ["perl", os.path.join(HERE, "words.pl"), size(30, scale)], ("perl",)),
]


def write_predictions(path):
    """What frames.py reads; the same each time."""
    chance = random.Random(7)
    with open(path, "w", encoding="ascii") as file:
        file.write("name,region,label,guess,score\n")
        for i in range(ROWS):
            label = chance.randrange(5)
            guess = label if chance.random() < 0.8 else chance.randrange(5)
            file.write("item %d,region %d,class %d,class %d,%.6f\n" % (i, i * 7919 % 97, label, guess, chance.random()))


def build(python):
    """Compiles the programs of this folder, each a file, or a folder of files; makes the data that others read."""
    os.makedirs(NATIVE, exist_ok=True)
    for name in sorted(os.listdir(HERE)):
        path = os.path.join(HERE, name)
        base, extension = os.path.splitext(name)
        sources = [os.path.join(path, file) for file in sorted(os.listdir(path)) if file.endswith(".c")] if os.path.isdir(path) else [path]
        if sources and (os.path.isdir(path) or extension in (".c", ".cpp")):
            compile_with = ["g++", "-std=gnu++17"] if extension == ".cpp" else ["gcc", "-std=gnu11"]
            subprocess.run([*compile_with, "-O2", "-g", "-pthread", "-o", os.path.join(NATIVE, base), *sources], check=True)
    subprocess.run(["g++", "-E", "-o", PREPROCESSED, os.path.join(HERE, "containers.cpp")], check=True)
    if python.has("pandas"):
        subprocess.run([python.path, EVALUATION, "--generate", MEASUREMENTS], check=True)
    if not os.path.exists(PREDICTIONS):
        write_predictions(PREDICTIONS + ".new")
        os.replace(PREDICTIONS + ".new", PREDICTIONS)
