"""When a shard has nothing to do but wait for its commit."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.learner.active_shard import PROVING_TURN_S, TURN_S, ActiveShard
from stream_app.learner.batch.merge import Run
from stream_app.learner.dependencies import Tuning
from stream_app.learner.shard_parts import FIRST_TURN
from tests.scenario.fake_outside import Held, World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT


def test_a_shard_rests_with_a_full_batch_behind_a_commit_and_not_for_one_just_sent() -> None:
    """It waits where nothing more may be stepped; once the full batch is sent, there is room again."""
    world, pool = World(application()), Held()
    live = world.shard().live
    assert live is not None
    live.tuning, live.pipeline.pool = Tuning(batch_ms=0, batch_records=1), pool

    def turn(n: int) -> tuple[Any, Any]:
        """One event more, and one turn; the commit in flight, and the one that is waited for."""
        world.offer(live, EVENT, {"event_id": f"e{n}", "features": {"x": n}})
        live.turn()
        return live.pipeline.flight, live.blocked_by

    first, waited_for = turn(0)
    assert first is not None
    assert waited_for is None
    assert turn(1) == (first, first)
    pool.let_go()
    second, waited_for = turn(2)
    assert second not in (None, first)
    assert waited_for is None


def test_a_turn_of_a_slow_model_is_bounded_in_time() -> None:
    """How many records one turn steps follows from what they took; the rest waits for the next turn."""
    world = World(application())
    live = slow(world, 300)
    stepped = []
    for _ in range(3):
        before = live.processor.core.state.counters.events
        live.turn()
        stepped.append(live.processor.core.state.counters.events - before)
    assert stepped == [FIRST_TURN, round(TURN_S / 0.005), round(TURN_S / 0.005)]


def test_a_turn_takes_longer_while_each_batch_takes_two_transactions() -> None:
    """Until a life is proven; a slow model would else spend its time on announcements."""
    world = World(application())
    live = slow(world, 300)
    live.care.unproven, events, stepped = 8_000, live.processor.core.state.counters, []
    for _ in range(20):
        before = events.events
        live.turn()
        stepped.append(events.events - before)
    assert [n for n in stepped if n][:3] == [FIRST_TURN, *[round(PROVING_TURN_S / 0.005)] * 2]


@pytest.mark.parametrize(("events", "waits_s"), [(140, 0.5), (1_000, 1.0)])
def test_a_batch_waits_longer_while_much_is_at_hand(events: int, waits_s: float) -> None:
    """After a first turn of 0.5 s, 0.2 s more at hand let the batch go, and 4.5 s hold it."""
    world = World(application())
    live = slow(world, events)
    since_s, before = world.clock.now_s, len(world.journal)
    for _ in range(100):
        live.turn()
        if len(world.journal) > before:
            break
    assert world.clock.now_s - since_s == pytest.approx(waits_s, abs=TURN_S)


def slow(world: World, events: int) -> ActiveShard:
    """A live shard with so many events at hand, each of which takes it 5 ms."""
    live = world.shard().live
    assert live is not None
    live.processor = live.care.processor = SlowMachine(world, live.processor)  # type: ignore[assignment]
    for n in range(events):
        world.offer(live, EVENT, {"event_id": f"e{n}", "features": {"x": n}})
    return live


class SlowMachine:
    """A machine that takes 5 ms a record."""

    def __init__(self, world: World, inner: Any) -> None:
        self.world, self.inner = world, inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def apply(self, runs: list[Run], ended: Any) -> None:
        self.inner.apply(runs, ended)
        self.world.clock.now_s += 0.005 * sum(len(records) for _, records in runs)
