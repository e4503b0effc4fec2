# SPDX-License-Identifier: MIT
"""Libraries that come and go, and exceptions that pass through."""
from harness import *


def test_two_libraries_at_one_address():
    process = record(program("plugins"), os.path.dirname(program("leaf"))).process
    expect(process.line("plugin_a", "plugin_a.c")["self"], allocations=20, allocated_bytes=20 * 4001, live_at_exit_bytes=10 * 4001)
    expect(process.line("plugin_b", "plugin_b.c")["self"], allocations=20, allocated_bytes=20 * 4003, live_at_exit_bytes=20 * 4003)
    expect(process.line("call")["total"], allocations=40, allocated_bytes=20 * 8004)


@limit(120)
def test_libraries_of_threads_of_a_child():
    """What has been unloaded by another thread is not looked into."""
    libraries = [os.path.abspath("lib%d.so" % number) for number in range(4)]
    for library in libraries:
        shutil.copy(os.path.join(os.path.dirname(program("leaf")), "libplugin_a.so"), library)
    recording = record(program("plugins_at_once"), *libraries)
    (child,) = [each for each in recording.processes if each["totals"]["allocations"] > 1000]
    expect(child.line("plugin_a", "plugin_a.c")["self"], allocations=4 * 4000, allocated_bytes=4 * 4000 * 4001, live_at_exit_bytes=0)


def test_exceptions():
    process = record(program("exceptions")).process
    expect(process.line("after")["self"], live_at_exit_bytes=1009)
    # Five times 400 attempts, to depths of 0 to 19.
    expect(process.line("room")["total"], allocations=5 * 20 * sum(range(1, 21)), live_at_exit_bytes=0)
    expect(process.line("throw")["total"], live_at_exit_bytes=0, allocations=(2 * 2000, 4 * 2000))
    expect(process.line("caught")["total"], live_at_exit_bytes=0, allocations=2000, allocated_bytes=2000 * 504)


@python_cases()
def test_exceptions_in_a_library_of_python(version):
    process = record(python(version), program("py_throwing.py"), program("libthrowing.so")).process
    expect(process.line("allocate")["self"], live_at_exit_bytes=(1000003, 1000003 + 4096), peak_bytes=(1000003, 2 * 1000003))
    expect(process.line("release")["self"], freed_bytes=(1000003, 1000003 + 4096))
    throw = process.line("throw")["self"]
    expect(throw, allocations=(4 * 200 * 11, 4 * 200 * 40), freed_bytes=(4 * 200 * 100003, 4 * 200 * 110000))
    expect(throw, live_at_exit_bytes=(0, 65536))
