"""The models that learners of these tests run, and bare River beside them: one factory for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from river import ensemble, linear_model, naive_bayes, optim, preprocessing, tree

from stream_app.application import Application
from tests.bayes import bayes

SEED = 42  # River's published figures are those of this seed, whatever seed a slot would be given
MODELS: dict[str, Callable[[int], Any]] = {
    "logistic": lambda _: preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.005)),
    "bayes": lambda _: naive_bayes.GaussianNB(),
    "quick-bayes": bayes,
    "adaptive-tree": lambda _: tree.HoeffdingAdaptiveTreeClassifier(seed=SEED),
    "adwin-bagging": lambda _: ensemble.ADWINBaggingClassifier(
        tree.HoeffdingTreeClassifier(), n_models=10, seed=SEED
    ),
    "leveraging-bagging": lambda _: ensemble.LeveragingBaggingClassifier(
        tree.HoeffdingTreeClassifier(), n_models=10, seed=SEED
    ),
    "linear": lambda _: preprocessing.StandardScaler() | linear_model.LinearRegression(),
}


def application(name: str, model: str, shards: int = 1) -> Application:
    """An application with one of the models as its champion."""
    task = "regression" if model == "linear" else "binary"
    return Application(name=name, task=task, shards=shards, champion=MODELS[model])
