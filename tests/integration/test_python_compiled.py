# SPDX-License-Identifier: MIT
"""What takes a compiler and Python's headers: extensions by Cython, and by Fortran under numpy's f2py (as scipy's are); a program that is linked with Python."""
import sysconfig

from harness import *

OFF = "--python-objects=off"


def build(*command):
    """A step of the compilation; the test fails with what it printed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, "%s\n%s" % (" ".join(command), done.stdout.decode(errors="replace"))


def flags():
    """Of extensions for the interpreter that runs the tests."""
    include = sysconfig.get_path("include")
    if not os.path.exists(os.path.join(include, "Python.h")):
        raise Skip("no Python.h in %s (package python3-dev)" % include)
    return ["-O1", "-g", "-w", "-fPIC", "-I", include]


def write(name, text):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)


def line(process, name, mark):
    """The line that is marked so in a program that the test itself has written."""
    with open(name, encoding="utf-8") as file:
        (number,) = [n for n, text in enumerate(file, 1) if text.endswith("# @%s\n" % mark)]
    (found,) = [entry for entry in process["lines"] if entry["file"] and os.path.basename(entry["file"]) == name and entry["line"] == number]
    return found


def native(process, ending):
    """The native function whose name ends so: an outermost one, where the compiler has made several of one."""
    found = [entry for entry in process["functions"] if entry["language"] == "native" and entry["function"].endswith(ending)]
    assert found, [entry["function"] for entry in process["functions"] if entry["language"] == "native"]
    return max(found, key=lambda entry: entry["total"]["allocated_bytes"])


CYTHON = """# cython: language_level=3
from libc.stdlib cimport malloc, free

cdef void *take(size_t size):
    return malloc(size)

cdef class Block:
    cdef void *block

    def __cinit__(self, size_t size):
        self.block = take(size)

    def __dealloc__(self):
        free(self.block)

def make(size):
    return bytearray(size)

def several(count, size):
    return [bytearray(size + i) for i in range(count)]

def call(function):
    return function()
"""

CYTHON_PROGRAM = """import compiled

def called():
    return bytearray(400008)  # @called

def main():
    made = compiled.make(100002)  # @make
    listed = compiled.several(3, 60006)  # @several
    block = compiled.Block(300007)  # @block
    del block  # @del
    back = compiled.call(called)  # @call
    del listed  # @del_several

main()
print("done")
"""


@limit(300)
def test_cython():
    extension = flags()
    tools = virtual_environment("venv-cython", "cython")
    write("compiled.pyx", CYTHON)
    write("program.py", CYTHON_PROGRAM)
    build(os.path.join(tools, "bin/cython"), "compiled.pyx", "-o", "compiled.c")
    build("gcc", *extension, "-shared", "-o", "compiled.so", "compiled.c")
    more = buffer(sys.executable)
    several = sum(60006 + i + more for i in range(3))
    for options in [OFF], [OFF, "--native"]:
        recording = record(sys.executable, "program.py", options=options, output="recording-%d" % len(options))
        process = recording.process
        # The lines of the Python code that called, to the byte; Cython's functions have no frames there.
        expect(line(process, "program.py", "make")["self"], allocated_bytes=100002 + more, allocations=1)
        expect(line(process, "program.py", "several")["self"], allocated_bytes=several, allocations=3)
        expect(line(process, "program.py", "del_several")["self"], freed_bytes=several, frees=3)
        expect(line(process, "program.py", "block")["self"], allocated_bytes=300007, peak_bytes=300007, allocations=1)
        expect(line(process, "program.py", "del")["self"], freed_bytes=300007, frees=1)
        expect(line(process, "program.py", "called")["self"], allocated_bytes=400008 + more, allocations=1)
        expect(line(process, "program.py", "call")["self"], allocated_bytes=0)
        expect(line(process, "program.py", "call")["total"], allocated_bytes=400008 + more)
        assert process["losses"]["cut_stacks"] == 0, process["losses"]
    assert process["losses"]["unspliced_stacks"] == 0, process["losses"]
    # And the extension's functions, with what the interpreter did for them.
    expect(native(process, "compiled_take")["self"], allocated_bytes=300007)
    expect(native(process, "compiled_make")["total"], allocated_bytes=100002 + more)
    expect(native(process, "compiled_2several")["total"], allocated_bytes=(several, several + 1024))  # and the list
    expect(native(process, "compiled_4call")["total"], allocated_bytes=400008 + more)
    expect(native(process, "compiled_4call")["self"], allocated_bytes=0)


FORTRAN = """subroutine fill(n, x)
  integer, intent(in) :: n
  double precision, intent(out) :: x(n)
  x = 1.0d0
end subroutine

subroutine work(n, total)
  integer, intent(in) :: n
  double precision, intent(out) :: total
  double precision, allocatable :: space(:)
  allocate(space(n))
  space = 2.0d0
  total = sum(space)
end subroutine
"""

FORTRAN_PROGRAM = """import compiled

def main():
    filled = compiled.fill(50001)  # @fill
    total = compiled.work(70001)  # @work
    del filled  # @del
    return total

print(main())
"""


@limit(300)
def test_fortran():
    compiler = shutil.which("gfortran")
    if compiler is None:
        raise Skip("no gfortran")
    extension = flags()
    need_modules(sys.executable, "numpy.f2py")
    ask = "import numpy, numpy.f2py; print(numpy.get_include()); print(numpy.f2py.get_include())"
    asked = subprocess.run([sys.executable, "-c", ask], stdout=subprocess.PIPE, check=True)
    includes = asked.stdout.decode().split("\n")[:2]
    write("compiled.f90", FORTRAN)
    write("program.py", FORTRAN_PROGRAM)
    build(sys.executable, "-m", "numpy.f2py", "compiled.f90", "-m", "compiled", "--lower")
    build("gcc", *extension, "-c", "-I", includes[0], "-I", includes[1], "compiledmodule.c", os.path.join(includes[1], "fortranobject.c"))
    build(compiler, "-O1", "-g", "-fPIC", "-shared", "-o", "compiled.so", "compiled.f90", "compiledmodule.o", "fortranobject.o")
    for options in [OFF], [OFF, "--native"]:
        recording = record(sys.executable, "program.py", options=options, output="recording-%d" % len(options))
        process = recording.process
        # The array, and what numpy takes for its head and its dimensions.
        array = 50001 * 8
        expect(line(process, "program.py", "fill")["self"], allocated_bytes=(array, array + 1024), peak_bytes=(array, array + 1024))
        expect(line(process, "program.py", "del")["self"], freed_bytes=(array, array + 1024))
        space = 70001 * 8
        expect(line(process, "program.py", "work")["self"], allocated_bytes=(space, space + 1024), freed_bytes=(space, space + 1024))
    expect(native(process, "work")["self"], allocated_bytes=space)


EMBEDDING = """#include <Python.h>

static PyStatus __attribute__((noinline)) start(wchar_t *home) {
    char deep[4096]; // the stack below main is left as it is, for what is called next is not as deep
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.home = home;
    __asm__ volatile("" : : "r"(deep) : "memory");
    return Py_InitializeFromConfig(&config);
}

static void *volatile kept[1000];

void __attribute__((noinline)) without_python(void) {
    for (int i = 0; i < 1000; i++)
        kept[i] = malloc(5003);
}

int main(int argc, char **argv) {
    if (argc > 1 && start(L"/nonexistent")._type == 0)
        return 2;
    without_python();
    return 0;
}
"""


def test_a_beginning_that_fails():
    """The program goes on without Python; the interpreter's functions are over."""
    link = ["-L" + sysconfig.get_config_var("LIBDIR"), "-Wl,-rpath," + sysconfig.get_config_var("LIBDIR"), "-lpython" + sysconfig.get_config_var("LDVERSION")]
    if not glob.glob(os.path.join(sysconfig.get_config_var("LIBDIR"), "libpython*.so")):
        raise Skip("this Python has no shared library")
    write("embedding.c", EMBEDDING)
    build("gcc", *flags(), "-o", "embedding", "embedding.c", *link)
    for arguments in [], ["fail"]:
        process = record(os.path.abspath("embedding"), *arguments, compare=False, output="recording-%d" % len(arguments)).process
        expect(native(process, "without_python")["self"], allocations=1000, live_at_exit_bytes=5003000)
        if arguments:
            assert native(process, "Py_InitializeFromConfig")["self"]["allocations"] > 100
