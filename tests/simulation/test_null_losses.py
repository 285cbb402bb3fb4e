"""Errors of values with heavy tails: losses in typical errors keep the test's promise."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import product, repeat
from math import exp, sqrt

import pytest

from drift.losses import Loss
from drift.sequential import Comparison
from tests.lengths import length
from tests.simulation.spread import Map, spread

ALPHA = 0.05
STREAMS, PAIRS = length(24, 120, 4_000), 3_000
MOST = ALPHA + 3 * sqrt(ALPHA * (1 - ALPHA) / max(60, STREAMS))
JUMPS = {0: 1.0, 700: 1e6, 1_400: 1.0}  # the target's unit from these rows on

DRAWS: dict[str, Callable[[random.Random], float]] = {
    "gauss": lambda dice: dice.gauss(0, 1),
    "t1.5": lambda dice: dice.gauss(0, 1) / sqrt(dice.gammavariate(0.75, 1 / 0.75)),
    "cauchy": lambda dice: dice.gauss(0, 1) / dice.gauss(0, 1),
    "lognormal": lambda dice: exp(dice.gauss(0, 2.5)),
}


def passes(seed: int, kind: str, stay: float, jumps: bool) -> bool:
    """Whether two models of equal errors, partly the target's noise, ever pass for different ones.

    Each part of an error stays from row to row with probability `stay`.
    """
    dice = random.Random(f"{seed} {kind} {stay} {jumps}")
    draw, loss, race, unit = DRAWS[kind], Loss("absolute"), Comparison(), 1.0
    parts = [draw(dice) for _ in range(3)]
    for n in range(PAIRS):
        unit = JUMPS.get(n, unit) if jumps else 1.0
        parts = [part if dice.random() < stay else draw(dice) for part in parts]
        mine, rivals = ((parts[0] + own) * unit for own in parts[1:])
        race.update(loss.of(0.0, mine, None), loss.of(0.0, rivals, None))
        loss.row_over()
        if race.capital >= 1 / ALPHA:
            return True
    return False


GROUPS = [*product(DRAWS, (0.0, 0.8), (False,)), ("t1.5", 0.0, True)]


@pytest.fixture(scope="module")
def each() -> Iterator[Map]:
    """What plays the streams."""
    with spread() as found:
        yield found


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "stay", "jumps"), GROUPS)
def test_equal_errors_pass_for_evidence_no_more_often_than_alpha(
    each: Map, kind: str, stay: float, jumps: bool
) -> None:
    """Errors without a mean, in runs, or in a unit that jumps by a million: α bounds the streams."""
    found = list(each(passes, range(STREAMS), repeat(kind), repeat(stay), repeat(jumps)))
    assert sum(found) / STREAMS <= MOST
