# SPDX-License-Identifier: MIT
"""C code of numpy and pandas that calls Python functions, which allocate."""
import functools
import platform

platform._Processor.from_subprocess = staticmethod(lambda: "")  # an answer comes in as many pieces as it likes

import numpy as np
import pandas as pd


class Key:
    def __init__(self, number):
        self.number = number

    def __lt__(self, other):
        bytearray(4001)
        return self.number < other.number


def sort():
    array = np.array([Key(number % 7) for number in range(50)], dtype=object)
    array.sort()
    return len(array)


def measure(number):
    return number + len(bytes(10007))


def vectorized():
    return float(np.vectorize(measure, otypes=[float])(np.arange(20)).sum() + np.frompyfunc(measure, 1, 1)(np.arange(10)).sum())


def along():
    return float(np.apply_along_axis(lambda column: np.ones(100003).sum() + column.sum(), 0, np.ones((5, 7))).sum())


def row(series):
    return series["a"] * 2 + len(bytearray(20003))


def applied():
    frame = pd.DataFrame({"a": range(100), "b": np.arange(100.0)})
    return int(frame.apply(row, axis=1).sum()) + int(frame.groupby(frame.a % 3).apply(lambda part: len(bytearray(30011))).sum())


def reduced():
    return functools.reduce(lambda a, b: a + len(bytearray(5003)), range(10))


print(sort(), vectorized(), along(), applied(), reduced(), sum(map(measure, range(5))))
