# SPDX-License-Identifier: MIT
"""What `peakline run` adds to Python's start: two importable modules, and nothing else that can be seen."""
from harness import *

SHOW = "import sys; print(sys.path); print(sorted(sys.modules)); print('sitecustomize' in sys.modules)"
FIND = "import peakline; print(peakline.__file__)"


def run(interpreter, *arguments, **keywords):
    return peakline("run", "--quiet", "-o", "recording", "--force", "--", interpreter, *arguments, **keywords)


@python_cases()
def test_unseen(version):
    interpreter = python(version)
    os.mkdir("of the user")
    record(interpreter, "-c", SHOW)
    record(interpreter, "-c", SHOW, env={"PYTHONPATH": os.path.abspath("of the user")}, output="second")
    with open("of the user/sitecustomize.py", "w") as file:
        file.write("import sys; print('of the user', __name__, __file__, sys.modules[__name__].__doc__)")
    record(interpreter, "-c", SHOW, env={"PYTHONPATH": os.path.abspath("of the user")}, output="third")
    with open("of the user/sitecustomize.py", "w") as file:
        file.write("import nowhere_at_all")
    recording = record(interpreter, "-c", SHOW, env={"PYTHONPATH": os.path.abspath("of the user")}, output="fourth")
    assert b"nowhere_at_all" in recording.stderr, recording.stderr


@python_cases()
def test_importable(version):
    interpreter = python(version)
    done = run(interpreter, "-c", FIND)
    assert done.stdout.decode().strip() == os.path.join(os.path.realpath(BUILD), "python", "peakline", "__init__.py"), done
    # In a child, and without site.
    child = "import subprocess, sys; sys.exit(subprocess.call([sys.executable] + sys.argv[1:]))"
    for arguments in (["-c", child, "-c", FIND], ["-S", "-c", FIND]):
        again = run(interpreter, *arguments)
        assert (again.returncode, again.stdout) == (0, done.stdout), again
    for option in "-I", "-E":
        refused = run(interpreter, option, "-c", FIND)
        assert refused.returncode == 1 and b"No module named 'peakline'" in refused.stderr, refused


FILES = {
    "plain.py": "def f():\n    raise ValueError('é')\nf()\n",
    "package/__init__.py": "",
    "package/__main__.py": "def f():\n    1 / 0\nf()\n",
    "importing.py": "import package.__main__\n",
    "missing.py": "import nowhere_at_all\n",
    "misspelt.py": "import memory_profilers\n",
    "syntax.py": "def f(:\n",
    "warns.py": "import warnings\nwarnings.warn('x')\n",
    "interrupted.py": "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)\n",
    "thread.py": "import threading\ndef f(): 1 / 0\nt = threading.Thread(target=f, name='t')\nt.start()\nt.join()\n",
    "recursion.py": "def f(): f()\nf()\n",
    # With what peakline brings.
    "decorated.py": "from memory_profiler import profile\n@profile\ndef f():\n    raise ValueError(1)\nf()\n",
    "generator.py": "from memory_profiler import profile\n@profile\ndef f():\n    yield 1\n    raise ValueError(1)\nlist(f())\n",
    "coroutine.py": "import asyncio\nfrom memory_profiler import profile\n@profile\nasync def f():\n    await asyncio.sleep(0)\n    1 / 0\nasyncio.run(f())\n",
    "stopped.py": "from memory_profiler import profile\nimport os, signal, time\n@profile\ndef f():\n"
    "    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(20)\nf()\n",
    "bare.py": "@profile\ndef f():\n    raise ValueError(1)\nf()\n",
    "block.py": "import peakline\nwith peakline.scope('a'):\n    with peakline.pause():\n        raise ValueError(1)\n",
    "scope.py": "import peakline, traceback\n@peakline.scope('a')\ndef f():\n    traceback.print_stack()\n    raise ValueError(1)\nf()\n",
    "scope_async.py": "import asyncio, peakline\n@peakline.scope('a')\nasync def f():\n    with peakline.scope('b'):\n        await asyncio.sleep(0)\n"
    "        1 / 0\nasyncio.run(f())\n",
    # That, doing nothing.
    "stubs/memory_profiler.py": "def profile(f):\n    return f\n",
    "stubs/sitecustomize.py": "import builtins, memory_profiler\nbuiltins.profile = memory_profiler.profile\n",
    "stubs/peakline.py": "class scope:\n    def __init__(self, name=None): pass\n    def __enter__(self): return self\n    def __exit__(self, *error): pass\n"
    "    def __call__(self, function): return function\npause = scope\n",
}


def write_files():
    for name, text in FILES.items():
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)


@python_cases()
@limit(120)
def test_tracebacks_and_endings(version):
    """To the byte those of the program alone (`record` compares)."""
    interpreter = python(version)
    write_files()
    commands = [[name] for name in FILES if FILES[name] and "/" not in name and "peakline" not in FILES[name] and "profile\n" not in FILES[name]]
    commands += [["-m", "package"], ["-m", "package.nothing"], ["-m", "nowhere_at_all"], ["nothing.py"], ["-c", "1 / 0"]]
    commands += [["-c", "import sys; sys.exit('message')"], ["-c", "raise SystemExit(3)"], ["-c", "raise KeyboardInterrupt"]]
    commands += [["-W", "error", "warns.py"], ["-X", "dev", "warns.py"]]
    commands += [[option, "-m", "memory_profiler"] for option in ("-B", "-S", "-I")]
    commands += [[*options, "plain.py"] for options in (["-W", "error"], ["-X", "dev"], ["-I"], ["-E"], ["-S"])]
    assert len(commands) == 27, commands
    for number, command in enumerate(commands):
        recording = record(interpreter, *command, output="recording-%d" % number)
        assert recording.stderr or "SystemExit" in command[-1], command
        if command[-1] == "interrupted.py":
            assert recording.status == 130, recording.status


@python_cases()
def test_list_of_imports(version):
    """-X importtime names the same modules, in the same order and depth."""
    interpreter = python(version)

    def names(done):
        return re.sub(rb"(?m)^import time: +[0-9]+ \| +[0-9]+ \|", b"", done.stderr)

    for command in ["-X", "importtime", "-c", ""], ["-X", "importtime", "-c", "import json"]:
        plain = subprocess.run([interpreter, *command], stderr=subprocess.PIPE, env=clean_environment())
        done = run(interpreter, *command, env=clean_environment())
        assert b"sitecustomize" in names(plain) and names(done) == names(plain), (names(plain), names(done))


@python_cases()
@limit(120)
def test_nothing_stands_between(version):
    """Tracebacks through @profile and scopes are those without."""
    interpreter = python(version)
    write_files()
    used = [name for name in FILES if "/" not in name and ("peakline" in FILES[name] or "profile\n" in FILES[name])]
    assert len(used) == 8, used
    for options in [], ["-W", "error", "-X", "dev"]:
        for name in used if not options else ("coroutine.py", "scope.py"):
            plain = subprocess.run(
                [interpreter, *options, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment({"PYTHONPATH": os.path.abspath("stubs")}))
            done = run(interpreter, *options, name, env=clean_environment())
            assert plain.stderr and done.stderr == plain.stderr, (name, options, plain.stderr, done.stderr)
            assert done.returncode == exit_status(plain.returncode), (name, options, done.returncode)


TYPING = """
import linecache
def run_cell(text, name, space):
    linecache.cache[name] = (len(text), None, [line + "\\n" for line in text.splitlines()], name)
    exec(compile(text, name, "exec"), space)
"""


@python_cases()
def test_cells(version):
    """What was typed into IPython is in no file: the recording has its text, if it has lines of it."""
    os.mkdir("IPython")
    for name, text in ("IPython/__init__.py", TYPING), ("on_disk.py", "kept = bytearray(700001)  # on disk\n"):
        with open(name, "w") as file:
            file.write(text)
    program = ("import os, IPython; space = {}\n"
               "IPython.run_cell('def load():\\n    return bytearray(7000013)  # \u00e4\\nprofile(load)\\n', '/none/ipykernel_1/2.py', space)\n"
               "IPython.run_cell('first = load()', '<ipython-input-1-abc>', space)\n"
               "IPython.run_cell('pass; unseen = 1', '<generated>', space)\n"
               "IPython.run_cell('third = bytearray(9000017)  # linecache\\n', os.path.abspath('on_disk.py'), space)\n")
    # What linecache may hold as well; and an error of ours would be on standard error.
    program += "import linecache; linecache.cache.update({'a': None, 'b\\ud800': (1, None, ['x'], 'b'), 'c': (1, None, None, 'c'), 'd': (lambda: 'x',)})\n"
    with open("program.py", "w", encoding="utf-8") as file:
        file.write(program)
    recording = record(python(version), "program.py", env={"PYTHONPATH": os.getcwd(), "PYTHONUTF8": "1"}, compare=False, output="recording")
    assert "return bytearray(7000013)  # \u00e4\n" in recording.stdout.decode(), recording.stdout
    assert recording.stderr == b"", recording.stderr
    report = peakline("report", "recording", "--file", "*2.py").stdout.decode()
    assert "return bytearray(7000013)  # \u00e4\n" in report, report
    report = peakline("report", "recording", "--file", "<ipython*").stdout.decode()
    assert "first = load()\n" in report, report
    with open("recording/" + os.listdir("recording")[0], "rb") as file:
        text = file.read()
    assert b"unseen = 1" not in text and b"# linecache" not in text, "kept what nobody asks for"


def test_old_python():
    """Python 2 and early 3 find nothing of ours, and start as ever."""
    found = [path for path in glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")) if "/2.7" in path or "/3.6" in path]
    if not found:
        raise Skip("no Python 2.7 or 3.6")
    for number, interpreter in enumerate(found):
        record(interpreter, "-c", SHOW, output="recording %d" % number)


def test_installed():
    """An installed peakline, in a directory with a space in its name."""
    prefix = os.path.abspath("a place")
    subprocess.run(["make", "-C", ROOT, "BUILD=" + BUILD, "PREFIX=" + prefix, "install"], check=True, stdout=subprocess.DEVNULL)
    command = [os.path.join(prefix, "bin", "peakline"), "run", "--quiet", "-o", "recording", sys.executable, "-c", FIND]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=clean_environment())
    assert done.stdout.decode().strip() == os.path.join(prefix, "lib/peakline/python/peakline/__init__.py"), done
    header = os.path.join(prefix, "include", "peakline.h")
    assert open(header).read() == open(os.path.join(ROOT, "shim", "peakline.h")).read()
    subprocess.run(["make", "-C", ROOT, "BUILD=" + BUILD, "PREFIX=" + prefix, "uninstall"], check=True, stdout=subprocess.DEVNULL)
    left = [file for _, _, files in os.walk(prefix) for file in files]
    assert not left, left
