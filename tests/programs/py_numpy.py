# SPDX-License-Identifier: MIT
"""Arrays of odd sizes: whole, in chunks, deleted, in cycles, and grown by an expression's temporaries."""
import gc

import numpy as np


def whole():
    array = np.ones(3000017, dtype=np.uint8)  # @ones
    del array  # @del
    zeros = np.zeros(5000011, dtype=np.uint8)  # @zeros
    return int(zeros[17])


def temporaries():
    a = np.arange(100003, dtype=np.float64)  # @arange
    return float(((a * 2 + 1) * (a + 3)).sum())  # @expression


def cycles():
    gc.collect()
    gc.disable()
    for _ in range(3):
        node = []
        node.append(node)
        node.append(np.empty(900007, dtype=np.uint8))  # @cycle
    node = None
    gc.collect()  # @collect
    gc.enable()


def resized():
    array = np.zeros(1000003, dtype=np.uint8)  # @resize_first
    array.resize(2000003, refcheck=False)  # @resize
    return array.nbytes


whole()
temporaries()
cycles()
print(resized())
