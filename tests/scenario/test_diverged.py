"""A regression model that diverges gives way to a sane one; worse than no model, it raises an alert."""

from __future__ import annotations

import random
from typing import Any

import pytest
from river import linear_model, preprocessing, tree

from drift.rule import SwapPolicy
from stream_app.flow.detect import BASELINE_EVERY
from tests.scenario.shard_driver import ShardDriver, application, logistic

ROWS = 2_000
EARLY, LATE = 30, 1_500  # where three rows lie far outside of what the scaler has seen: the weights explode


def linear(seed: int) -> Any:
    """Scaled linear regression: one step on a row far away throws it off."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression()


def regressor(seed: int) -> Any:
    """A tree, which no single row can throw off."""
    return tree.HoeffdingTreeRegressor()


def trips(shard: ShardDriver, rows: int, unit: float = 1.0, blow: int = EARLY) -> None:
    """Durations by the hour of the day; the labels come with the events."""
    dice = random.Random(1)
    for n in range(rows):
        far = 1e4 if blow <= n < blow + 3 else 1.0
        row: dict[str, float] = {f"x{i}": dice.gauss(0, 1) * far for i in range(8)}
        row["hour"] = dice.randrange(24)
        seconds = 600 + 300 * (7 < row["hour"] < 20) + dice.expovariate(1 / 200)
        assert shard.event(f"e{n}", row, label=seconds * unit) is None


def alerts(shard: ShardDriver, kind: str) -> list[dict[str, Any]]:
    """The alerts of one type so far."""
    return [alert for alert in shard.written("alerts") if alert["type"] == kind]


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
def test_a_diverged_champion_gives_way_to_a_sane_challenger(unit: float) -> None:
    """One explosion early on does not make all later losses equal, whatever the target's unit."""
    shard = ShardDriver(application(task="regression", champion=linear, challengers={"tree": regressor}))
    trips(shard, ROWS, unit)
    mae = {slot.name: slot.scores.report()["cumulative"]["mae"] for slot in shard.state.slots}
    assert mae["champion"] > 5 * mae["tree"]
    assert shard.state.serving == "tree"
    (swap,) = alerts(shard, "swap")
    assert swap["evidence"]["champion_loss"] > swap["evidence"]["rival_loss"]


def test_a_regression_that_is_worse_than_the_baseline_raises_an_alert() -> None:
    """With the errors of all slots; not before 1,000 labels, and not for the sane model."""
    policy = SwapPolicy(policy="never")
    shard = ShardDriver(
        application(task="regression", champion=linear, challengers={"tree": regressor}, swap=policy)
    )
    trips(shard, 2 * BASELINE_EVERY, blow=LATE)
    (alert,) = alerts(shard, "worse-than-baseline")
    assert alert["severity"] == "warning"
    evidence = alert["evidence"]
    slots = evidence["slots"]
    assert evidence["metric"] == "mae"
    assert evidence["score"] == slots["champion"] > evidence["baseline"] > slots["tree"]
    sane = ShardDriver(application(task="regression", champion=regressor, swap=policy))
    trips(sane, 2 * BASELINE_EVERY, blow=LATE)
    assert not alerts(sane, "worse-than-baseline")


@pytest.mark.parametrize(("every", "told"), [(50, 1), (1, 0)], ids=["in runs", "alternating"])
def test_a_classifier_that_is_worse_than_the_baseline_raises_an_alert(every: int, told: int) -> None:
    """Labels that come in runs, and features that say nothing of them."""
    shard = ShardDriver(application(champion=logistic, swap=SwapPolicy(policy="never"), drift=[]))
    dice = random.Random(1)
    for n in range(2 * BASELINE_EVERY):
        assert shard.event(f"e{n}", {"x": dice.gauss(0, 1)}, label=n // every % 2 == 0) is None
    assert [a["evidence"]["metric"] for a in alerts(shard, "worse-than-baseline")] == ["accuracy"] * told
