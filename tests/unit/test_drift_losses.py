"""Losses that swaps judge lie within [0, 1], and their unit is known before the pair."""

from __future__ import annotations

import random
from math import inf, log

import pytest

from drift.losses import LOSSES, SCALE, WORST_LOG, Loss


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_lies_between_0_and_1(name: str) -> None:
    """Also of answers that are sure and wrong, of classes never seen, and of values far away."""
    dice = random.Random(1)
    loss = Loss(name)
    for _ in range(500):
        label: object = dice.choice([True, False])
        p = dice.choice([0.0, 1.0, dice.random()])
        answer: tuple[object, dict[object, float] | None] = (p > 0.5, {True: p, False: 1 - p})
        if name == "absolute":
            label, answer = dice.gauss(0, 10 ** dice.randint(0, 12)), (dice.gauss(0, 1), None)
        assert 0.0 <= loss.of(label, *answer) <= 1.0
        loss.saw(label, answer[0])
    if name != "absolute":
        assert loss.of("unseen", "a", {"a": 1.0}) == 1.0


def test_zero_one_counts_wrong_answers() -> None:
    """Whatever their probabilities were."""
    loss = Loss("zero_one")
    assert [loss.of("a", "a", {"a": 0.1}), loss.of("a", "b", None)] == [0.0, 1.0]


def test_log_loss_is_scaled_by_its_worst() -> None:
    """Half sure costs ln 2 of ln 1000; less than one in a thousand costs no more than that."""
    loss = Loss("log")
    assert loss.of(True, True, {True: 0.5, False: 0.5}) == pytest.approx(log(2) / WORST_LOG)
    assert loss.of(True, False, {True: 1e-9, False: 1.0}) == 1.0
    assert loss.of(True, True, {True: 1.0}) == 0.0


def test_brier_loss_counts_all_classes() -> None:
    """Being wrong and torn costs less than being wrong and sure."""
    loss = Loss("brier")
    assert loss.of("a", "b", {"a": 0.0, "b": 0.5, "c": 0.5}) == pytest.approx(0.75)
    assert loss.of("a", "b", {"b": 1.0}) == 1.0


@pytest.mark.parametrize("name", ["log", "brier"])
def test_models_without_probabilities_are_judged_by_their_answers(name: str) -> None:
    """Both losses then are 0 or 1."""
    loss = Loss(name)
    assert [loss.of("a", "a", None), loss.of("a", "b", None)] == [0.0, 1.0]


def test_values_are_judged_in_the_champions_mean_errors() -> None:
    """Nothing before any error is known; then `SCALE` mean errors count as 1, noted after the pair only."""
    loss = Loss("absolute")
    assert loss.of(10.0, 0.0, None) == 0.0
    loss.saw(10.0, 8.0)
    loss.saw(10.0, 6.0)
    assert loss.mean == 3.0
    assert loss.of(10.0, 4.0, None) == pytest.approx(6 / (3 * SCALE))
    assert loss.mean == 3.0
    assert loss.of(inf, 0.0, None) == 1.0


def test_a_champion_without_errors_gives_no_unit() -> None:
    """All losses are 0: nobody can win against it."""
    loss = Loss("absolute")
    loss.saw(1.0, 1.0)
    assert loss.of(1.0, 5.0, None) == 0.0
