"""What admission refuses, and what it must let pass."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from river import (
    anomaly,
    base,
    cluster,
    compose,
    ensemble,
    facto,
    forest,
    imblearn,
    linear_model,
    naive_bayes,
    neighbors,
    optim,
    preprocessing,
    reco,
    time_series,
    tree,
)

from stream_app.adapters.pickled import refill_sets
from stream_app.adapters.snapshot_store import round_trip
from stream_app.errors import UsageError
from stream_app.models.admission import Admission, exercise, sample_digest
from stream_app.models.question import Question
from stream_app.models.sample import Terms


def same(model: Any) -> Any:
    """A round trip as admission makes it."""
    return round_trip(model, (__name__,))


def refusals(
    factory: Callable[[int], Any],
    task: str = "binary",
    types: dict[str, str] | None = None,
    round_trip: Callable[[Any], Any] = same,
    weighted: bool = False,
) -> list[str]:
    """Why a champion of this factory is refused."""
    terms = Terms(Question(task), weighted, types or {})
    found = exercise({"champion": factory}, terms, round_trip, refill_sets)
    return [refusal.reason for refusal in found.refusals]


ONCE = linear_model.LogisticRegression()


def strings_only(row: dict[str, Any]) -> dict[str, Any]:
    """A transformer that wants a feature of its own."""
    return {"length": len(row["city"])}


class Newest(base.Transformer):
    """Sums over the newest values in the order of a set."""

    def __init__(self) -> None:
        self.seen: set[Any] = set()
        self.order: list[Any] = []

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Take each value in; old ones leave."""
        for value in x.values():
            if value not in self.seen:
                self.seen.add(value)
                self.order.append(value)
        while len(self.order) > 50:
            self.seen.discard(self.order.pop(0))

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """A sum that depends on the order."""
        return {"sum": sum(hash(value) % 7 / (3.7 + place) for place, value in enumerate(self.seen))}


class Copies(Newest):
    """Stores a copy of its set, which was laid out by another history."""

    def __getstate__(self) -> Any:
        return {"seen": set(self.order), "order": self.order}


class Pops(Newest):
    """Takes out what pop() gives, which depends on what was popped before."""

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Take each value in; any others leave."""
        self.seen.update(x.values())
        while len(self.seen) > 50:
            self.seen.pop()


class Addresses(Newest):
    """A set of objects that are known by where they lie."""

    def __init__(self) -> None:
        super().__init__()
        self.lots = {object(), object()}


class Shy(linear_model.LogisticRegression):
    """Answers differently once it was stored."""

    def __reduce__(self) -> Any:
        return Shy, ()


class Curious(linear_model.LogisticRegression):
    """Learns from what it is asked."""

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        answer = linear_model.LogisticRegression.predict_proba_one(self, x)
        self.learn_one(x, True)
        return answer


class Counting(linear_model.LogisticRegression):
    """Remembers what it was asked, and answers alike."""

    asked = 0

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        self.asked += 1
        return linear_model.LogisticRegression.predict_proba_one(self, x)


ADMITTED = {
    "linear": ("binary", lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression()),
    "seeded forest": ("multiclass", lambda seed: forest.ARFClassifier(n_models=2, seed=seed)),
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
    "counts alone": ("multiclass", lambda seed: naive_bayes.MultinomialNB()),
    "counts with a string": ("binary", lambda seed: naive_bayes.ComplementNB()),
    "remembers questions": ("binary", lambda seed: Counting()),
    "a lazy cache": ("regression", lambda seed: linear_model.BayesianLinearRegression()),
    "NaN until a feature is learned": (
        "regression",
        lambda seed: preprocessing.MinMaxScaler() | linear_model.LinearRegression(),
    ),
    "factors without dice": (
        "binary",
        lambda seed: facto.FMClassifier(latent_initializer=optim.initializers.Constant(0.1), seed=seed),
    ),
    "strings": ("binary", lambda seed: preprocessing.OneHotEncoder() | linear_model.LogisticRegression()),
    "a set that forgets": ("binary", lambda seed: Newest() | linear_model.LogisticRegression()),
}


@cache
def exercised(name: str) -> Admission:
    """What the admission says of it, asked once."""
    task, factory = ADMITTED[name]
    return exercise({"champion": factory}, Terms(Question(task)), same, refill_sets)


@pytest.mark.parametrize("name", ADMITTED)
def test_models_that_replay_are_admitted(name: str) -> None:
    """A seeded or dice-free model that fits its task is admitted."""
    assert exercised(name).refusals == []


@pytest.mark.parametrize("name", [name for name in ADMITTED if name not in ("seeded forest", "bagging")])
def test_the_sample_run_alone_has_the_digest_of_the_admission(name: str) -> None:
    """A learner that restarts compares it with what the admission of its first start gave."""
    task, factory = ADMITTED[name]
    terms = Terms(Question(task))
    found = sample_digest({"champion": factory}, terms)
    assert found == exercised(name).digest
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
    "learns from questions": ("binary", lambda seed: Curious(), "depends on which rows were asked before"),
    "draws factors at a question": (
        "binary",
        lambda seed: facto.FMClassifier(seed=seed),
        "depends on which rows were asked before",
    ),
    "judges labels": ("anomaly", lambda seed: anomaly.GaussianScorer(), "judges a label, not an event"),
    "several targets": ("regression", lambda seed: tree.ISOUPTreeRegressor(), "several values at once"),
    "ranks": ("regression", lambda seed: reco.BiasedMF(), "asks for a user and an item"),
    "clusters": ("binary", lambda seed: cluster.KMeans(seed=seed), "the number of a group"),
    "lambda inside": (
        "binary",
        lambda seed: compose.FuncTransformer(lambda x: x) | linear_model.LogisticRegression(),
        "a snapshot cannot hold the model",
    ),
    "forgets in a snapshot": ("binary", lambda seed: Shy(), "differently after a snapshot"),
    "copies its set": (
        "binary",
        lambda seed: Copies() | linear_model.LogisticRegression(),
        "answers differently after a snapshot",
    ),
    "pops from its set": (
        "binary",
        lambda seed: Pops() | linear_model.LogisticRegression(),
        "goes on differently after a snapshot",
    ),
    "holds addresses": (
        "binary",
        lambda seed: Addresses() | linear_model.LogisticRegression(),
        "holds one of type object, whose hash is an address",
    ),
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
    terms = Terms(Question("binary"), weighted=True)
    factory = {"champion": lambda seed: neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=9))}
    found = exercise(factory, terms, same).refusals
    assert [("w=" in refusal.fix) for refusal in found] == [True]


def dated(row: dict[str, Any]) -> dict[str, Any]:
    """A transformer that wants a string of a form."""
    return {"hour": datetime.fromisoformat(row["moment"]).hour}


def test_the_definition_s_own_rows_are_the_sample() -> None:
    """Strings of a form cannot be made up; without rows the remedy asks for them, and names the part."""

    def factory(seed: int) -> Any:
        return compose.FuncTransformer(dated) | linear_model.LogisticRegression()

    types = {"moment": "string"}
    rows = [{"moment": f"2026-01-{day:02d}T{day:02d}:00:00"} for day in range(1, 20)]
    terms = Terms(Question("binary"), types=types, rows=rows)
    assert exercise({"champion": factory}, terms, same).refusals == []
    (refused,) = exercise({"champion": factory}, Terms(Question("binary"), types=types), same).refusals
    assert "in FuncTransformer" in refused.reason
    assert "sample=[" in refused.fix


WORDS = ("ok", "fraud")


@pytest.mark.parametrize(
    ("factory", "admitted"),
    [
        (lambda seed: tree.HoeffdingTreeClassifier(), True),
        (
            lambda seed: imblearn.RandomUnderSampler(
                tree.HoeffdingTreeClassifier(), desired_dist=dict.fromkeys(WORDS, 0.5), seed=seed
            ),
            True,
        ),
        (lambda seed: linear_model.LogisticRegression(), False),
    ],
    ids=["a tree", "a sampler that knows them", "a model of booleans"],
)
def test_the_sample_has_the_declared_classes(factory: Callable[[int], Any], admitted: bool) -> None:
    """A model that knows them is admitted, one that takes booleans only is refused and told so."""
    found = exercise({"champion": factory}, Terms(Question("binary"), classes=WORDS), same).refusals
    assert (found == []) is admitted
    assert all("booleans only" in refusal.fix for refusal in found)


def test_a_part_that_answers_nan_is_named() -> None:
    """The model answers nothing, and the refusal says which step gave the NaN."""

    def factory(seed: int) -> Any:
        return compose.FuncTransformer(nothing) | linear_model.LinearRegression()

    (refused,) = exercise({"champion": factory}, Terms(Question("regression")), same).refusals
    assert refused.reason == "the model raised on sample data (the model answers nan, in FuncTransformer)"


def nothing(row: dict[str, Any]) -> dict[str, Any]:
    """A transformer that gives NaN."""
    return {"x": float("nan")}


def test_a_forecaster_is_refused_with_the_way_out() -> None:
    """It answers no event, and is not taken for a class that is not River's."""
    with pytest.raises(UsageError, match=r"SNARIMAX forecasts a series.*features="):
        refusals(lambda seed: time_series.SNARIMAX(p=1, d=0, q=0), "regression")


ENCODERS = {
    "strings": lambda seed: compose.SelectType(str) | preprocessing.OneHotEncoder(),
    "numbers": lambda seed: preprocessing.OneHotEncoder(),
    "sparse": lambda seed: preprocessing.OneHotEncoder(drop_zeros=True),
    "but the first": lambda seed: preprocessing.OneHotEncoder(drop_first=True),
    "ordinal": lambda seed: compose.SelectType(str) | preprocessing.OrdinalEncoder(),
}


@pytest.mark.parametrize("types", [None, {"city": "string", "x": "number"}], ids=["no types", "types"])
@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS.keys())
def test_encoders_are_admitted(encoder: Callable[[int], Any], types: dict[str, str] | None) -> None:
    """Whatever they encode, their sets of hundreds of values are stored."""
    assert refusals(lambda seed: encoder(seed) | linear_model.LogisticRegression(), types=types) == []


def test_a_model_is_tried_with_many_strings() -> None:
    """So that what holds them is judged before the first event, not at a snapshot weeks later."""
    heard: set[Any] = set()

    def factory(_seed: int) -> Any:
        return compose.FuncTransformer(heard_by(heard)) | linear_model.LogisticRegression()

    refusals(factory)
    assert sum(isinstance(value, str) for value in heard) >= 240


def heard_by(heard: set[Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A transformer's function that changes nothing."""

    def hear(row: dict[str, Any]) -> dict[str, Any]:
        heard.update(row.values())
        return {"a": 1.0}

    return hear
