"""Sets come back from a snapshot as they iterate."""

from __future__ import annotations

import os
import random
import string
import subprocess
import sys

import pytest
from river import tree

from stream_app.adapters.set_order import insertion_order
from stream_app.adapters.snapshot_store import round_trip
from stream_app.models.calls import bind
from stream_app.models.question import Question


def word(dice: random.Random) -> str:
    """Up to eight letters."""
    return "".join(dice.choices(string.ascii_lowercase, k=dice.randrange(1, 9)))


@pytest.mark.parametrize("size", [2, 4, 6, 10, 18, 40])
def test_a_set_iterates_as_before(size: int) -> None:
    """Whatever its history of insertions, a set of strings comes back in its order, within its holder too."""
    dice, needed = random.Random(size), 0
    for _ in range(60):
        members: set[str] = set()
        while len(members) < size:
            members.add(word(dice))
        needed += insertion_order(tuple(members)) is not None
        again = round_trip({"a": members, "b": [members]}, ())
        assert list(again["a"]) == list(members)
        assert again["a"] is again["b"][0]
    assert size > 10 or needed or size == 2, "no set of this size was hard: the test shows nothing"


def test_equal_keys_of_other_types_stay_what_they_are() -> None:
    """True, 1 and 1.0 are one key of a cache and three members."""
    for members in ({8, 0}, {8.0, False}, {0, 8}):
        assert [(type(m), m) for m in round_trip(members, ())] == [(type(m), m) for m in members]


def adaptive_tree(seed: int, rows: int) -> tree.HoeffdingAdaptiveTreeClassifier:
    """A tree with three string classes."""
    dice = random.Random(seed)
    model = tree.HoeffdingAdaptiveTreeClassifier(grace_period=20, bootstrap_sampling=True, seed=seed)
    for _ in range(rows):
        x = {"a": dice.gauss(0, 1), "b": dice.gauss(0, 1)}
        model.learn_one(x, "low" if x["a"] < -0.5 else "middle" if x["a"] < 0.5 else "high")
    return model


def test_a_tree_of_string_classes_answers_in_the_same_order() -> None:
    """A restored tree answers to the bit and in the order of the saved one."""
    for seed in range(12):
        model = adaptive_tree(seed, 60)
        answers = bind(model, Question("multiclass")).predict({"a": 0.1, "b": 0.2})
        again = bind(round_trip(model, ()), Question("multiclass")).predict({"a": 0.1, "b": 0.2})
        assert repr(again) == repr(answers)


def test_the_order_holds_in_another_process() -> None:
    """Under one hash seed, a set saved by one process iterates the same in the next."""
    members = ["grape", "mid", "low", "high", "fig", "kiwi", "plum"]
    script = (
        "import sys; from stream_app.adapters.snapshot_store import dump;"
        "s = set(); [s.add(m) for m in sys.argv[1:]]; print(dump(s).hex()); print('|'.join(s))"
    )
    reader = (
        "import sys; from stream_app.adapters.snapshot_store import unpickle;"
        "print('|'.join(unpickle(bytes.fromhex(sys.argv[1]), ())))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    for turn in range(len(members)):
        rotated = members[turn:] + members[:turn]
        out = subprocess.run(
            [sys.executable, "-c", script, *rotated],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        read = subprocess.run(
            [sys.executable, "-c", reader, out[0]],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        assert read == out[1]
