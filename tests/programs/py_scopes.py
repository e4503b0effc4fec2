# SPDX-License-Identifier: MIT
"""Scopes in every kind of function that Python has. bytearray(N) is a block of N + 1 bytes."""
import asyncio
import contextlib
import os
import threading

import peakline


def make(size):
    return bytearray(size)  # @make


def plain():
    with peakline.scope("plain"):
        first = bytearray(100002)
        second = make(50020)
    third = bytearray(70000)
    del first, second, third


plain()


def nested():
    with peakline.scope("nested"):
        with peakline.scope("nested: inner"):
            inner = make(20010)
        outer = make(30012)
    return len(inner) + len(outer)


nested()


def recursive(depth):
    with peakline.scope("recursive"):
        block = make(10006)
        if depth:
            recursive(depth - 1)
        return len(block)


recursive(4)


async def task(name, size):
    with peakline.scope(name):
        first = bytearray(size)
        await asyncio.sleep(0.001)
        second = make(size)
        await asyncio.sleep(0.001)
    third = bytearray(3 * size)
    await asyncio.sleep(0)
    return len(first) + len(second) + len(third)


async def tasks():
    await asyncio.gather(task("task 1", 200002), task("task 2", 300006))


asyncio.run(tasks())


@peakline.scope("function")
def function(size):
    return len(bytearray(size))


function(40008)


def factory(name):
    @peakline.scope(name)
    def made(size):
        return len(bytearray(size))

    return made


first, second = factory("made 1"), factory("made 2")
first(41010)
second(42012)
del first


@peakline.scope("generator")
def generator(count):
    for _ in range(count):
        yield bytearray(110000)


for item in generator(3):
    held = bytearray(120010)
del item, held


@peakline.scope("coroutine")
async def coroutine():
    block = bytearray(130010)
    await asyncio.sleep(0)
    return len(block)


@peakline.scope("async generator")
async def agenerator():
    for _ in range(2):
        yield bytearray(140006)
        await asyncio.sleep(0)


async def coroutines():
    await coroutine()
    async for block in agenerator():
        held = bytearray(150010)
    del block, held


asyncio.run(coroutines())


class Methods:
    @peakline.scope("method")
    def method(self):
        return len(bytearray(51010))

    @peakline.scope("class method")
    @classmethod
    def of_class(cls):
        return len(bytearray(52002))

    @staticmethod
    @peakline.scope("static method")
    def static():
        return len(bytearray(53004))


Methods().method()
Methods.of_class()
Methods.static()


@contextlib.contextmanager
def step(name):
    with peakline.scope(name):
        yield


class Step:
    def __init__(self, name):
        self.scope = peakline.scope(name)

    def __enter__(self):
        self.scope.__enter__()

    def __exit__(self, *error):
        self.scope.__exit__(*error)


def managers():
    with step("contextmanager"):
        block = bytearray(61010)
    with Step("class"):
        block = bytearray(62006)
    with contextlib.ExitStack() as stack:
        stack.enter_context(peakline.scope("stack"))
        block = bytearray(63002)
    block = bytearray(64006)
    return len(block)


managers()

shared = peakline.scope("shared")
barrier = threading.Barrier(4)


def worker():
    with shared:
        block = bytearray(80020)
        barrier.wait()
    barrier.wait()
    del block


workers = [threading.Thread(target=worker) for _ in range(4)]
for thread in workers:
    thread.start()
for thread in workers:
    thread.join()


def wanderer():
    with peakline.scope("wanderer"):
        while True:
            yield bytearray(90010)


wandering = wanderer()
blocks = [next(wandering)]
thread = threading.Thread(target=lambda: blocks.append(next(wandering)))
thread.start()
thread.join()
blocks.append(next(wandering))
wandering.close()
del blocks

peakline.mark("é \udc80")
before = bytearray(700004)
with peakline.pause():
    unseen = bytearray(800000)  # @paused
    del before  # @freed_while_paused
del unseen
peakline.pause()
unseen = bytearray(810000)  # @paused_again
peakline.resume()
peakline.resume()
del unseen
seen = bytearray(820000)  # @seen
del seen
peakline.mark("end")

with peakline.scope("forked"):
    child = os.fork()
    if child == 0:
        block = bytearray(910002)
        os._exit(0)
    os.waitpid(child, 0)

try:
    peakline.scope("wrong")(len)
except TypeError as error:
    print(error)
for wrong in 3, None, b"name", len:
    for function in peakline.scope, peakline.mark:
        try:
            function(wrong)
            print("no error")
        except TypeError as error:
            print(error)
print("done")
