"""The structural digest: equal for equal models in any process, different after one more lesson."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import (
    anomaly,
    compose,
    datasets,
    drift,
    ensemble,
    forest,
    linear_model,
    naive_bayes,
    preprocessing,
    tree,
)

from stream_app.models.digest import structural_digest
from stream_app.models.seeds import seed_for

ROOT = Path(__file__).parents[2]
MODELS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "hoeffding tree": lambda: tree.HoeffdingTreeClassifier(grace_period=20),
    "naive bayes": lambda: naive_bayes.GaussianNB(),  # noqa: PLW0108 — River types its constructor loosely
    "bagging": lambda: ensemble.ADWINBaggingClassifier(tree.HoeffdingTreeClassifier(), n_models=2, seed=1),
    "forest": lambda: forest.ARFClassifier(n_models=2, seed=1),
    "union": lambda: (
        (compose.Select("long_url") + compose.SelectType(int)) | linear_model.LogisticRegression()
    ),
}


def learned(make: Callable[[], Any], n: int) -> Any:
    """A model after the first n rows of Phishing."""
    model = make()
    for x, y in datasets.Phishing().take(n):
        model.learn_one(x, y)
    return model


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_equal_models_have_equal_digests(make: Callable[[], Any]) -> None:
    """Twins agree, a pickle round trip changes nothing, and one more lesson shows."""
    model = learned(make, 200)
    digest = structural_digest(model)
    assert structural_digest(model) == digest
    assert structural_digest(learned(make, 200)) == digest
    assert structural_digest(pickle.loads(pickle.dumps(model))) == digest
    assert structural_digest(pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(model))))) == digest
    assert structural_digest(learned(make, 201)) != digest


def test_digests_are_equal_in_two_processes() -> None:
    """Another process, with another hash seed, says the same of models, sets and classes of text."""
    code = (
        "from tests.unit.test_models_digest import MODELS, learned, structural_digest as d; "
        "print(*(d(learned(m, 60)) for m in MODELS.values()), "
        "d({'a', 'b', 'c', 'd'}), d([True, 1, 1.0, '1', b'1']))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1")
    }
    assert len(said) == 1


DIFFERENT: list[list[Any]] = [
    [1, 1.0, True, "1", b"1", 1 + 0j, None, "None", np.float64(1), np.int64(1)],
    [0.0, -0.0, 5e-324, float("nan"), float("inf")],
    [
        [],
        (),
        {},
        set(),
        frozenset(),
        deque(),
        deque(maxlen=3),
        "",
        b"",
        OrderedDict(),
        defaultdict(int),
        Counter(),
    ],
    [[1, [2]], [[1], 2], [1, 2], (1, 2), {1: 2}],
    [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
    [np.zeros(2), np.zeros(2, "f4"), np.zeros((1, 2)), np.array([0.0, -0.0]), np.array(["a"], object)],
    [["ab", "c"], ["a", "bc"]],
    [drift.ADWIN(), drift.ADWIN(delta=0.1), drift.PageHinkley()],
    [anomaly.HalfSpaceTrees(seed=1), anomaly.HalfSpaceTrees(seed=2)],
    [len, sum, dict, list],
]


@pytest.mark.parametrize("objects", DIFFERENT, ids=str)
def test_different_objects_have_different_digests(objects: list[Any]) -> None:
    """Type, order, sign and nesting all show."""
    assert len({structural_digest(obj) for obj in objects}) == len(objects)


def test_sets_have_no_order_and_sharing_shows() -> None:
    """A set is told by its members; one object twice is not two equal objects."""
    assert structural_digest({"a", "b", "c"}) == structural_digest({"c", "a", "b"})
    part = [1]
    assert structural_digest([part, part]) != structural_digest([[1], [1]])


def test_deep_and_cyclic_objects_are_walked() -> None:
    """Depth beyond the interpreter's stack and a cycle both end."""
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    cycle: list[Any] = []
    cycle.append(cycle)
    assert structural_digest(deep) != structural_digest(cycle)


def test_functions_are_told_by_their_code_and_what_they_hold() -> None:
    """Two closures of one function differ by what they captured."""

    def close(over: int) -> Callable[[], int]:
        return lambda: over

    assert structural_digest(close(1)) == structural_digest(close(1)) != structural_digest(close(2))


def test_seeds_are_stable_across_processes_and_differ_by_slot_and_generation() -> None:
    """A seed is a pure function of definition, slot and generation, pinned here to its value."""
    seeds = {seed_for(a, s, g) for a in (1, 2) for s in ("champion", "b") for g in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 1 << 32 for seed in seeds)
    assert seed_for(42, "champion", 0) == 3653430443
