"""Losses that swaps judge lie within [0, 1], and their unit is known before the pair."""

from __future__ import annotations

import random
from math import inf, log

import pytest

from drift.losses import LOSSES, SPAN, WINDOW, WORST_LOG, Loss


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
        loss.row_over()
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


def row(loss: Loss, *errors: float) -> list[float]:
    """The losses of answers to one row, by how far they are off."""
    found = [loss.of(0.0, error, None) for error in errors]
    loss.row_over()
    return found


def test_values_are_judged_in_typical_errors_of_the_better_answers() -> None:
    """Nothing before any is known; then `SPAN` medians of the earlier rows' smallest errors count as 1."""
    loss = Loss("absolute")
    assert row(loss, 9.0, 2.0) == [0.0, 0.0]
    assert row(loss, 3.0, 6.0) == [3.0 / (2 * SPAN), 6.0 / (2 * SPAN)]
    assert row(loss, 4.0, 80.0) == [4.0 / (3 * SPAN), 1.0]
    assert row(loss, 3.0) == [3.0 / (3 * SPAN)]
    assert loss.of(inf, 0.0, None) == 1.0


def test_a_model_that_diverges_does_not_stretch_the_unit() -> None:
    """However large its errors, once or for good, while another model answers the same rows."""
    loss = Loss("absolute")
    for n in range(300):
        row(loss, 10.0 ** (n % 30), 1.0)
    assert row(loss, 1.0, 100.0) == [1.0 / SPAN, 1.0]


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_losses_of_values_do_not_depend_on_their_unit(unit: float) -> None:
    """Milliseconds or hours: the same losses."""
    dice, loss, scaled = random.Random(1), Loss("absolute"), Loss("absolute")
    for _ in range(400):
        errors = [dice.expovariate(1.0), dice.expovariate(0.5)]
        assert row(scaled, *(error * unit for error in errors)) == pytest.approx(row(loss, *errors))


def test_a_new_scale_of_the_target_is_taken_over_within_a_window() -> None:
    """Errors a million times smaller than before are told apart again after half a window."""
    loss = Loss("absolute")
    for _ in range(WINDOW):
        row(loss, 1e6)
    assert max(row(loss, 2.0, 1.0)) < 1e-6
    for _ in range(WINDOW // 2):
        row(loss, 2.0, 1.0)
    assert row(loss, 2.0, 1.0) == [2.0 / SPAN, 1.0 / SPAN]
    assert len(loss.ordered) == len(loss.newest) == WINDOW


def test_where_most_rows_are_met_exactly_the_others_give_the_unit() -> None:
    """A target that is mostly 0; and where all are met, any error is the worst."""
    loss = Loss("absolute")
    for error in (0.0, 0.0, 0.0, 4.0):
        row(loss, error)
    assert row(loss, 3.0) == [3.0 / SPAN]
    exact = Loss("absolute")
    row(exact, 0.0, 5.0)
    assert row(exact, 0.0, 1e-9) == [0.0, 1.0]
