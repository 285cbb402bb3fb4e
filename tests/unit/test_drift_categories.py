"""Drift of categories: a shift is found and named, chance is not, and no number of classes costs more."""

from __future__ import annotations

import random

import pytest

from drift.categories import REST, Categories
from drift.verdicts import STABLE, State, Verdict

SIZE = 500


def sample(shares: dict[str, float], n: int, dice: random.Random) -> list[str]:
    """Classes drawn by their shares."""
    return dice.choices(list(shares), list(shares.values()), k=n)


def judged(detector: Categories, values: list[str]) -> list[Verdict]:
    """What was said that is not stable."""
    return [found for value in values if (found := detector.update(value)) is not STABLE]


@pytest.mark.parametrize("seed", range(5))
def test_a_shift_is_found_at_the_end_of_its_window_and_named(seed: int) -> None:
    """`what` is the class whose share moved most, with its shares before and after."""
    dice = random.Random(seed)
    detector = Categories(SIZE)
    assert not judged(detector, sample({"a": 0.45, "b": 0.45, "c": 0.1}, 3 * SIZE, dice))
    (found,) = judged(detector, sample({"a": 0.3, "b": 0.3, "c": 0.4}, SIZE, dice))
    assert (found.state, found.what) == (State.DRIFT, "c")
    assert found.before == pytest.approx(0.1, abs=0.05)
    assert found.after == pytest.approx(0.4, abs=0.08)


def test_the_window_after_a_drift_is_the_new_reference() -> None:
    """What came is usual from then on; only the way back is told again."""
    detector = Categories(10)
    assert not judged(detector, ["a"] * 20)
    assert len(judged(detector, ["b"] * 10)) == 1
    assert not judged(detector, ["b"] * 50)
    assert len(judged(detector, ["a"] * 10)) == 1


def test_chance_among_many_small_shares_is_not_told() -> None:
    """Thirty classes of 3 % each, 200 windows of 500: PSI passes 0.1 by chance, χ² once in 10,000 windows.

    The bound allows one false alarm: 200 windows at 1e-4 expect 0.02.
    """
    shares = {f"c{n}": 1 / 30 for n in range(30)}
    told, reached = 0, 0
    for seed in range(10):
        dice = random.Random(seed)
        detector = Categories(SIZE)
        for _ in range(20):
            values = sample(shares, SIZE, dice)
            told += len(judged(detector, values[:-1]))
            reached += detector.moved() > 0.1
            told += len(judged(detector, values[-1:]))
    assert reached > 50, "the noise must pass the bound of PSI, or this test shows nothing"
    assert told <= 1


def test_a_small_but_certain_shift_is_a_warning_at_most() -> None:
    """Large windows make χ² sure of little things: below `psi` it warns, far below it says nothing."""
    detector = Categories(10_000)
    dice = random.Random(3)
    assert not judged(detector, sample({"a": 0.5, "b": 0.5}, 10_000, dice))
    assert not judged(detector, sample({"a": 0.55, "b": 0.45}, 10_000, dice))
    (found,) = judged(detector, sample({"a": 0.68, "b": 0.32}, 10_000, dice))
    assert found.state is State.WARNING


def test_a_class_that_was_never_seen_is_a_shift() -> None:
    """So is one that is seen no more."""
    dice = random.Random(4)
    detector = Categories(SIZE)
    judged(detector, sample({"a": 0.5, "b": 0.5}, SIZE, dice))
    (found,) = judged(detector, sample({"a": 0.4, "b": 0.4, "new": 0.2}, SIZE, dice))
    assert (found.state, found.what, found.before) == (State.DRIFT, "new", 0.0)
    (found,) = judged(detector, sample({"a": 0.5, "b": 0.5}, SIZE, dice))
    assert (found.what, found.after) == ("new", 0.0)


def test_classes_beyond_the_bound_are_counted_together() -> None:
    """A value of which there are millions (an id) takes the memory of `max_classes`, and is no drift."""
    detector = Categories(200, max_classes=20)
    assert not judged(detector, [f"id{n}" for n in range(4_000)])
    judged(detector, [f"id{n}" for n in range(199)])
    assert len(detector.reference) <= 21
    assert len(detector.newest) <= 41
    assert REST in detector.reference


def test_what_is_known_of_the_reference_keeps_its_name() -> None:
    """A class of the reference is counted by itself though the newest window is full of others."""
    detector = Categories(30, max_classes=2)
    judged(detector, ["a"] * 15 + ["b"] * 15)
    judged(detector, ["x", "y", "z", "z", "b"])
    assert detector.newest == {"x": 1, "y": 1, REST: 2, "b": 1}


def test_one_class_alone_never_drifts() -> None:
    """With a single class there is no share that could move."""
    assert not judged(Categories(5), ["a"] * 100)


def test_booleans_are_classes() -> None:
    """They are told by their names."""
    detector = Categories(100)
    verdicts = [detector.update(n >= 100) for n in range(200)]
    assert [found.what for found in verdicts if found is not STABLE] == ["False"]


def test_how_far_the_newest_window_has_moved_may_be_asked_at_any_time() -> None:
    """0 without a reference; less than half a window says nothing yet, and a drift is told after it too."""
    detector = Categories(100)
    assert detector.moved() == 0.0
    judged(detector, ["a", "b"] * 50)
    assert detector.moved() == 0.0
    judged(detector, ["a"] * 49)
    assert detector.moved() == 0.0
    judged(detector, ["a"])
    assert (moved := detector.moved()) > 0.25
    assert len(judged(detector, ["a"] * 50)) == 1
    assert detector.moved() >= moved
    judged(detector, ["a"] * 50)
    assert detector.moved() == 0.0, "it is the reference now"
