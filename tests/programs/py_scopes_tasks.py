# SPDX-License-Identifier: MIT
"""Random programs of tasks, callbacks, threads and generators in and out of scopes, which count for themselves.

Prints, as JSON, what was allocated by make in each scope while it was open. Whoever runs is handed the scopes that it should be in.
"""
import asyncio
import contextvars
import gc
import json
import random
import sys
import threading

import peakline

one_at_a_time = threading.Lock()  # the count and the allocation are one step
ONE_SHARED_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
gc.disable()  # what it does would be on the line where it comes
every = []


class Scope:
    def __init__(self):
        self.name = "scope %d" % len(every)
        self.open = False
        self.bytes = self.blocks = 0
        every.append(self)

    def __enter__(self):
        with one_at_a_time:
            self.scope = peakline.scope(self.name)
            self.scope.__enter__()
            self.open = True
        return self

    def __exit__(self, *error):
        with one_at_a_time:
            self.scope.__exit__(*error)
            self.open = False


def count(size, inside):
    for scope in set(inside):
        if scope.open:
            scope.bytes += size + sys.getsizeof(b"")
            scope.blocks += 1


def make(size, inside):
    with one_at_a_time:
        count(size, inside)
        block = b"-" * size  # @make
        del block


held = [None] * 4


def hold(number, size, inside):
    with one_at_a_time:
        count(size, inside)
    held[number] = b"-" * size  # @hold


def generate(random, inside, scope):
    with scope:
        make(odd(random), inside + [scope])
        yield
        make(odd(random), inside + [scope])
        yield


def odd(random):
    return 1000 + 2 * random.randrange(5000)


async def in_thread(function, *arguments):
    call = contextvars.copy_context().run
    await asyncio.get_running_loop().run_in_executor(None, call, function, *arguments)


async def work(random, depth, inside, copies):
    later = []
    for _ in range(random.randint(3, 6)):
        action = random.randrange(12) if depth else random.randrange(5)
        if action == 0:
            await asyncio.sleep(0)
        elif action == 1:
            # What was copied elsewhere is run here: in the scopes of both.
            context, there = random.choice(copies)
            context.run(make, odd(random), inside + there)
        elif action == 2:
            copies.append((contextvars.copy_context(), inside))
        elif action == 3:
            asyncio.get_running_loop().call_soon(make, odd(random), inside)
            # The same frames one after the other, in other contexts; no other block of malloc's comes in between.
            held[:] = [None] * 4
            for number, (context, there) in enumerate(copies[-4:]):
                asyncio.get_running_loop().call_soon(hold, number, odd(random), there, context=context)
        elif action == 4:
            make(odd(random), inside)
        elif action == 5:
            await in_thread(make, odd(random), inside)
        elif action == 6 and ONE_SHARED_GIL:
            thread = threading.Thread(target=make, args=(odd(random), []))
            thread.start()
            thread.join()
        elif action == 7:
            for _ in generate(random, inside, Scope()):
                make(odd(random), inside)
                await asyncio.sleep(0)
        elif action == 8:
            await asyncio.gather(*[work(random, depth - 1, inside, copies) for _ in range(3)])
        elif action == 9:
            later.append(asyncio.ensure_future(work(random, depth - 1, inside, copies)))
        else:
            with Scope() as scope:
                # Some of these tasks end later than the scope.
                later.append(asyncio.ensure_future(work(random, depth - 1, inside + [scope], copies)))
                await work(random, depth - 1, inside + [scope], copies)
            make(odd(random), inside)
    for task in later:
        await task


async def main(seed):
    chance = random.Random(seed)
    await work(chance, 3, [], [(contextvars.copy_context(), [])])


# Other variables, few or many, in the same contexts.
others = [contextvars.ContextVar("other %d" % number) for number in range(100)]
for seed in range(int(sys.argv[1])):
    for other in others[: seed * 5]:
        other.set(seed)
    asyncio.run(main(seed))
print(json.dumps({scope.name: [scope.bytes, scope.blocks] for scope in every if scope.blocks}))
