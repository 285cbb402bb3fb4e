"""A definition that contradicts itself is refused when it is made, and says how to mend it."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
from river import linear_model

import stream_app
from drift.detectors import Detect
from stream_app import application
from stream_app import features as f
from stream_app.application import Application, Labels, Limits, Snapshots
from stream_app.durations import parse_duration
from stream_app.errors import UsageError
from stream_app.models.build import build


def model(seed: int) -> Any:
    """Any model."""
    return linear_model.LogisticRegression()


def define(**changed: Any) -> Application:
    """A right definition, changed by keyword."""
    return Application(**{"name": "a", "task": "binary", "champion": model, **changed})


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "upper-case name": ({"name": "App"}, "lower-case"),
    "name with a dot": ({"name": "a.b"}, "lower-case"),
    "no name": ({"name": ""}, "lower-case"),
    "name that is no text": ({"name": 7}, "lower-case"),
    "unknown task": ({"task": "ranking"}, "binary, multiclass, regression, anomaly"),
    "no shards": ({"shards": 0}, "from 1"),
    "half a shard": ({"shards": 1.5}, "from 1"),
    "a million shards": ({"shards": 1_000_000}, "from 1"),
    "threshold of 1": ({"threshold": 1}, "between 0 and 1"),
    "threshold NaN": ({"threshold": nan}, "between 0 and 1"),
    "threshold about words": ({"threshold": 0.8, "labels": Labels(classes=["a", "b"])}, "positive class"),
    "positive that is no class": (
        {"threshold": 0.8, "labels": Labels(classes=["ok", "fraud"]), "positive": "bad"},
        "positive class",
    ),
    "positive without a threshold": ({"positive": True}, "without threshold="),
    "an empty sample row": ({"sample": [{}]}, "sample row"),
    "threshold for regression": ({"task": "regression", "threshold": 0.5}, "binary"),
    "no labels for binary": ({"labels": None}, "anomaly"),
    "labels for anomaly": ({"task": "anomaly"}, "anomaly"),
    "three classes for binary": ({"labels": Labels(classes=["a", "b", "c"])}, "multiclass"),
    "one class for binary": ({"labels": Labels(classes=["a"])}, "two"),
    "class weights for regression": ({"task": "regression", "class_weights": {True: 2}}, "out"),
    "negative class weight": ({"class_weights": {True: -1.0}}, "weight"),
    "weight of no class": ({"class_weights": {"x": 2}, "labels": Labels(classes=["a", "b"])}, "Classes are"),
    "infinite class weight": ({"class_weights": {True: inf}}, "weight"),
    "text as class weight": ({"class_weights": {True: "2"}}, "weight"),
    "a model as champion": ({"champion": linear_model.LogisticRegression()}, "lambda seed"),
    "a model as challenger": ({"challengers": {"b": linear_model.LogisticRegression()}}, "lambda seed"),
    "challenger with a space": ({"challengers": {"a b/": lambda seed: None}}, "letters"),
    "challenger named champion": ({"challengers": {"champion": model}}, "another name"),
    "a feature twice": ({"features": [f.count("1h"), f.count("1h")]}, "Drop"),
    "a type that is none": ({"types": {"x": "float"}}, "number, category, string, text, bool, time"),
    "a missing= that is none": ({"missing": "drop"}, "skip, refuse, flag"),
    "required features as one text": ({"required": "amount"}, "Give names"),
    "dedupe without a unit": ({"dedupe": "60"}, "unit"),
    "ttl of nothing": ({"ttl": "0d"}, "positive"),
    "float classes": ({"labels": Labels(classes=[0.0, 1.0])}, "boolean"),
    "float default for a class": ({"labels": Labels(on_timeout="label", default=0.5)}, "boolean"),
    "list as default": ({"labels": Labels(on_timeout="label", default=[1])}, "boolean"),
    "text as default target": (
        {"task": "regression", "labels": Labels(on_timeout="label", default="0")},
        "finite number",
    ),
    "boolean as default target": (
        {"task": "regression", "labels": Labels(on_timeout="label", default=False)},
        "finite number",
    ),
    "NaN as default target": (
        {"task": "regression", "labels": Labels(on_timeout="label", default=nan)},
        "finite number",
    ),
    "giant default target": (
        {"task": "regression", "labels": Labels(on_timeout="label", default=1e300)},
        "finite number",
    ),
    "labels held back of many classes": ({"task": "multiclass", "labels": Labels(hold_back=True)}, "binary"),
    "classes for regression": ({"task": "regression", "labels": Labels(classes=["a", "b"])}, "out"),
}


@pytest.mark.parametrize(("changed", "told"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_definition_is_refused_with_its_remedy(changed: dict[str, Any], told: str) -> None:
    """Each contradiction is a usage error whose text names the fix."""
    with pytest.raises(UsageError, match=told) as caught:
        define(**changed)
    assert caught.value.exit_code == 2


PARTS: list[tuple[Any, dict[str, Any]]] = [
    (Labels, {"horizon": "1 fortnight"}),
    (Labels, {"horizon": 3_600}),
    (Labels, {"on_timeout": "guess"}),
    (Labels, {"on_timeout": "label"}),
    (Labels, {"default": True}),
    (Labels, {"classes": [True, "true"]}),
    (Labels, {"classes": [True, 1]}),
    (Labels, {"classes": ["a", "a"]}),
    (Labels, {"classes": ["a", "b"], "on_timeout": "label", "default": "c"}),
    (Labels, {"max_classes": 1}),
    (Limits, {"max_features": 0}),
    (Limits, {"max_pending": -1}),
    (Limits, {"max_ids": 1e6}),
    (Snapshots, {"max_cost": 0}),
    (Snapshots, {"max_cost": 1.1}),
    (Snapshots, {"max_recovery": "soon"}),
]


@pytest.mark.parametrize(("part", "words"), PARTS)
def test_a_wrong_part_is_refused(part: Any, words: dict[str, Any]) -> None:
    """Labels, limits and snapshots check themselves, and name a remedy."""
    with pytest.raises(UsageError) as caught:
        part(**words)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "words"), [("cusum", {}), ("adwin", {"signal": "feature"}), ("adwin", {"sensitivity": 2})]
)
def test_an_unknown_detector_is_refused(name: str, words: dict[str, Any]) -> None:
    """A detector, signal or parameter that there is not is named when it is declared."""
    with pytest.raises(ValueError, match=r"unknown|unexpected keyword"):
        Detect(name, **words)


def test_right_definitions_are_taken() -> None:
    """Every task, with what belongs to it."""
    assert define().labels == Labels(max_classes=2)
    assert define(task="anomaly", labels=None).labels is None
    assert define(task="regression", labels=Labels(on_timeout="label", default=0)).threshold is None
    assert define(task="multiclass", labels=Labels(classes=["a", 1, False])).dedupe_ms == 3_600_000
    assert define(labels=Labels(classes=["yes", "no"], on_timeout="label", default="no")).shards == 1
    assert (
        define(class_weights={True: 2, False: 0.5}, threshold=0.4, shards=1_024, ttl="7d").ttl_ms
        == 7 * 86_400_000
    )


@pytest.mark.parametrize(
    ("text", "ms"), [("250ms", 250), ("30s", 30_000), ("10m", 600_000), ("1h", 3_600_000),
                     ("7d", 604_800_000),
                     ("1.5h", 5_400_000), (" 2 s ", 2_000), ("0.001s", 1)],
)  # fmt: skip
def test_durations_are_read_to_the_millisecond(text: str, ms: int) -> None:
    """A number and a unit give milliseconds."""
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text", ["", "10", "h", "-1s", "0s", "1w", "1h30m", "1e3s", "0.0001ms", "inf s", None, 5, "1S"]
)
def test_what_is_no_duration_is_refused(text: Any) -> None:
    """No number, no unit, no time: the remedy shows right ones."""
    with pytest.raises(UsageError, match="250ms"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("feature", "name"),
    [
        (f.count("10m"), "count_10m"), (f.sum("x", "1h"), "sum_x_1h"), (f.mean("x", "1h"), "mean_x_1h"),
        (f.min("x", "1h"), "min_x_1h"), (f.max("x", "1h"), "max_x_1h"), (f.last("x"), "last_x"),
        (f.distinct("x", "1h"), "distinct_x_1h"), (f.since_last(), "since_last"),
    ],
)  # fmt: skip
def test_a_feature_is_named_by_what_it_is(feature: f.Feature, name: str) -> None:
    """Statistic, field and window make the name under which models see it."""
    assert feature.name == name


@pytest.mark.parametrize("make", [lambda: f.sum("", "1h"), lambda: f.last(""), lambda: f.count("soon")])
def test_a_feature_without_its_parts_is_refused(make: Any) -> None:
    """A statistic without its field or with a window that is none."""
    with pytest.raises(UsageError):
        make()


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        (lambda: model(0), "takes one argument"),
        (lambda seed: 1 / 0, "ZeroDivisionError"),
        (lambda seed: object(), "River"),
    ],
)
def test_a_factory_that_makes_no_model_is_refused(factory: Any, told: str) -> None:
    """A factory that raises, takes no seed or gives something else is told by what it did."""
    with pytest.raises(UsageError, match=told):
        build(factory, 1)


def test_a_definition_is_imported_from_the_package() -> None:
    """`from stream_app import Application, Labels, SwapPolicy`; anything else is an error as usual."""
    assert stream_app.Application is Application
    found = {name: getattr(stream_app, name) for name in stream_app.__all__}
    assert found.pop("pool")("binary")["task"] == "binary"
    assert found.keys() <= set(application.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Aplication'"):
        stream_app.__getattr__("Aplication")
