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
