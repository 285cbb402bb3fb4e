"""The measured definitions, one attribute per model; each run is fresh, so the environment names it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from river import forest, linear_model, preprocessing, tree

from stream_app import Application, Labels
from stream_app import features as f

RUN = os.environ.get("STREAM_APP_BENCH_RUN", "none")
WITH_FEATURES = os.environ.get("STREAM_APP_BENCH_FEATURES") == "1"
WATCHED = os.environ.get("STREAM_APP_BENCH_MONITORS") != "0"
FIELD = "age_of_domain"

MODELS: dict[str, Callable[[int], Any]] = {
    "logistic": lambda _: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "hoeffding": lambda _: tree.HoeffdingTreeClassifier(),
    "arf": lambda seed: forest.ARFClassifier(n_models=10, seed=seed),
}


def define(model: str) -> Application:
    """A binary task on one shard, with or without three features per entity, and the default monitors."""
    return Application(
        name=f"bench-{model}-{RUN}",
        task="binary",
        champion=MODELS[model],
        labels=Labels(horizon="1h"),
        features=[f.count(window="10m"), f.mean(FIELD, window="1h"), f.last(FIELD)] if WITH_FEATURES else [],
        drift=None if WATCHED else [],
    )


logistic = define("logistic")
hoeffding = define("hoeffding")
arf = define("arf")
