# SPDX-License-Identifier: MIT
"""The drop-in for memory_profiler."""
from harness import *

TARGET = "py_memory_profiler.py"


def run(interpreter, *arguments, env=None, options=()):
    """A program that does not run without peakline."""
    return record(interpreter, *arguments, compare=False, env=env, options=["--python-objects=off", *options], status=0)


def tables(text):
    """Title -> {line number: [Mem usage, Increment, Peak, Allocations] or contents}, in the order of the tables."""
    found = {}
    for block in text.split("\n\n"):
        if not block.strip():
            continue
        title, *rows = block.strip("\n").splitlines()
        name, what = re.fullmatch(r"(.*?)  +(peak .*|nothing was recorded here)", title).groups()
        assert name not in found, name + " twice"
        assert re.fullmatch("Line # +Mem usage +Increment +Peak +Allocations  Line Contents", rows[0]), rows[0]
        lines = {}
        for row in rows[1:]:
            cells = re.fullmatch(r" *(\d+) +(?:([\d.]+ \w+) +)?(-?[\d.]+ \w+) +([\d.]+ \w+) +([\d ]*\d)(?:  .*)?", row)
            if cells:
                lines[int(cells.group(1))] = cells.groups()[1:]
        found[name.split(": ")[1]] = (what, lines)
    return found


def row(text, function, mark):
    return tables(text)[function][1][marks(TARGET)[mark]][1:]


@python_cases()
def test_decorated(version):
    need_malloc(version)
    interpreter = python(version)
    recording = run(interpreter, program(TARGET))
    qualified = minor(version) >= (3, 11)
    methods = ["Methods." * qualified + name for name in ("method", "of_class", "static")]

    out = recording.stdout.decode()
    assert out.startswith("done\n"), out
    out = out[len("done\n") :]
    assert list(tables(out)) == ["plain", *methods, "generator", "coroutine", "never"], out
    assert row(out, "plain", "plain_first") == ("97.7 KiB", "97.7 KiB", "1")
    assert row(out, "plain", "plain_second") == ("195 KiB", "195 KiB", "1")
    assert row(out, "plain", "plain_del") == ("-195 KiB", "0 B", "0")
    assert row(out, methods[0], "method")[1:] == ("195 KiB", "1")
    assert row(out, methods[1], "of_class")[1:] == ("293 KiB", "1")
    assert row(out, methods[2], "static")[1:] == ("391 KiB", "1")
    assert row(out, "generator", "generator") == ("1.43 MiB", "1.43 MiB", "3")
    assert row(out, "coroutine", "coroutine") == ("0.5722 MiB", "0.5722 MiB", "1")
    assert tables(out)["never"] == ("nothing was recorded here", {})

    err = recording.stderr.decode()
    assert list(tables(err)) == ["to_stream"], err
    assert row(err, "to_stream", "to_stream")[1:] == ("0.6676 MiB", "1")
    with open("log", encoding="utf-8") as file:
        log = file.read()
    assert list(tables(log)) == ["to_file", "to_file_too"], log
    assert row(log, "to_file", "to_file")[1:] == ("781 KiB", "1")

    # They are what the report shows, too; the others are there when asked for. What printing took is not on the books.
    report = peakline("report", recording.path).stdout.decode()
    assert "undecorated" not in report and "to_file_too" in report, report
    assert report.index(": plain ") < report.index(": generator ") < report.index(": to_stream ") < report.index(": never ")
    process = recording.process
    assert len(recording.processes) == 1, [p["command"] for p in recording.processes]
    chosen = {f["function"].split(".")[-1] for f in process["functions"] if f.get("chosen")}
    assert chosen == {"plain", "method", "of_class", "static", "generator", "coroutine", "to_stream", "to_file", "to_file_too"}, chosen
    expect(process.line("undecorated")["self"], peak_bytes=(5000003, 5002000))
    expect(process.line("plain_second")["self"], peak_bytes=200000 + buffer(interpreter), freed_bytes=0)
    assert not [line for line in process["lines"] if line["function"] in ("_tables", "_write")]
    assert process.totals["lost_events"] == 0


def test_one_table_for_a_function():
    """However often it is decorated, and whatever was decorated in between; the last precision holds."""
    code = (
        "import sys\nfrom memory_profiler import profile\n@profile\n@profile\ndef f(): return bytearray(2000)\n"
        "@profile(precision=3)\ndef g(): return bytearray(3000)\nprofile(f)\nprofile(g)\nprofile(precision=5)(f)\n"
        "profile(f, stream=sys.stderr)\nf(); g()\n")
    with open("twice.py", "w") as file:
        file.write(code)
    recording = run(sys.executable, "twice.py")
    both = tables(recording.stdout.decode())  # which asserts that no function is there twice
    assert list(both) == ["f", "g"] and "0.00191 MiB" in both["f"][0] and "0.003 MiB" in both["g"][0], both
    assert list(tables(recording.stderr.decode())) == ["f"], recording.stderr


def test_endings():
    recording = record(sys.executable, program(TARGET), "raise", "close", compare=False, status=3, options=["--python-objects=off"])
    assert b": never " in recording.stdout, recording.stdout
    with open("log", encoding="utf-8") as file:  # closed by then
        assert ": to_file_too " in file.read()
    # The reader is gone.
    done = subprocess.run(
        ["bash", "-c", '"$@" | true; exit ${PIPESTATUS[0]}', "-", PEAKLINE, "run", "--quiet", "-o", "piped", sys.executable, program(TARGET)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
    assert b"memory_profiler" not in done.stderr.replace(b"py_memory_profiler", b""), done.stderr


def test_fork():
    recording = run(sys.executable, program(TARGET), "fork")
    child, parent = re.findall(r"(?ms)^\S+: plain .*?\n\n", recording.stdout.decode())
    assert row(child, "plain", "plain_second")[1] == "1.91 MiB", child
    assert row(parent, "plain", "plain_second")[1] == "195 KiB", parent


INSTALLED = '''
"""Installed."""
def profile(func=None, stream=None, precision=1, backend="psutil"):
    print("decorated by the package", precision, backend)
    return func
def memory_usage():
    return "usage"
_hidden = 1
__version__ = 7
if __name__ == "__main__":
    print("main of", __file__)
'''


def test_reloaded():
    """What was decorated before a reload keeps its table, and each table comes once."""
    script = """
import importlib, memory_profiler
assert "profile" in dir(memory_profiler)
@memory_profiler.profile
def before():
    return bytes(1001)
before()
importlib.reload(memory_profiler)
@memory_profiler.profile
def after():
    return bytes(1001)
after()
"""
    with open("reloaded.py", "w") as file:
        file.write(script)
    done = peakline("run", "--quiet", "-o", "recording", "--", sys.executable, "reloaded.py")
    assert done.returncode == 0, done.stderr
    headings = [line for line in done.stdout.decode().splitlines() if "reloaded.py: " in line]
    assert [heading.split()[1] for heading in headings] == ["before", "after"], done.stdout


def test_a_package_whose_name_holds_importlib():
    os.mkdir("importlib_of_mine")
    for name, text in (("__init__", "from memory_profiler import profile\n"), ("__main__", "from importlib_of_mine import profile\nprint(profile.__module__)\n")):
        with open(os.path.join("importlib_of_mine", name + ".py"), "w") as file:
            file.write(text)
    done = peakline("run", "--quiet", "-o", "recording", "--", sys.executable, "-m", "importlib_of_mine")
    assert done.stdout == b"memory_profiler\n", done


def test_names_of_the_package():
    names = "from memory_profiler import *; from memory_profiler import _hidden, profile as p; import memory_profiler"
    code = names + "; print(memory_usage(), _hidden, hasattr(memory_profiler, 'nothing'), profile is p, p(print) is print)"
    os.mkdir("installed")
    with open("installed/memory_profiler.py", "w") as file:
        file.write(INSTALLED)
    env = {"PYTHONPATH": os.path.abspath("installed")}
    assert record(sys.executable, "-W", "ignore", "-c", code, env=env, compare=False).stdout == b"usage 1 False True True\n"
    record(sys.executable, "-m", "memory_profiler", env=env, output="second")
    # Who wants `profile` alone does not pay for the package.
    alone = "from memory_profiler import profile; import memory_profiler as m; print(m._package, m.__version__)"
    assert record(sys.executable, "-c", alone, env=env, compare=False, output="alone").stdout == b"None 7\n"
    # Where nothing is recorded, all of it is the package's.
    env["PYTHONPATH"] = os.path.join(BUILD, "python") + ":" + env["PYTHONPATH"]
    done = subprocess.run([sys.executable, "-c", code], env=clean_environment(env), stdout=subprocess.PIPE)
    assert done.stdout == b"decorated by the package 1 psutil\nusage 1 False True True\n", done

    # Not installed.
    for code, message in (
        ("from memory_profiler import profile, memory_usage", b"ImportError: peakline has only memory_profiler's `profile`; `pip install"),
        ("import memory_profiler as m; m.profile; m.memory_usage", b"AttributeError: peakline has only memory_profiler's `profile`"),
        ("import memory_profiler as m; m.profile; m.__wrapped__", b"AttributeError: module 'memory_profiler' has no attribute"),
    ):
        done = peakline("run", "--quiet", "-o", "third", "--force", sys.executable, "-c", code, env=clean_environment())
        assert done.returncode == 1 and message in done.stderr, done.stderr
    # A program that wants something else has other means then.
    other = "try:\n    import memory_profiler\nexcept ImportError:\n    memory_profiler = None\n"
    function = "import importlib\ndef optional(name):\n    try:\n        return importlib.import_module(name)\n    except ImportError:\n        pass\n"
    inner = "class C:\n    def f(self):\n        return memory_profiler.profile(print)\nprint(C().f() is print)\n"
    later = "def begin():\n    global m\n    import memory_profiler as m\nbegin()\nprint(m.profile(print) is print)\n"
    for number, (text, wanted) in enumerate((
        (other + "print(memory_profiler)\n", b"None\n"),
        (function + "print(optional('memory_profiler'))\n", b"None\n"),
        (other + inner, b"True\n"),
        (later, b"True\n"),
        ("from memory_profiler import *\nimport decorated\n", b"True\n"),
        ("import memory_profiler as m\nprint(getattr(m, 'profile')(print) is print)\n", b"True\n"),
    )):
        for name, source in ("other.py", text), ("decorated.py", "import other\nprint(other.profile(print) is print)\n"):
            with open(name, "w") as file:
                file.write(source)
        done = record(sys.executable, "-B", "other.py", compare=False, output="other-%d" % number)
        assert done.stdout == wanted, (text, done.stdout, done.stderr)
    done = peakline("run", "--quiet", "-o", "third", "--force", sys.executable, "-m", "memory_profiler", env=clean_environment())
    assert done.returncode == 1 and done.stderr.endswith(b": No module named memory_profiler\n"), done.stderr


RUN = '''
import sys
def show(*names):
    print(__name__, __file__, type(__spec__.loader).__name__, __spec__.name, __package__, [name for name in dir() if name[0] != "_"])
    raise ValueError(sys.argv)
if __name__ == "__main__":
    show()
'''


@python_cases()
def test_run_as_a_program(version):
    """runpy finds the installed package as if we were not there, and so does what runpy is used by; a module that is run finds ours."""
    interpreter = python(version)
    env = {"PYTHONPATH": os.path.abspath("installed")}
    os.mkdir("installed")
    with open("installed/memory_profiler.py", "w") as file:
        file.write(RUN)
    by_name = "import runpy; runpy.run_module('memory_profiler', run_name='__main__', alter_sys=True)"
    for number, command in enumerate((["-m", "memory_profiler", "x"], ["-W", "error", "-m", "memory_profiler"], ["-c", by_name])):
        recording = record(interpreter, *command, env=env, output="run-%d" % number, status=1)
        assert b"__main__" in recording.stdout and b"installed/memory_profiler.py" in recording.stderr, recording.stderr
    os.mkdir("package")
    for name in "__init__", "__main__":
        with open("package/%s.py" % name, "w") as file:
            file.write("import memory_profiler\nprint(memory_profiler.__file__)\n")
    recording = record(interpreter, "-m", "package", env=env, compare=False, output="package-run")
    ours = os.path.join(os.path.realpath(BUILD), "python", "memory_profiler.py")
    assert recording.stdout.decode().splitlines() == [ours, ours], recording.stdout
    # Other launchers look for the file.
    spec = "import importlib.util as u; s = u.find_spec('memory_profiler'); exec(s.loader.get_code(s.name), {'__name__': '__main__', '__file__': s.origin, '__spec__': s})"
    assert b"installed/memory_profiler.py" in record(interpreter, "-c", spec, env=env, compare=False, output="spec", status=1).stdout


@python_cases()
def test_plain_decorator(version):
    """@profile without an import, and a script's own."""
    need_malloc(version)
    with open("script.py", "w") as file:
        file.write("@profile\ndef f():\n    return bytearray(3000002)\nprofile.enable()\nwith profile:\n    f()\nprofile.disable()\n")
    recording = run(python(version), "script.py")
    assert tables(recording.stdout.decode())["f"][1][3][2] == "2.86 MiB", recording.stdout
    with open("own.py", "w") as file:
        file.write("def profile(f):\n    return 'own'\n@profile\ndef f():\n    pass\nprint(f)\n")
    record(python(version), "own.py", output="second")


def test_fallback_of_a_script():
    """A script that has a way without memory_profiler takes peakline's, and needs no change."""
    with open("script.py", "w") as file:
        file.write("try:\n    from memory_profiler import profile\nexcept ImportError:\n    profile = lambda f: f\n")
        file.write("@profile\ndef f():\n    return bytearray(3000002)\nf()\n")
    plain = subprocess.run([sys.executable, "script.py"], stdout=subprocess.PIPE, env=clean_environment())
    assert (plain.returncode, plain.stdout) == (0, b"")
    assert "f" in tables(run(sys.executable, "script.py").stdout.decode())


NESTED = '''
from memory_profiler import profile

@profile
def outer():
    kept = bytearray(1 << 20)

    def inner(size):
        block = bytearray(size)
        del block

    class Inner:
        def method(self):
            return bytearray(7 << 20)

    def never():
        return bytearray(9 << 20)

    return inner, Inner

inner, Inner = outer()
inner(3 << 20)
inner(5 << 20)
Inner().method()

def after():
    return bytearray(11 << 20)

after()
'''


@python_cases()
def test_nested(version):
    """What a function defines within is in its table, as in the package's."""
    need_malloc(version)
    with open("nested.py", "w") as file:
        file.write(NESTED)
    out = run(python(version), "nested.py").stdout.decode()
    found = {line: cells[1:] for line, cells in tables(out)["outer"][1].items() if line != 12}  # making the class takes a little
    assert list(tables(out)) == ["outer"] and found == {
        6: ("1.00 MiB", "1.00 MiB", "1"), 9: ("8.00 MiB", "5.00 MiB", "2"), 10: ("-8.00 MiB", "0 B", "0"), 14: ("7.00 MiB", "7.00 MiB", "1"),
    }, out
