# SPDX-License-Identifier: MIT
"""memory_profiler's decorator on every kind of function. bytearray(N) is a block of N + 1 bytes."""
import asyncio
import os
import sys

from memory_profiler import profile

log = open("log", "w")


class Stream:
    """Anything that can be written to."""

    def write(self, text):
        os.write(2, text.encode())


@profile
def plain(size):
    first = bytearray(size)  # @plain_first
    second = bytearray(2 * size)  # @plain_second
    del second  # @plain_del
    return first


class Methods:
    @profile
    def method(self):
        return len(bytearray(200002))  # @method

    @classmethod
    @profile
    def of_class(cls):
        return len(bytearray(300006))  # @of_class

    @profile
    @staticmethod
    def static():
        return len(bytearray(400008))  # @static


@profile
def generator(count):
    for _ in range(count):
        yield bytearray(500000)  # @generator


@profile(precision=4)
async def coroutine():
    block = bytearray(600004)  # @coroutine
    await asyncio.sleep(0)
    return len(block)


@profile(precision=4, stream=Stream(), backend="tracemalloc")
def to_stream():
    return len(bytearray(700002))  # @to_stream


@profile(stream=log)
def to_file():
    return len(bytearray(800006))  # @to_file


@profile(stream=log)
def to_file_too():
    def inner():
        return len(bytearray(900008))  # @inner

    return inner()


@profile
def never():
    return bytearray(1)


def undecorated():
    return len(bytearray(5000002))  # @undecorated


if __name__ == "__main__":
    assert plain.__name__ == "plain" and plain.__code__.co_name == "plain"
    kept = plain(100000)
    Methods().method()
    Methods.of_class()
    Methods.static()
    list(generator(3))
    asyncio.run(coroutine())
    to_stream()
    to_file()
    to_file_too()
    undecorated()
    if "close" in sys.argv:
        log.close()
    print("done")
    if "raise" in sys.argv:
        raise SystemExit(3)
    if "fork" in sys.argv and os.fork() == 0:
        log = open("child's log", "w")
        plain(1000000)
        sys.exit()
    if "fork" in sys.argv:
        os.wait()
