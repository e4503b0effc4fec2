# SPDX-License-Identifier: MIT
"""Threads that libraries start for a line of the program, as pools do. Usage: py_started.py NATIVE_LIBRARY (and PYTHONPATH)"""
import ctypes
import os
import sys
import threading
import warnings

import started_pools  # a library by its path

native_library = ctypes.CDLL(sys.argv[1])
native_library.started_threads.argtypes = [ctypes.c_int, ctypes.c_size_t]
native_library.started_before.argtypes = native_library.started_child.argtypes = [ctypes.c_size_t]
kept = []


def whole():
    kept.append(started_pools.read(1000003, 3))  # @whole


def again():
    kept.append(started_pools.read(2000003, 2))  # @again


def deep():
    kept.append(started_pools.nested(3000017))  # @deep


def own():
    kept.append(bytes(5000011))  # @own


def plain():
    thread = threading.Thread(target=own)
    thread.start()  # @plain
    thread.join()


def native():
    native_library.started_threads(3, 70001)  # @native


def forks():
    started_pools.run(child)  # @forks


def child():
    pid = os.fork()
    if pid == 0:
        started_pools.read(700001, 1)  # @child
        os._exit(0)
    os.waitpid(pid, 0)


def many():
    started_pools.run(started_pools.many)  # @many


def before(size):
    native_library.started_before(size)


def several():
    before(20011)  # @first
    before(30011)  # @second
    before(40009)  # @third


def comprehension():
    threads = [threading.Thread(target=started_pools.read, args=(900001, 1)) for _ in range(2)]
    [thread.start() for thread in threads]  # @comprehension
    for thread in threads:
        thread.join()


def refused():
    try:
        threading.stack_size(1 << 46)
        started_pools.read(11, 1)
    except RuntimeError:
        kept.append(bytes(600011))  # @refused
    threading.stack_size(0)


warnings.simplefilter("ignore")
whole()
again()
whole()
deep()
plain()
native()
forks()
refused()
many()
several()
comprehension()
native_library.started_child(60013)
started_pools.run(whole)
print("done")
