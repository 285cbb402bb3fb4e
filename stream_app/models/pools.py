"""A pool of cheap models for each task, for a blend: somebody who knows no River gets a good answer.

| name | what it is good for | µs an event, about |
|---|---|---|
| champion | logistic, softmax or linear regression that learns slowly: stable streams, late labels | 20 |
| fast | the same, ten times faster: streams that drift | 20 |
| bayes | naive Bayes, classes alone: few labels, many features | 100 |
| mean | the newest targets' mean, values alone: what needs no feature | 2 |
| tree | Hoeffding tree: thresholds and interactions, much data | 50 |
| adaptive | Hoeffding tree that replaces its branches where they go wrong: drift in parts | 100 |
| last | the last class, or what is nearly the last value: labels that come in runs | 1 |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from river import compose, dummy, linear_model, naive_bayes, optim, preprocessing, stats, tree

from drift.blend import Blend
from stream_app.errors import UsageError

SLOW, FAST = 0.01, 0.1  # learning rates
NEWEST, NEARLY_LAST = 0.05, 0.7  # weights of the newest target in a fading mean
POOLS = ("binary", "multiclass", "regression")


def pool(task: str) -> dict[str, Any]:
    """Give six models and a blend of them: `Application(name="rain", **pool("binary"))`.

    Features may be numbers, booleans and strings.

    Raises:
        UsageError: no pool fits the task.
    """
    if task not in POOLS:
        raise UsageError(f"there is no pool for task {task!r}", f"Choose one of {', '.join(POOLS)}")
    linear = {"binary": logistic, "multiclass": softmax, "regression": least_squares}[task]
    others = regressors() if task == "regression" else classifiers()
    return {
        "task": task,
        "champion": linear(SLOW),
        "challengers": {"fast": linear(FAST), **others},
        "serve": Blend(),
    }


def scaled(model: Any) -> Any:
    """A model behind scaled numbers and one-hot strings; trees of values cannot take strings either."""
    numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()
    strings = compose.SelectType(str) | preprocessing.OneHotEncoder()
    return (numbers + strings) | model


def logistic(rate: float) -> Callable[[int], Any]:
    """Logistic regression."""
    return lambda _: scaled(linear_model.LogisticRegression(optimizer=optim.SGD(rate)))


def softmax(rate: float) -> Callable[[int], Any]:
    """Softmax regression."""
    return lambda _: scaled(linear_model.SoftmaxRegression(optimizer=optim.SGD(rate)))


def least_squares(rate: float) -> Callable[[int], Any]:
    """Linear regression."""
    return lambda _: scaled(linear_model.LinearRegression(optimizer=optim.SGD(rate)))


def classifiers() -> dict[str, Callable[[int], Any]]:
    """What is no linear model, for classes."""
    return {
        "bayes": lambda _: compose.SelectType(int, float) | naive_bayes.GaussianNB(),
        "tree": lambda _: tree.HoeffdingTreeClassifier(),
        "adaptive": lambda seed: tree.HoeffdingAdaptiveTreeClassifier(seed=seed),
        "last": lambda _: dummy.NoChangeClassifier(),
    }


def regressors() -> dict[str, Callable[[int], Any]]:
    """The same for values."""
    return {
        "mean": lambda _: dummy.StatisticRegressor(stats.EWMean(NEWEST)),
        "tree": lambda _: scaled(tree.HoeffdingTreeRegressor()),
        "adaptive": lambda seed: scaled(tree.HoeffdingAdaptiveTreeRegressor(seed=seed)),
        "last": lambda _: dummy.StatisticRegressor(stats.EWMean(NEARLY_LAST)),
    }
