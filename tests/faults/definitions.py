"""The applications under fault; `FAULTS_RUN` keeps one test's topics apart from another's."""

from __future__ import annotations

import os

from river import linear_model, preprocessing, tree

from stream_app import features as f
from stream_app.application import Application, Labels, Snapshots

RUN = os.environ.get("FAULTS_RUN", "0")
SHARDS = int(os.environ.get("FAULTS_SHARDS", "4"))
HORIZON = "5s"
OFTEN = Snapshots(max_cost=1.0, max_recovery="10ms")  # of stepping: every few hundred records

numeric = Application(
    name=f"numeric-{RUN}",
    task="binary",
    shards=SHARDS,
    labels=Labels(horizon=HORIZON),
    features=[f.last("x0")],
    champion=lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    challengers={"tree": lambda seed: tree.HoeffdingAdaptiveTreeClassifier(seed=seed)},
    snapshot=OFTEN,
)
strings = Application(
    name=f"strings-{RUN}",
    task="multiclass",
    shards=SHARDS,
    labels=Labels(horizon=HORIZON),
    features=[f.last("colour")],
    champion=lambda seed: tree.HoeffdingAdaptiveTreeClassifier(
        grace_period=20, bootstrap_sampling=True, seed=seed
    ),
    snapshot=OFTEN,
)
