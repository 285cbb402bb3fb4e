"""Candidates that answer too slowly are ordered away through the log."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import orjson
from river import base

from stream_app.adapters.clock import SystemClock
from stream_app.application import Blend, SwapPolicy
from stream_app.flow import swap
from stream_app.learner.latency_guard import ENOUGH, LatencyGuard
from stream_app.learner.recovery.snapshots import state_digest
from stream_app.learner.runtime_alerts import STALE_S, RuntimeAlerts
from tests.scenario.shard_driver import ShardDriver, application
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


def searching(candidate_s: float, champion_s: float = 0.0, **parts: Any) -> tuple[ShardDriver, LatencyGuard]:
    """A shard in a search, some labels after its beginning; a candidate answers so fast."""
    shard = ShardDriver(application(champion=lambda seed: Sleeper(0.0), **parts))
    latency_guard = LatencyGuard(shard.processor.core, SystemClock())
    for n in range(40):
        shard.event(str(n), label=n % 2 == 0)
    opened = shard.state.policy.alarm(drift=True)
    assert opened is not None
    core = shard.processor.core
    core.out.record = Record(EVENT, 40, 0, b"k", b"", None)
    swap.start_candidates(core, opened)
    core.out.outputs.clear()
    shard.champion.model.naps_s, shard.state.slots[-1].model.naps_s = champion_s, candidate_s
    for n in range(40, 40 + ENOUGH + 2):
        shard.event(str(n), label=n % 2 == 0)
    return shard, latency_guard


def hunting(candidate_s: float, champion_s: float = 0.0) -> tuple[ShardDriver, LatencyGuard]:
    """A champion and a candidate in a race."""
    return searching(candidate_s, champion_s, swap=SwapPolicy(candidates=("fresh",)))


def test_a_slow_candidate_is_ordered_away_once_and_goes_when_the_order_comes_back() -> None:
    """The order is a command like an operator's; the champion and what answers fast enough stay."""
    shard, latency_guard = hunting(0.002)
    ((slot, times, _, send),) = latency_guard.orders()
    assert (slot.version, times > 10, send.topic) == (2, True, "commands")
    assert latency_guard.orders() == []
    order = orjson.loads(send.value or b"")
    assert (order["command"], order["version"], order["actor"]) == ("drop", 2, "learner")
    shard.raw(COMMAND, send.value, send.key)
    assert [one.version for one in shard.state.slots] == [1]
    assert not shard.state.policy.open


def test_a_candidate_that_keeps_up_is_left_alone() -> None:
    """Slow is relative to the champion, and half a millisecond is never slow."""
    assert hunting(0.0)[1].orders() == []
    assert hunting(0.002, champion_s=0.002)[1].orders() == []


def blending(candidate_s: float, patience: int) -> LatencyGuard:
    """Both in a blend."""
    rule = SwapPolicy(candidates=("fresh",), max_slowdown=2)
    return searching(candidate_s, swap=rule, serve=Blend(patience=patience))[1]


def test_a_candidate_that_costs_more_than_its_weight_leaves_a_blend() -> None:
    """Not before it had the blend's patience, and not for time that nobody would notice."""
    ((slot, times, why, send),) = blending(0.002, patience=10).orders()
    assert (slot.version, times > 2, "% of the time for a weight of 0." in why) == (2, True, True)
    assert orjson.loads(send.value or b"")["command"] == "drop"
    assert blending(0.002, patience=5_000).orders() == []
    assert blending(0.0, patience=10).orders() == []


def test_the_latency_guard_asks_no_question_of_its_own() -> None:
    """A question may change a model: what is timed are the answers that the flow asks for."""
    shard, latency_guard = hunting(0.0)
    before = state_digest(shard.state)
    latency_guard.orders()
    assert state_digest(shard.state) == before


class Shown(msgspec.Struct):
    """What a publisher tells of the view."""

    caught_up: bool
    stored: str = "0:1"
    fenced: bool = False


def test_a_view_that_lags_is_told_once_until_it_has_caught_up() -> None:
    """Half a minute without the newest commits is an alert; catching up ends the condition."""
    shard = ShardDriver()
    runtime_alerts = RuntimeAlerts("a", shard.processor, 100.0)
    for now_s, caught_up, told in (
        (100.0 + STALE_S, False, 0),
        (101.0 + STALE_S, False, 1),
        (150.0 + STALE_S, False, 0),
        (200.0, True, 0),
        (200.0 + STALE_S, False, 0),
        (202.0 + STALE_S, False, 1),
    ):
        runtime_alerts.report_stale_view(Shown(caught_up), now_s)  # type: ignore[arg-type]  # the fields that are read
        assert [orjson.loads(s.value or b"")["type"] for s in runtime_alerts.drain()] == ["view-stale"] * told


def test_a_view_that_follows_the_commits_is_not_stale() -> None:
    """Under a steady load a batch is always on its way, and each time Redis shows a newer one."""
    shard = ShardDriver()
    runtime_alerts = RuntimeAlerts("a", shard.processor, 100.0)
    for seq in range(5):
        now_s = 100.0 + STALE_S * (seq + 1)
        runtime_alerts.report_stale_view(Shown(False, f"0:{seq}"), now_s)  # type: ignore[arg-type]  # the fields that are read
    assert runtime_alerts.drain() == []
