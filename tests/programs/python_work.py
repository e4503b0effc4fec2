# SPDX-License-Identifier: MIT
"""Many stacks: every way in which frames come, go and stay, with allocations all along. Prints one line."""
import asyncio
import collections
import dataclasses
import json
import os
import random
import sys
import threading

random.seed(1)
large = len(sys.argv) > 1


@dataclasses.dataclass
class Point:
    x: int
    y: int
    tags: list


def points(count):
    for i in range(count):
        yield Point(i, i * i, [str(i)] * 3)


def chain(count):
    yield from points(count)


def nested(depth):
    if depth == 0:
        return [1, 2, 3.5]
    return [nested(depth - 1), str(depth) * 20]


def pull(source, count):
    return [next(source) for _ in range(count)] if count else []


def encode():
    groups = collections.defaultdict(list)
    for i, point in enumerate(chain(800)):
        groups[point.x % 7].append(dataclasses.asdict(point))
        if i % 100 == 0:
            nested(i % 300)
    return sorted(json.loads(json.dumps(groups)).items(), key=lambda item: str(item[1])[:10])


def alternate():
    # Two generators that are resumed by turns, at different depths.
    one, other = chain(100), points(100)
    for _ in range(20):
        pull(one, 2)
        (lambda: pull(other, 1))()
        (lambda: (lambda: pull(one, 1))())()


def compiled(count):
    # Code objects come and go; their addresses are used again.
    for i in range(count):
        source = "\n" * (i % 17) + "def f(x):\n" + "    y = [x]\n" * (i % 5) + "    return [str(x), {x: [x] * 3}]\nf(%d)\n" % i
        exec(compile(source, "<made %d>" % (i % 13), "exec"), {})
        eval("lambda a: [a, [a] * %d]" % (i % 9 + 1))(i)


def threads():
    def work():
        for i in range(20):
            json.loads(json.dumps({"a": [i] * i}))
            nested(5)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


async def deep(depth):
    if depth:
        await deep(depth - 1)
    await asyncio.sleep(0)
    return [depth] * depth


async def tasks():
    await asyncio.gather(*(deep(i % 12) for i in range(60)))


def traced():
    def trace(frame, event, argument):
        [event] * 3
        return trace

    sys.settrace(trace)
    nested(5)
    sys.settrace(None)
    sys.setprofile(lambda *arguments: [arguments])
    nested(5)
    sys.setprofile(None)
    if sys.version_info >= (3, 12):
        events = sys.monitoring.events
        sys.monitoring.use_tool_id(3, "test")
        for event in events.LINE, events.INSTRUCTION:
            sys.monitoring.register_callback(3, event, lambda code, place: [place] * 2)
        sys.monitoring.set_events(3, events.LINE | events.INSTRUCTION)
        nested(5)
        sys.monitoring.set_events(3, 0)
        sys.monitoring.free_tool_id(3)


def recursive(depth):
    [depth] * 3
    if depth:
        recursive(depth - 1)
    return [depth] * 5


def far_down(*depths):
    # Deeper than what is kept of a stack, up, and down again.
    sys.setrecursionlimit(10**6)
    threading.stack_size(512 << 20)
    worker = threading.Thread(target=lambda: [recursive(depth) for depth in depths])
    worker.start()
    worker.join()
    threading.stack_size(0)


def forked():
    child = os.fork()
    if child == 0:
        nested(20)
        compiled(10)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def daemons():
    # Still running when the interpreter ends.
    def spin():
        while True:
            [1] * 3
            bytearray(2000)

    for _ in range(3):
        threading.Thread(target=spin, daemon=True).start()


encode()
alternate()
compiled(10000 if large else 500)
threads()
asyncio.run(tasks())
traced()
far_down(*((3000, 300, 2500) if large else (300,)))
forked()
daemons()
nested(10)
print("done")
