"""Candidates that answer too slowly are ordered away through the log."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import orjson
from river import base

from stream_app.adapters.clock import SystemClock
from stream_app.application import SwapPolicy
from stream_app.flow import swap
from stream_app.learner.notices import STALE_S, Notices
from stream_app.learner.pace import Pace
from tests.contract.shard_driver import ShardDriver, application
from topics.envelope import COMMAND, EVENT, Record


class Sleeper(base.Classifier):
    """Answers at once as the first of its kind, and after two milliseconds as any later one."""

    def __init__(self, naps_s: float) -> None:
        self.naps_s = naps_s

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Nothing to learn."""

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        """Undecided."""
        time.sleep(self.naps_s)
        return {True: 0.5, False: 0.5}


def hunting() -> tuple[ShardDriver, Pace]:
    """A shard in a hunt whose candidates are slow."""
    naps = iter([0.0, 0.0, 0.002, 0.002])  # admission takes none; the first is the champion
    rule = SwapPolicy(candidates=("fresh",))
    shard = ShardDriver(application(champion=lambda seed: Sleeper(next(naps)), swap=rule))
    for n in range(40):
        shard.event(str(n), label=n % 2 == 0)
    shard.champion.model.naps_s = 0.0
    opened = shard.state.policy.alarm(drift=True)
    assert opened is not None
    swap.hunt(shard.machine.core, Record(EVENT, 40, 0, b"k", b"", None), opened, [])
    shard.state.slots[-1].model.naps_s = 0.002
    return shard, Pace(shard.machine.core, SystemClock())


def test_a_slow_candidate_is_ordered_away_once_and_goes_when_the_order_comes_back() -> None:
    """The order is a command like an operator's; the champion and what answers fast enough stay."""
    shard, pace = hunting()
    ((slot, times, send),) = pace.orders()
    assert (slot.version, times > 10, send.topic) == (2, True, "commands")
    assert pace.orders() == []
    order = orjson.loads(send.value or b"")
    assert (order["command"], order["version"], order["actor"]) == ("drop", 2, "learner")
    shard.raw(COMMAND, send.value, send.key)
    assert [one.version for one in shard.state.slots] == [1]
    assert not shard.state.policy.open


def test_a_candidate_that_keeps_up_is_left_alone() -> None:
    """Slow is relative to the champion, and half a millisecond is never slow."""
    shard, pace = hunting()
    shard.state.slots[-1].model.naps_s = 0.0
    assert pace.orders() == []
    shard.champion.model.naps_s = shard.state.slots[-1].model.naps_s = 0.002
    assert pace.orders() == []


class Shown(msgspec.Struct):
    """What a publisher tells of the view."""

    caught_up: bool
    stored: str = "0:1"
    fenced: bool = False


def test_a_view_that_lags_is_told_once_until_it_has_caught_up() -> None:
    """Half a minute without the newest commits is an alert; catching up ends the condition."""
    shard = ShardDriver()
    notices = Notices("a", shard.machine, 100.0)
    for now_s, caught_up, told in (
        (100.0 + STALE_S, False, 0),
        (101.0 + STALE_S, False, 1),
        (150.0 + STALE_S, False, 0),
        (200.0, True, 0),
        (200.0 + STALE_S, False, 0),
        (202.0 + STALE_S, False, 1),
    ):
        notices.shown(Shown(caught_up), now_s)  # type: ignore[arg-type]  # the fields that are read
        assert [orjson.loads(s.value or b"")["type"] for s in notices.take()] == ["view-stale"] * told


def test_a_view_that_follows_the_commits_is_not_stale() -> None:
    """Under a steady load a batch is always on its way, and each time Redis shows a newer one."""
    shard = ShardDriver()
    notices = Notices("a", shard.machine, 100.0)
    for seq in range(5):
        now_s = 100.0 + STALE_S * (seq + 1)
        notices.shown(Shown(False, f"0:{seq}"), now_s)  # type: ignore[arg-type]  # the fields that are read
    assert notices.take() == []
