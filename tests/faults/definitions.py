"""The applications under fault; `FAULTS_RUN` keeps one test's topics apart from another's."""

from __future__ import annotations

import os
from typing import Any

from river import linear_model, naive_bayes, preprocessing, tree

from stream_app import features as f
from stream_app.application import Application, Labels, Snapshots, SwapPolicy

RUN = os.environ.get("FAULTS_RUN", "0")
SHARDS = int(os.environ.get("FAULTS_SHARDS", "4"))
HORIZON = "5s"
POISON = 666.0
NEVER = SwapPolicy(policy="never")  # the judge recomputes one model of each slot
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
    swap=NEVER,
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
    swap=NEVER,
)


class Deadly(naive_bayes.GaussianNB):
    """Ends its process at one value, as a crash in native code does."""

    def predict_proba_one(self, x: Any, **kwargs: Any) -> Any:
        if x["x0"] == POISON:
            os._exit(9)
        return super().predict_proba_one(x)  # type: ignore[no-untyped-call]


deadly = Application(
    name=f"deadly-{RUN}",
    task="binary",
    shards=SHARDS,
    labels=Labels(horizon="1h"),
    champion=lambda seed: Deadly(),  # type: ignore[no-untyped-call]
    snapshot=OFTEN,
    swap=NEVER,
)
turning = Application(
    name=f"turning-{RUN}",
    task="binary",
    shards=SHARDS,
    features=[f.count(window="1h")],
    champion=lambda seed: tree.HoeffdingTreeClassifier(grace_period=50),
    challengers={"bayes": lambda seed: naive_bayes.GaussianNB()},
    snapshot=OFTEN,
    swap=SwapPolicy(cooldown=100, respawn=100, budget=1_000),
)
