# SPDX-License-Identifier: MIT
"""pandas: an evaluation of predictions in a CSV file, in chunks and as a whole. Usage: frames.py FILE"""
import sys

import pandas as pd

CHUNK = 5_000


def judge(frame):
    right = frame["label"] == frame["guess"]
    per_class = right.groupby(frame["label"]).agg(["sum", "count"])
    sure = frame.loc[frame["score"] > 0.5]
    return per_class, float((sure["label"] == sure["guess"]).mean())


def in_chunks(path):
    total, sure = None, []
    for chunk in pd.read_csv(path, chunksize=CHUNK):
        per_class, part = judge(chunk)
        total = per_class if total is None else total.add(per_class, fill_value=0)
        sure.append(part)
        del chunk
    return total, sum(sure) / len(sure)


def whole(path):
    frame = pd.read_csv(path)
    per_class, sure = judge(frame)
    best = frame.sort_values("score").groupby("region").tail(3)
    words = frame["name"].str.split(" ").str[1].astype(int)
    table = frame.pivot_table(index="label", columns="guess", values="score", aggfunc="mean")
    del frame
    return per_class, sure, len(best), int(words.sum()), table.shape


def main(path):
    total, sure = in_chunks(path)
    print(int(total["sum"].sum()), "%.4f" % sure)
    print(*whole(path)[1:])


main(sys.argv[1])
