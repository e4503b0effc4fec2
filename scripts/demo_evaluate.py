# SPDX-License-Identifier: MIT
"""Evaluates a model on a CSV file twice: all rows at once, and in chunks. The demo of peakline.

demo_evaluate.py --generate FILE    writes the measurements, the same ones each time
demo_evaluate.py FILE               trains on the first rows, evaluates on all of them
"""
import gc
import os
import sys

import numpy as np
import pandas as pd

ROWS, FEATURES, CHUNK = 150_000, 12, 10_000


def generate(path):
    random = np.random.RandomState(20)
    x = random.normal(size=(ROWS, FEATURES))
    frame = pd.DataFrame(x, columns=[f"sensor_{i}" for i in range(FEATURES)])
    frame["label"] = (x[:, 0] + x[:, 1] * x[:, 2] + random.normal(scale=0.3, size=ROWS) > 0).astype(int)
    frame.to_csv(path + ".new", index=False, float_format="%.7f")
    os.replace(path + ".new", path)


def train(path):
    from sklearn.tree import DecisionTreeClassifier
    head = pd.read_csv(path, nrows=CHUNK)
    model = DecisionTreeClassifier(max_depth=8, random_state=0)
    return model.fit(head.drop(columns="label"), head["label"])


def evaluate_whole(model, path):
    frame = pd.read_csv(path)
    features = frame.drop(columns="label")
    predicted = model.predict(features)
    right = int((predicted == frame["label"]).sum())
    del frame
    del features
    return right / len(predicted)


def evaluate_chunks(model, path):
    right = rows = 0
    for chunk in pd.read_csv(path, chunksize=CHUNK):
        features = chunk.drop(columns="label")
        predicted = model.predict(features)
        right += int((predicted == chunk["label"]).sum())
        rows += len(chunk)
    return right / rows


class Fold:
    """One part of the rows; knows its neighbours, and so forms a cycle with them."""

    def __init__(self, rows):
        self.rows = rows
        self.before = self.after = None


def cross_validate(path, count=5):
    folds = [Fold(rows) for rows in np.array_split(pd.read_csv(path).to_numpy(), count)]
    folds = [Fold(fold.rows.copy()) for fold in folds]
    for before, after in zip(folds, folds[1:]):
        before.after, after.before = after, before
    means = [fold.rows[:, -1].mean() for fold in folds]
    del folds, before, after
    gc.collect()
    return np.std(means)


def main(path):
    model = train(path)
    print(f"whole:  accuracy {evaluate_whole(model, path):.4f}")
    print(f"chunks: accuracy {evaluate_chunks(model, path):.4f}")
    print(f"folds:  deviation {cross_validate(path):.4f}")


if __name__ == "__main__":
    if sys.argv[1] == "--generate":
        if not os.path.exists(sys.argv[2]):
            generate(sys.argv[2])
    else:
        main(sys.argv[1])
