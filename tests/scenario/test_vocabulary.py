"""The first record decides nothing by itself: what the champion could not learn leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest
from river import base, compose, linear_model, preprocessing, tree

from stream_app.application import Labels
from tests.scenario.shard_driver import ShardDriver, application
from topics import reasons


def numeric(seed: int) -> Any:
    """A model of numbers: a string ends its lesson."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def any_type(seed: int) -> Any:
    """A model that learns strings and numbers."""
    return compose.SelectType(float, int) | tree.HoeffdingTreeClassifier()


class Booleans(base.Classifier):
    """A model that takes booleans alone."""

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        if type(y) is not bool:
            raise ValueError(f"invalid label {y!r}")

    def predict_one(self, x: dict[Any, Any], **_: Any) -> bool:
        return True


@pytest.mark.parametrize("late", [False, True])
def test_a_type_that_was_never_learned_gives_way(late: bool) -> None:
    """The first amount is a string by mistake: its own label is lost, and 29 numbers are learned."""
    shard = ShardDriver(application(champion=numeric))
    values = ["12.50", *range(29)]
    for n, amount in enumerate(values):
        inline: dict[str, Any] = {} if late else {"label": n % 2 == 0}
        letter = shard.event(f"e{n}", {"amount": amount}, **inline)
        assert letter is None or n == 0
    letters = [shard.label(f"e{n}", n % 2 == 0) for n in range(len(values))] if late else []
    assert [n for n, letter in enumerate(letters) if letter is not None] == ([0] if late else [])
    assert shard.champion.learned == 29
    assert shard.state.kinds == {"amount": "number"}
    assert shard.state.categories.get("amount", {}) == {}
    assert shard.state.unproven == {}


def test_a_string_that_was_not_learned_is_not_remembered() -> None:
    """Nor a name; strings of learned rows stay."""

    class Picky(Booleans):
        """It cannot learn one city."""

        def learn_one(self, x: dict[Any, Any], y: Any) -> None:
            if x.get("city") == "nowhere":
                raise KeyError("nowhere")

    shard = ShardDriver(application(champion=lambda seed: Picky()))
    assert shard.event("a", {"city": "Bern"}, label=True) is None
    assert shard.event("b", {"city": "nowhere", "odd": 1}, label=True) is not None
    assert shard.event("c", {"city": "Bern"}, label=True) is None
    assert shard.state.categories == {"city": {"Bern": True}}
    assert shard.state.kinds == {"city": "string"}


def test_a_class_that_was_not_learned_is_not_remembered() -> None:
    """Two labels by mistake that the champion cannot learn leave room for the right ones."""
    shard = ShardDriver(application(champion=lambda seed: Booleans()))
    for n, label in enumerate(["yes", "no", *[True, False] * 14]):
        letter = shard.event(f"e{n}", label=label)
        assert (letter is not None) == (n < 2)
    assert list(shard.state.classes) == [True, False]
    assert shard.champion.learned == 28
    assert all(label not in ("yes", "no") for _, label, _ in shard.state.recent)


def test_labels_that_contradict_the_first_classes_are_alerted() -> None:
    """The first two were learned: the newest are refused, and one alert names both sides."""
    shard = ShardDriver(application(champion=any_type))
    for n, label in enumerate(["yes", "no", *[True, False] * 30]):
        letter = shard.event(f"e{n}", label=label)
        assert letter is None or letter.reason == reasons.LABEL_UNKNOWN_CLASS
    (alert,) = [one for one in shard.written("alerts") if one["type"] == "contradiction"]
    assert "not among the first classes ('yes', 'no')" in alert["message"]
    assert alert["evidence"]["share"] > 0.9


def test_a_type_that_was_learned_and_most_contradict_is_alerted() -> None:
    """The alert names the feature, its type and the offset that it came from."""
    shard = ShardDriver(application(champion=any_type))
    for n, amount in enumerate(["12.50", *range(40)]):
        letter = shard.event(f"e{n}", {"amount": amount, "x": n}, label=n % 2 == 0)
        assert letter is None or letter.reason == reasons.BAD_FEATURE
    (alert,) = [one for one in shard.written("alerts") if one["type"] == "contradiction"]
    assert "another type than string in feature 'amount'; that type came from offset 0" in alert["message"]


def test_a_contradicted_type_does_not_hide_behind_labels() -> None:
    """Two of three events have another type: their share is of the events, however many labels come."""
    shard = ShardDriver(application(champion=any_type))
    shard.event("first", {"label": "12.50"}, label=True)
    for n in range(60):
        shard.event(f"e{n}", {"label": "x" if n % 3 == 0 else n})
        shard.label(f"e{n - n % 3}", n % 2 == 0)
        shard.label(f"e{n - n % 3}", n % 2 == 0)
    (alert,) = [one for one in shard.written("alerts") if one["type"] == "contradiction"]
    assert alert["evidence"]["share"] == pytest.approx(2 / 3, abs=0.05)


def test_few_contradictions_are_not_alerted() -> None:
    """One wrong record in four is the records' fault."""
    shard = ShardDriver(application(champion=any_type, labels=Labels(classes=[True, False])))
    for n in range(200):
        shard.event(f"e{n}", label="yes" if n % 4 == 0 else n % 2 == 0)
    assert [one for one in shard.written("alerts") if one["type"] == "contradiction"] == []
