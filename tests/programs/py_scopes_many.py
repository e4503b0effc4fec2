# SPDX-License-Identifier: MIT
"""Ten thousand tasks in scopes at the same time, and three thousand scopes of different names after each other."""
import asyncio

import peakline


async def task(number):
    with peakline.scope("task %d" % (number % 4)):
        await asyncio.sleep(0.1)
        block = bytearray(4000)
        await asyncio.sleep(0)
    return block


async def tasks(count):
    return len(await asyncio.gather(*[task(number) for number in range(count)]))


print(asyncio.run(tasks(10000)))
for number in range(3000):
    with peakline.scope("epoch %d" % number):
        block = bytearray(5000 + number)
