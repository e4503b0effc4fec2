# SPDX-License-Identifier: MIT
"""Loads the C++ library in its argument, which throws and catches exceptions and allocates on Python's behalf."""
import ctypes
import os
import sys
import threading

library = ctypes.CDLL(sys.argv[1])
library.throwing_allocate.restype = ctypes.c_void_p
library.throwing_allocate.argtypes = [ctypes.c_size_t]
library.throwing_free.argtypes = [ctypes.c_void_p]


def throw():
    assert library.throwing_attempts(200) == 200  # @throw


def allocate():
    return library.throwing_allocate(1000003)  # @allocate


def release(block):
    library.throwing_free(block)  # @release


def main():
    throw()
    threads = [threading.Thread(target=throw) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    block = allocate()
    release(block)
    allocate()
    print("all caught", flush=True)
    os._exit(0)


main()
