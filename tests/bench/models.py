# SPDX-License-Identifier: MIT
"""scikit-learn: its import, and three small models. Usage: models.py ROUNDS"""
import sys

import numpy as np
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def data(seed, rows=2000, columns=12):
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, columns))
    return features, (features[:, 0] + features[:, 1] ** 2 + random.normal(size=rows) > 1).astype(int)


def main(rounds):
    scores = []
    for seed in range(rounds):
        features, labels = data(seed)
        linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
        scores.append(cross_val_score(linear, features, labels, cv=5).mean())
        forest = RandomForestClassifier(n_estimators=30, max_depth=8, random_state=seed)
        scores.append(forest.fit(features[:1500], labels[:1500]).score(features[1500:], labels[1500:]))
        scores.append(KMeans(n_clusters=4, n_init=3, random_state=seed).fit(features).inertia_)
    print(len(scores), "%.6f" % sum(scores))


main(int(sys.argv[1]))
