"""Models of many kinds pass the snapshot's own unpickler: what it refuses, no definition could use."""

from __future__ import annotations

import importlib
import inspect
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from math import sin
from typing import Any

import numpy as np
import pytest
from river import (
    anomaly,
    compose,
    drift,
    ensemble,
    facto,
    feature_extraction,
    feature_selection,
    forest,
    imblearn,
    linear_model,
    metrics,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    optim,
    preprocessing,
    rules,
    stats,
    time_series,
    tree,
    utils,
)

from drift.detectors import Detect
from stream_app import features
from stream_app.adapters.pickled import refill_sets
from stream_app.adapters.snapshot_store import round_trip
from stream_app.adapters.unpickler.names import RIVER
from stream_app.application import Labels
from stream_app.learner.recovery.snapshots import state_digest
from stream_app.models.calls import gives_probabilities
from stream_app.models.digest import structural_digest
from tests.scenario.shard_driver import ShardDriver, application

LEARNED, AFTER = 300, 40

CLASSIFIERS: dict[str, Any] = {
    "logistic": compose.SelectType(float)
    | preprocessing.StandardScaler()
    | linear_model.LogisticRegression(optim.Adam()),
    "one-hot": compose.SelectType(str) | preprocessing.OneHotEncoder() | linear_model.LogisticRegression(),
    "union": (compose.SelectType(float) | preprocessing.MinMaxScaler())
    + (compose.Select("city") | preprocessing.OrdinalEncoder())
    | tree.HoeffdingTreeClassifier(),
    "hashing": preprocessing.FeatureHasher(seed=1) | linear_model.PAClassifier(),
    "polynomials": compose.SelectType(float)
    | feature_extraction.PolynomialExtender()
    | linear_model.Perceptron(),
    "random features": compose.SelectType(float)
    | feature_extraction.RBFSampler(seed=1)
    | linear_model.ALMAClassifier(),
    "selection": compose.SelectType(float)
    | feature_selection.VarianceThreshold()
    | linear_model.LogisticRegression(),
    "aggregate": feature_extraction.TargetAgg(by="city", how=stats.Mean()) | naive_bayes.GaussianNB(),
    "softmax": compose.SelectType(float) | linear_model.SoftmaxRegression(),
    "gaussian": compose.SelectType(float) | naive_bayes.GaussianNB(),
    "HoeffdingTree": tree.HoeffdingTreeClassifier(grace_period=50, delta=0.1),
    "HAT": tree.HoeffdingAdaptiveTreeClassifier(grace_period=50, delta=0.1, seed=1),
    "EFDT": tree.ExtremelyFastDecisionTreeClassifier(grace_period=50, delta=0.1),
    "LAST": tree.LASTClassifier(),
    "SGT": tree.SGTClassifier(grace_period=50),
    "ARF": forest.ARFClassifier(n_models=3, seed=1),
    "AMF": compose.SelectType(float) | forest.AMFClassifier(n_estimators=3, seed=1),
    "SRP": ensemble.SRPClassifier(tree.HoeffdingTreeClassifier(grace_period=50), n_models=3, seed=1),
    "bagging": ensemble.BaggingClassifier(tree.HoeffdingTreeClassifier(), n_models=3, seed=1),
    "ADWIN bagging": ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(), n_models=3, seed=1),
    "ADWIN boosting": ensemble.ADWINBoostingClassifier(tree.HoeffdingTreeClassifier(), n_models=3, seed=1),
    "leveraging": ensemble.LeveragingBaggingClassifier(tree.HoeffdingTreeClassifier(), n_models=3, seed=1),
    "AdaBoost": ensemble.AdaBoostClassifier(tree.HoeffdingTreeClassifier(), n_models=3, seed=1),
    "BOLE": ensemble.BOLEClassifier(
        drift.DriftRetrainingClassifier(tree.HoeffdingTreeClassifier()), 3, seed=1
    ),
    "voting": compose.SelectType(float)
    | ensemble.VotingClassifier([naive_bayes.GaussianNB(), linear_model.LogisticRegression()]),
    "stacking": compose.SelectType(float)
    | ensemble.StackingClassifier(
        [naive_bayes.GaussianNB(), tree.HoeffdingTreeClassifier()], linear_model.LogisticRegression()
    ),
    "KNN": compose.SelectType(float) | neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=100)),
    "FM": facto.FMClassifier(seed=1),
    "FFM": facto.FFMClassifier(seed=1),
    "one versus rest": compose.SelectType(float)
    | multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
    "output code": compose.SelectType(float)
    | multiclass.OutputCodeClassifier(linear_model.LogisticRegression(), 5, seed=1),
    "under-sampling": compose.SelectType(float)
    | imblearn.RandomUnderSampler(linear_model.LogisticRegression(), {True: 0.5, False: 0.5}, seed=1),
    "bandit": compose.SelectType(float)
    | model_selection.SuccessiveHalvingClassifier(
        [linear_model.LogisticRegression(optim.SGD(rate)) for rate in (0.1, 0.01)], metrics.Accuracy(), 200
    ),
}
REGRESSORS: dict[str, Any] = {
    "linear": preprocessing.StandardScaler() | linear_model.LinearRegression(),
    "passive-aggressive": preprocessing.StandardScaler() | linear_model.PARegressor(),
    "Bayesian": linear_model.BayesianLinearRegression(),
    "HoeffdingTree": tree.HoeffdingTreeRegressor(grace_period=50),
    "HAT": tree.HoeffdingAdaptiveTreeRegressor(grace_period=50, seed=1),
    "SGT": tree.SGTRegressor(grace_period=50),
    "ARF": forest.ARFRegressor(n_models=3, seed=1),
    "AMF": forest.AMFRegressor(n_estimators=3, seed=1),
    "OXT": forest.OXTRegressor(n_models=3, seed=1),
    "SRP": ensemble.SRPRegressor(tree.HoeffdingTreeRegressor(grace_period=50), n_models=3, seed=1),
    "rules": rules.AMRules(),
    "bagging": ensemble.BaggingRegressor(linear_model.LinearRegression(), n_models=3, seed=1),
    "experts": ensemble.EWARegressor([linear_model.LinearRegression(), linear_model.PARegressor()]),
    "KNN": neighbors.KNNRegressor(engine=neighbors.LazySearch(window_size=100)),
    "FM": facto.FMRegressor(seed=1),
    "scaled target": preprocessing.TargetStandardScaler(linear_model.LinearRegression()),
    "imputed": preprocessing.StatImputer() | preprocessing.RobustScaler() | linear_model.LinearRegression(),
}
DETECTORS: dict[str, Any] = {
    "half-space trees": preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=3, height=4, seed=1),
    "one-class SVM": anomaly.OneClassSVM(),
    "LODA": anomaly.LODA(seed=1),
    "local outliers": anomaly.LocalOutlierFactor(n_neighbors=5),
}
FORECASTERS: dict[str, Any] = {
    "SNARIMAX": time_series.SNARIMAX(p=4, d=1, q=2, m=12, sp=1),
    "Holt-Winters": time_series.HoltWinters(alpha=0.3, beta=0.1, gamma=0.6, seasonality=12),
}


def row(i: int, strings: bool = False) -> dict[str, Any]:
    """Numbers on incommensurable waves, and a string."""
    numbers: dict[str, Any] = {"a": sin(i * 0.37), "b": sin(i * 0.61 + 1) * 5, "c": sin(i * 1.7) + i / 300}
    return {**numbers, "city": ("Lyon", "Oslo", "Rome")[i % 3]} if strings else numbers


def target(i: int) -> float:
    """What the row of an index leads to."""
    x = row(i)
    return float(x["a"] - x["b"] / 5 + i % 3)


def judge(model: Any, learn: Callable[[Any, int], None], answer: Callable[[Any, int], Any]) -> None:
    """Assert that the model and its twin answer alike, learn alike and are alike to the bit."""
    for i in range(LEARNED):
        learn(model, i)
    twin = round_trip(model, ())
    refill_sets([model])
    for i in range(LEARNED, LEARNED + AFTER):
        assert answer(twin, i) == answer(model, i)
        learn(model, i)
        learn(twin, i)
    assert structural_digest(twin) == structural_digest(model)


@pytest.mark.parametrize("model", CLASSIFIERS.values(), ids=CLASSIFIERS.keys())
def test_a_classifier_comes_back_whole(model: Any) -> None:
    """Classes, probabilities and what is learned after the round trip are equal, bit for bit."""

    def learn(learner: Any, i: int) -> None:
        learner.learn_one(row(i, strings=True), target(i) > 1)

    calls = ("predict_one", "predict_proba_one") if gives_probabilities(model) else ("predict_one",)
    judge(model, learn, lambda twin, i: [getattr(twin, call)(row(i, strings=True)) for call in calls])


@pytest.mark.parametrize("model", REGRESSORS.values(), ids=REGRESSORS.keys())
def test_a_regressor_comes_back_whole(model: Any) -> None:
    """Targets and what is learned after the round trip are equal, bit for bit."""
    judge(model, lambda twin, i: twin.learn_one(row(i), target(i)), lambda twin, i: twin.predict_one(row(i)))


@pytest.mark.parametrize("model", DETECTORS.values(), ids=DETECTORS.keys())
def test_an_anomaly_detector_comes_back_whole(model: Any) -> None:
    """Scores and what is learned after the round trip are equal, bit for bit."""
    judge(model, lambda twin, i: twin.learn_one(row(i)), lambda twin, i: twin.score_one(row(i)))


@pytest.mark.parametrize("model", FORECASTERS.values(), ids=FORECASTERS.keys())
def test_a_forecaster_comes_back_whole(model: Any) -> None:
    """Forecasts and what is learned after the round trip are equal, bit for bit."""
    judge(model, lambda twin, i: twin.learn_one(target(i)), lambda twin, i: twin.forecast(horizon=5))


PARTS: dict[str, Any] = {
    "rolling": utils.Rolling(stats.Mean, 5),
    "rolling quantile": stats.RollingQuantile(0.5, 10),
    "time rolling": utils.TimeRolling(stats.Mean, timedelta(seconds=5)),
    "dice": random.Random(1),
    "random state": np.random.RandomState(1),
    "generator": np.random.default_rng(1),
    "array": np.arange(6.0).reshape(2, 3),
    "scalar": np.float64(0.1),
    "metrics": metrics.ROCAUC() + metrics.LogLoss(),
    "counter": Counter("abca"),
    "page-hinkley": drift.PageHinkley(),
    "KSWIN": drift.KSWIN(seed=1),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_what_models_hold_comes_back_whole(part: Any) -> None:
    """Statistics, metrics, detectors, dice and arrays are equal after the round trip, bit for bit."""
    assert structural_digest(round_trip(part, ())) == structural_digest(part)


def test_a_shards_state_comes_back_whole() -> None:
    """All that a shard remembers, rows and labels that wait and detectors included, is equal to the bit."""
    definition = application(
        labels=Labels(horizon="1h"),
        features=[features.mean("x", window="1h"), features.distinct("x", window="1h")],
        challengers={"tree": lambda seed: tree.HoeffdingAdaptiveTreeClassifier(seed=seed)},
        drift=[Detect("adwin"), Detect("page_hinkley")],
    )
    shard = ShardDriver(definition)
    shard.warm(40)
    shard.event("waits")
    shard.label("comes later", True)
    shard.command("pause")
    twin = round_trip(shard.state, ())
    assert state_digest(twin) == state_digest(shard.state)
    assert (len(twin.pending), len(twin.parked), len(twin.slots)) == (1, 1, 2)


MADE_WITH: dict[str, Any] = {
    "words": feature_extraction.BagOfWords(on="city", ngram_range=(1, 2), stop_words={"a"}),
    "TF-IDF": feature_extraction.TFIDF(on="city"),
    "aggregates": feature_extraction.Agg(on="a", by="city", how=stats.Mean()),
    "grouper": compose.Grouper(preprocessing.StandardScaler(), by="city"),
    "windowed scaler": preprocessing.StandardScaler(window_size=5),
    "functions": [utils.norm.scale_values_in_dict, utils.math.minkowski_distance],
    "rolling extremes": [kind(5) for kind in (stats.RollingMax, stats.RollingMin, stats.RollingMode)],
    "rolling quantiles": [stats.RollingQuantile(0.5, 5), stats.RollingIQR(5), stats.RollingPeakToPeak(5)],
    "bound dice": random.Random(3).random,
}


def public_parts() -> Iterator[tuple[str, Any]]:
    """All that River's packages offer and that can be made by itself, or as River's own tests make it."""
    yield from MADE_WITH.items()
    for package in sorted(RIVER - {"_river_rust"}):
        module = importlib.import_module(f"river.{package}")
        for name in module.__all__:
            kind = getattr(module, name, None)
            if not inspect.isclass(kind) or inspect.isabstract(kind):
                continue
            arguments = list(kind._unit_test_params()) if hasattr(kind, "_unit_test_params") else [{}]
            for given in arguments:
                with suppress(TypeError, ValueError, RuntimeError):
                    yield f"{package}.{name}", kind(**given)


def learn_something(part: Any) -> None:
    """Whatever of a row and a target it takes."""
    learns: list[Any] = [getattr(part, name) for name in ("learn_one", "update") if hasattr(part, name)]
    for i in range(AFTER):
        x, y = row(i, strings=True), target(i)
        for learn in learns:
            for arguments in ((x, y > 1), (x, y), (x,), (y,), (y > 1, y > 1)):
                with suppress(Exception):
                    learn(*arguments)
                    break


def test_everything_that_river_offers_comes_back() -> None:
    """What pickle can store of it, the allow-list loads: else a definition with it could not recover."""
    refused, judged = [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, part in public_parts():
            learn_something(part)
            judged += 1
            try:
                round_trip(part, ())
            except Exception as error:  # noqa: BLE001  it is reported
                refused.append(f"{name}: {error}")
    assert refused == []
    assert judged > 250
