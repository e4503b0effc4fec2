# SPDX-License-Identifier: MIT
"""Threads that still run, in Python and outside of it, while the interpreter ends."""
import ctypes
import sys
import threading
import time

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
started = threading.Barrier(7)


def python():
    started.wait()
    while True:
        block = [bytearray(3001) for _ in range(20)]
        del block


def native():
    started.wait()
    while True:
        libc.free(libc.malloc(5003))  # without the GIL
        libc.usleep(10)


for function in (python, native) * 3:
    threading.Thread(target=function, daemon=True).start()
started.wait()
time.sleep(0.05)
kept = bytearray(800001)  # @kept
print("done")
