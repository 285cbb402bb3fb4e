"""Each watchdog judges what it watches: the helper its commit, the loop's own thread the loop."""

from __future__ import annotations

import os
import threading
from concurrent.futures import wait
from dataclasses import replace

import pytest
import structlog

from stream_app.application import Snapshots
from stream_app.learner import loop
from stream_app.learner.active_shard import ActiveShard
from stream_app.learner.daemon_pool import DaemonPool
from stream_app.learner.loop import Learner
from stream_app.learner.recovery.snapshots import SLOW_S
from stream_app.learner.shard import Shard
from stream_app.learner.watchdog import Watchdog
from tests.scenario.fake_outside import FINGERPRINT, Clock, Held, World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT


@pytest.fixture
def died(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The codes with which the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def committing(world: World) -> tuple[Learner, ActiveShard, Held]:
    """A learner with a batch on its way."""
    made, held = Learner(world.deps, FINGERPRINT), Held()
    made.shards = {0: world.shard()}
    live = made.shards[0].live
    assert live is not None
    live.pipeline.pool = held
    world.offer(live, EVENT, {"event_id": "e0", "features": {"x": 1}})
    live.turn()
    assert live.pipeline.flight is not None
    return made, live, held


def test_a_commit_that_is_done_hangs_no_longer_whenever_the_loop_looks(died: list[int]) -> None:
    """Its helper was done at once; the loop pickled for longer than the watchdog waits."""
    world = World(application())
    made, live, held = committing(world)
    held.let_go()
    world.clock.now_s += 100 * world.deps.tuning.watchdog_s
    for _ in range(100):
        made.check_end()
        world.clock.now_s += 1.0
    assert died == []
    assert live.pipeline.flight is not None


def test_a_loop_that_was_busy_proves_nothing_about_the_helper(died: list[int]) -> None:
    """What keeps the loop may have kept the helper too: a pause counts as a second, and then it counts on."""
    world = World(application())
    made, _, _ = committing(world)
    world.clock.now_s += 1_000.0
    made.check_end()
    assert died == []
    with structlog.testing.capture_logs() as logs:
        for _ in range(round(world.deps.tuning.watchdog_s)):
            world.clock.now_s += 1.0
            made.check_end()
    assert died == [70]
    assert [line["event"] for line in logs] == ["a commit hangs; leaving so that the supervisor can restart"]


def test_the_loops_watchdog_says_what_stands_still() -> None:
    """Past its own bound, by its own sentence, with what the loop was doing; never before."""
    clock, codes = Clock(), list[int]()
    watchdog = Watchdog(clock, 600.0, codes.append)
    watchdog.beat("shard 3, live")
    clock.now_s += 600.0
    watchdog.look()
    assert codes == []
    clock.now_s += 1.0
    with structlog.testing.capture_logs() as logs:
        watchdog.look()
    assert codes == [70]
    assert logs == [
        {
            "event": "the loop makes no progress; leaving so that the supervisor can restart",
            "doing": "shard 3, live",
            "seconds": 601,
            "log_level": "critical",
        }
    ]


def test_the_loops_watchdog_looks_from_a_thread_of_its_own() -> None:
    """While the loop itself cannot; and not once the loop has ended."""
    clock, ended = Clock(), threading.Event()
    watchdog = Watchdog(clock, 0.1, lambda _: ended.set())
    watchdog.start()
    clock.now_s += 1.0
    assert ended.wait(30)
    watchdog.rest()


class Interrupted(Exception):
    """Ends a loop."""


def test_a_loop_beats_and_its_watchdog_rests_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends it: a learner that ended well must not be ended by what watched it."""
    world = World(application())
    made = Learner(world.deps, FINGERPRINT)
    started: list[str] = []
    monkeypatch.setattr(made.watchdog, "start", lambda: started.append(made.watchdog.doing))

    def polls(*_: object) -> None:
        raise Interrupted

    monkeypatch.setattr(made.deps.log, "poll", polls)
    with pytest.raises(Interrupted):
        made.run()
    assert started == ["starting"]
    assert made.watchdog.doing == "poll"
    assert made.watchdog.resting.is_set()


def saving(world: World, held: Held) -> ActiveShard:
    """A shard that is to be saved after every batch, one snapshot being written."""
    shard = Shard(replace(world.deps, store_pool=held), 0, FINGERPRINT)
    while shard.live is None:
        if held.held:
            held.let_go()
        shard.turn()
    shard.live.care.idle()  # its inputs were at their ends: no batch is announced before it is stepped
    step(world, shard.live, 0)
    shard.live.turn()
    while held.held and shard.live.snapshotter.writing is None:
        held.let_go()
    assert shard.live.snapshotter.writing is not None
    return shard.live


def step(world: World, live: ActiveShard, n: int) -> None:
    """One event more, and turns enough to commit it."""
    world.clock.now_s += 1.5
    world.offer(live, EVENT, {"event_id": f"e{n}", "features": {"x": n}})
    live.snapshotter.worked(0.001, 1)
    live.turn()
    live.turn()


@pytest.fixture
def eager() -> World:
    """A world whose snapshots are due after every batch."""
    return World(application(snapshot=Snapshots(max_cost=1.0, max_recovery="1ms")))


def test_a_shard_goes_on_while_its_snapshot_is_written_one_at_a_time(eager: World) -> None:
    """However long that takes: nothing of the store's is waited for, and no second write begins."""
    held = Held()
    live = saving(eager, held)
    writing = live.snapshotter.writing
    for n in range(1, 5):
        step(eager, live, n)
    assert len(eager.predictions) == 5
    assert live.snapshotter.writing is writing
    assert not eager.snapshots
    while held.held:
        held.let_go()
    step(eager, live, 5)
    assert [head["seq"] for head, _ in eager.snapshots][-1] == 1


def test_a_write_that_fails_or_takes_too_long_is_reported_back(eager: World) -> None:
    """Once as long as it lasts; the next that is written ends it."""
    held = Held()
    live = saving(eager, held)
    for _ in range(3):
        eager.clock.now_s += SLOW_S + 1
        live.turn()
        live.turn()
    (alert,) = eager.alerts("snapshot-failed")
    assert "has not answered for 60 s" in alert["message"]
    future, _ = held.held.pop(0)
    future.set_exception(OSError("no space left"))
    with structlog.testing.capture_logs() as logs:
        live.turn()
    assert live.snapshotter.error == "OSError: no space left"
    assert [line["event"] for line in logs] == ["snapshot failed"]
    step(eager, live, 1)
    while live.snapshotter.writing is None or held.held:
        held.let_go() if held.held else live.turn()
    live.turn()
    assert live.snapshotter.error is None


def test_pickling_alone_counts_against_max_cost() -> None:
    """Writing stops no prediction: a slow store is no dear snapshot."""
    world = World(application(snapshot=Snapshots(max_cost=0.1, max_recovery="10s")))
    shard, held = world.shard(), Held()
    assert shard.live is not None
    shard.live.snapshotter.pool = held
    world.feed(shard, EVENT, {"event_id": "e0", "features": {"x": 1}})
    world.dump_takes_s = 0.5
    shard.live.leave()
    future, work = held.held.pop(0)
    world.clock.now_s += 8.0
    future.set_result(work())
    world.settle(shard)
    assert shard.live.snapshotter.policy.cost_s >= 0.5
    assert not world.alerts("snapshot-too-dear")


def test_a_graceful_stop_waits_for_its_last_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written on a helper, and there when the process ends."""
    world = World(application())
    waited, save = threading.Event(), world.save_snapshot
    made = Learner(replace(world.deps, store_pool=DaemonPool()), FINGERPRINT)
    made.shards = {0: world.shard()}
    live = made.shards[0].live
    assert live is not None
    live.snapshotter.pool = DaemonPool()
    world.feed(made.shards[0], EVENT, {"event_id": "e0", "features": {"x": 1}})

    def slow(*arguments: object) -> None:
        assert waited.wait(30)
        save(*arguments)  # type: ignore[arg-type]

    def waits(*arguments: object) -> object:
        waited.set()
        return wait(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(world, "save_snapshot", slow)
    monkeypatch.setattr(loop, "wait", waits)
    made.leave()
    assert [head["seq"] for head, _ in world.snapshots] == [1]


def test_a_graceful_stop_leaves_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, with a line in the log; the statistics are still written."""
    world = World(application())
    held = Held()
    made = Learner(world.deps, FINGERPRINT)
    made.shards = {0: world.shard()}
    live = made.shards[0].live
    assert live is not None
    world.feed(made.shards[0], EVENT, {"event_id": "e0", "features": {"x": 1}})
    live.snapshotter.pool = held
    monkeypatch.setattr(loop, "LAST_WRITE_S", -2.0)
    with structlog.testing.capture_logs() as logs:
        made.leave()
    assert "a snapshot is not written in time; leaving without it" in [line["event"] for line in logs]
    assert made.shards == {}
    assert len(held.held) == 1
