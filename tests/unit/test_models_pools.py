"""stream_app/models/pools.py: each pool is admitted, and its blend is not behind its best model."""

from __future__ import annotations

import random
from typing import Any

import pytest

from stream_app import Application, Labels, pool
from stream_app.errors import UsageError
from stream_app.models.pools import POOLS
from stream_app.state.slot import DECLARED
from tests.scenario.shard_driver import ShardDriver


def truth(task: str, x: float, colour: str) -> Any:
    """What a row's label is: it depends on a number and on a string."""
    value = x + (1.0 if colour == "red" else -1.0)
    return value > 0 if task == "binary" else value if task == "regression" else round(value)


@pytest.mark.parametrize("task", POOLS)
def test_a_pool_learns_numbers_and_strings_and_its_blend_is_not_behind(task: str) -> None:
    """Also rows without one of them, and before any label."""
    dice = random.Random(4)
    shard = ShardDriver(Application(name="a", **pool(task), labels=Labels(), drift=[]))
    for n in range(1_500):
        x, colour = dice.uniform(-2, 2), dice.choice(("red", "green", "blue"))
        features: dict[str, Any] = {"x": x, "flag": n % 2 == 0, "colour": colour}
        if n % 50 == 0:
            del features[dice.choice(list(features))]
        assert shard.event(f"e{n}", features, label=truth(task, x, colour)) is None
    assert not any(slot.failed for slot in shard.state.slots)
    declared = [slot for slot in shard.state.slots if slot.kind == DECLARED]
    assert len(declared) == 6
    assert shard.state.blend is not None
    own = shard.state.blend.slot.scores.report()["rolling"]
    name = "mae" if task == "regression" else "accuracy"
    sign = -1.0 if task == "regression" else 1.0
    best = max(sign * slot.scores.report()["rolling"][name] for slot in declared)
    assert sign * own[name] >= best - 0.02


def test_a_task_without_a_pool_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(UsageError, match="no pool for task 'anomaly'"):
        pool("anomaly")
