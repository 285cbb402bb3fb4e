"""What admission refuses, and what it must let pass."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from river import (
    anomaly,
    compose,
    ensemble,
    forest,
    linear_model,
    naive_bayes,
    neighbors,
    preprocessing,
    tree,
)

from stream_app.models.admission import Terms, exercise, sample_digest


def same(model: Any) -> Any:
    """A round trip that every picklable model survives."""
    return pickle.loads(pickle.dumps(model))


def refusals(
    factory: Callable[[int], Any],
    task: str = "binary",
    types: dict[str, str] | None = None,
    round_trip: Callable[[Any], Any] = same,
    weighted: bool = False,
) -> list[str]:
    """Why a champion of this factory is refused."""
    terms = Terms(task, None, weighted, types or {})
    return [refusal.reason for refusal in exercise({"champion": factory}, terms, round_trip).refusals]


ONCE = linear_model.LogisticRegression()


def strings_only(row: dict[str, Any]) -> dict[str, Any]:
    """A transformer that wants a feature of its own."""
    return {"length": len(row["city"])}


class Shy(linear_model.LogisticRegression):
    """Answers differently once it was stored."""

    def __reduce__(self) -> Any:
        return Shy, ()


class Curious(linear_model.LogisticRegression):
    """Learns to predict."""

    asked = 0

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        self.asked += 1
        return linear_model.LogisticRegression.predict_proba_one(self, x)


ADMITTED = {
    "linear": ("binary", lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression()),
    "seeded forest": ("multiclass", lambda seed: forest.ARFClassifier(n_models=3, seed=seed)),
    "seeded adaptive tree": ("binary", lambda seed: tree.HoeffdingAdaptiveTreeClassifier(seed=seed)),
    "bagging": (
        "binary",
        lambda seed: ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(), n_models=2, seed=seed),
    ),
    "neighbours that search": (
        "binary",
        lambda seed: neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=20)),
    ),
    "regression": (
        "regression",
        lambda seed: preprocessing.StandardScaler() | linear_model.LinearRegression(),
    ),
    "anomaly": ("anomaly", lambda seed: preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=seed)),
    "strings": ("binary", lambda seed: preprocessing.OneHotEncoder() | linear_model.LogisticRegression()),
}


@pytest.mark.parametrize("name", ADMITTED)
def test_models_that_replay_are_admitted(name: str) -> None:
    """A seeded or dice-free model that fits its task is admitted."""
    task, factory = ADMITTED[name]
    assert refusals(factory, task) == []


@pytest.mark.parametrize("name", ADMITTED)
def test_the_sample_run_alone_has_the_digest_of_the_admission(name: str) -> None:
    """A learner that restarts compares it with what the admission of its first start gave."""
    task, factory = ADMITTED[name]
    terms, factories = Terms(task, None, False, {}), {"champion": factory}
    found = sample_digest(factories, terms)
    assert found == exercise(factories, terms, same).digest
    assert found != sample_digest({"champion": one_lesson_more(factory, task)}, terms)


def one_lesson_more(factory: Callable[[int], Any], task: str) -> Callable[[int], Any]:
    """A factory whose models have learned something already."""

    def make(seed: int) -> Any:
        model = factory(seed)
        for _ in range(2):  # once more than any scaler that has met one value alone
            row = {"a": 0.25, "b": 0.5}
            if task == "anomaly":
                model.learn_one(row)
            else:
                model.learn_one(row, 1.0 if task == "regression" else True)
        return model

    return make


REFUSED = {
    "unseeded adaptive tree": ("binary", lambda seed: tree.HoeffdingAdaptiveTreeClassifier(), "has no seed"),
    "unseeded forest": ("binary", lambda seed: forest.ARFClassifier(n_models=2), "has no seed"),
    "unseeded inside a pipeline": (
        "binary",
        lambda seed: preprocessing.StandardScaler() | tree.HoeffdingAdaptiveTreeClassifier(),
        "has no seed",
    ),
    "unseeded inside an ensemble": (
        "binary",
        lambda seed: ensemble.VotingClassifier(
            [tree.HoeffdingAdaptiveTreeClassifier(), naive_bayes.GaussianNB()]
        ),
        "has no seed",
    ),
    "default neighbours": ("binary", lambda seed: neighbors.KNNClassifier(), "default engine"),
    "another task": ("binary", lambda seed: linear_model.LinearRegression(), "does not fit task"),
    "classifier for anomaly": ("anomaly", lambda seed: naive_bayes.GaussianNB(), "does not fit task"),
    "one object for all": ("binary", lambda seed: ONCE, "same object twice"),
    "learns to predict": ("binary", lambda seed: Curious(), "predicting changes the model"),
    "lambda inside": (
        "binary",
        lambda seed: compose.FuncTransformer(lambda x: x) | linear_model.LogisticRegression(),
        "a snapshot cannot hold the model",
    ),
    "forgets in a snapshot": ("binary", lambda seed: Shy(), "differently after a snapshot"),
    "raises on everything": (
        "binary",
        lambda seed: compose.FuncTransformer(strings_only) | linear_model.LogisticRegression(),
        "raised on sample data",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_cannot_be_replayed_are_refused(name: str) -> None:
    """What would not replay, fit or come back from a snapshot is refused with its reason."""
    task, factory, reason = REFUSED[name]
    found = refusals(factory, task)
    assert found
    assert all(reason in text for text in found), found


def test_dice_of_its_own_are_found_by_running_twice() -> None:
    """A model that hides unseeded dice from inspection is refused, since two runs of it differ."""
    import random

    def factory(seed: int) -> Any:
        return linear_model.LogisticRegression(intercept_init=random.random())

    assert refusals(factory) == ["two models of one seed answer differently"]


def test_declared_types_make_the_sample() -> None:
    """A pipeline that needs a feature by name is admitted once its type is declared."""

    def factory(seed: int) -> Any:
        return compose.FuncTransformer(strings_only) | linear_model.LogisticRegression()

    assert refusals(factory, types={"city": "string"}) == []


def test_weights_only_for_models_that_take_them() -> None:
    """A model without w= is refused under class weights, and the fix says so."""
    terms = Terms("binary", None, True, {})
    factory = {"champion": lambda seed: neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=9))}
    found = exercise(factory, terms, same).refusals
    assert [("w=" in refusal.fix) for refusal in found] == [True]
