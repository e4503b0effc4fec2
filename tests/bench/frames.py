# SPDX-License-Identifier: MIT
"""pandas: an evaluation of predictions in a CSV file, in chunks and as a whole.

frames.py --generate FILE    writes the predictions, the same ones each time
frames.py FILE
"""
import os
import random
import sys

import pandas as pd

ROWS, CHUNK = 200_000, 5_000


def generate(path):
    chance = random.Random(7)
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write("name,region,label,guess,score\n")
        for i in range(ROWS):
            label = chance.randrange(5)
            guess = label if chance.random() < 0.8 else chance.randrange(5)
            file.write("item %d,region %d,class %d,class %d,%.6f\n" % (i, i * 7919 % 97, label, guess, chance.random()))
    os.replace(path + ".new", path)


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


if __name__ == "__main__":
    if sys.argv[1] == "--generate":
        if not os.path.exists(sys.argv[2]):
            generate(sys.argv[2])
    else:
        main(sys.argv[1])
