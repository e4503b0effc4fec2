# SPDX-License-Identifier: MIT
"""The evaluation script in small: a CSV file read in chunks and whole, `del`, `gc.collect()`, and a model.

Prints what pandas says about the sizes, for comparison.
"""
import gc
import sys

import numpy as np
import pandas as pd


def write(path):
    rows = 100000
    generator = np.random.default_rng(7)
    frame = pd.DataFrame({"c%d" % i: generator.random(rows).round(6) for i in range(8)})
    frame.to_csv(path, index=False)


def score(frame):
    return float((frame.to_numpy() @ np.arange(8.0)).sum())


def chunked(path):
    total = 0.0
    largest = 0
    for chunk in pd.read_csv(path, chunksize=10000):  # @chunks
        largest = max(largest, int(chunk.memory_usage(deep=True).sum()))
        total += score(chunk)
    print("chunk", largest)
    return total


def whole(path):
    frame = pd.read_csv(path)  # @whole
    print("frame", int(frame.memory_usage(deep=True).sum()))
    total = score(frame)
    del frame  # @del
    gc.collect()
    return total


def main(path):
    write(path)
    gc.collect()
    first = chunked(path)  # @call_chunked
    second = whole(path)  # @call_whole
    assert abs(first - second) < 1e-3 * abs(second)


main(sys.argv[1])
