"""Which models a task takes, and why another one does not fit, in one sentence each."""

from __future__ import annotations

from typing import Any

from river import base, compose
from river.reco.base import Ranker
from river.time_series.base import Forecaster

WANTED: dict[str, tuple[type, ...]] = {
    "binary": (base.Classifier,),
    "multiclass": (base.Classifier,),
    "regression": (base.Regressor,),
    "anomaly": (base.AnomalyDetector,),
}
NEEDS = {
    "binary": "a classifier",
    "multiclass": "a classifier",
    "regression": "a regressor",
    "anomaly": "an anomaly detector with score_one",
}
# By class: what it does instead, and the way out. The first that fits counts.
ELSEWHERE: tuple[tuple[type | tuple[type, ...], str, str], ...] = (
    (
        Forecaster,
        "forecasts a series, and this product predicts one event at a time",
        "Give a regressor the newest values as features: features=[f.last('value'), f.mean('value', '1h')]",
    ),
    (
        base.SupervisedAnomalyDetector,
        "judges a label, not an event",
        "Use an anomaly detector that scores features, or watch the label by drift=[Detect(…, 'labels')]",
    ),
    (
        base.AnomalyFilter,
        "filters what another model learns",
        "Put it in a pipeline before the model that answers",
    ),
    (
        (base.MultiTargetRegressor, base.MultiLabelClassifier),
        "predicts several values at once, and a label here is one value",
        "Define one application for each of them",
    ),
    (
        Ranker,
        "asks for a user and an item, and an event here has features",
        "Send both as features to a regressor, or to a factorization machine of facto",
    ),
    (
        base.Clusterer,
        "groups rows and answers with the number of a group",
        "Put it in a pipeline before a model that learns labels",
    ),
)


def answering_part(model: Any) -> Any:
    """The step of a pipeline that answers, or the model itself."""
    while isinstance(model, compose.Pipeline):
        model = list(model.steps.values())[-1]
    return model


def misfit(model: Any, task: str) -> tuple[str, str] | None:
    """Why a model does not fit a task, and the way out; None where it does."""
    part = answering_part(model)
    other = elsewhere(model)
    if other is not None or isinstance(part, WANTED[task]):
        return other
    name = type(part).__name__
    return (
        f"{name} does not fit task {task!r}, which needs {NEEDS[task]}",
        f"Choose {NEEDS[task]} of River",
    )


def elsewhere(model: Any) -> tuple[str, str] | None:
    """What a model of no task here does instead, and the way out; None for any other model."""
    part = answering_part(model)
    for kind, does, fix in ELSEWHERE:
        if isinstance(part, kind):
            return f"{type(part).__name__} {does}", fix
    return None
