"""A forked child goes on with greenlets that its parent has imported: their C stacks are swapped while memory is given back."""
import os

import greenlet


def work():
    while True:
        parent.switch(bytearray(1000))


def deep(depth, target):
    return deep(depth - 1, target) if depth else target.switch()


parent = greenlet.getcurrent()
child = os.fork()
greenlets = [greenlet.greenlet(work) for _ in range(4)]
for number in range(2000):
    sorted([0], key=lambda _: deep(number % 17, greenlets[number % 4]) and 0)
if child:
    print(os.waitpid(child, 0)[1])
held = bytearray(3000017)  # @held
if not child:
    os._exit(0)
