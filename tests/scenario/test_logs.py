"""Log lines say where they were written, and never what was in a record."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from stream_app.learner.logs import place
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import application, logistic
from topics.envelope import EVENT


@pytest.fixture
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    """Every line, as the renderer would get it."""
    seen: list[MutableMapping[str, Any]] = []

    def keep(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        seen.append(line)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[place, structlog.processors.add_log_level, keep])
    yield seen
    structlog.configure(**before)


def test_a_line_says_where_its_shard_stood(lines: list[MutableMapping[str, Any]]) -> None:
    """Shard, epoch, seq and model of a live one; the shard alone before that; nothing outside of turns."""
    world = World(application())
    world.store_error = RuntimeError("no room")
    shard = world.shard()
    assert shard.live is not None
    world.feed(shard, EVENT, {"event_id": "e0", "features": {"x": 1}, "label": True})
    live = shard.live
    live.snapshotter.policy.max_recovery_s = 0.0
    live.snapshotter.worked(1.0, 1)
    world.settle(shard)
    (failed,) = [line for line in lines if line["event"] == "snapshot failed"][:1]
    assert {name: failed[name] for name in ("shard", "epoch", "seq", "model")} == {
        "shard": 0,
        "epoch": 0,
        "seq": live.processor.seq,
        "model": 1,
    }
    assert [line["shard"] for line in lines if line.get("now") == "live"] == [0]
    structlog.get_logger().info("between turns")
    assert set(lines[-1]) == {"event", "level"}


class Quotes:
    """A model whose errors quote what it was given."""

    def predict_one(self, x: dict[str, Any]) -> bool:
        return True

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        raise ValueError(f"cannot take {x}")


def test_what_a_model_raised_stays_in_the_alert(lines: list[MutableMapping[str, Any]]) -> None:
    """It may quote a record: the line tells of the alert, and the alert tells all."""
    world = World(application(challengers={"quotes": lambda seed: Quotes()}, champion=logistic))
    shard = world.shard()
    canary = {"event_id": "canary-id", "features": {"x": 7_654_321}, "label": True}
    world.feed(shard, EVENT, canary, key=b"canary-key")
    (alert,) = world.alerts("challenger-failed")
    assert "7654321" in alert["message"]
    (line,) = [line for line in lines if line.get("type") == "challenger-failed"]
    assert line["event"] == "alert"
    assert [one for one in lines if "7654321" in str(one) or "canary" in str(one)] == []
