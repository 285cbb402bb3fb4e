"""A snapshot is taken of a batch where it is sealed, and saved once the journal has that batch."""

from __future__ import annotations

import orjson
import pytest

from stream_app.application import Snapshots
from stream_app.errors import ShardFailed
from stream_app.learner.active_shard import ActiveShard
from stream_app.learner.recovery.snapshots import state_digest
from tests.scenario.fake_kafka import STRIDE
from tests.scenario.fake_outside import FINGERPRINT, Held, World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT


@pytest.fixture
def world() -> World:
    """A shard that is to be saved after every batch."""
    return World(application(snapshot=Snapshots(max_cost=1.0, max_recovery="1ms")))


def taking(world: World, pool: Held) -> ActiveShard:
    """The shard with one batch on its way and its snapshot taken."""
    live = world.shard().live
    assert live is not None
    live.pipeline.pool = pool
    step(world, live, 0)
    assert live.snapshotter.taken is not None
    assert not world.snapshots
    return live


def step(world: World, live: ActiveShard, n: int) -> None:
    """One event more and one turn, in which a millisecond passes."""
    world.offer(live, EVENT, {"event_id": f"e{n}", "features": {"x": n}})
    live.snapshotter.worked(0.001, 1)
    live.turn()


def test_a_snapshot_is_of_its_batch_though_more_was_stepped_meanwhile(world: World) -> None:
    """Restored from it, the shard is what it was at that batch, which the journal confirms."""
    pool = Held()
    live = taking(world, pool)
    then = state_digest(live.processor.core.state)
    digest = live.processor.digest
    step(world, live, 1)
    assert not world.snapshots
    pool.let_go()
    live.turn()
    head, _ = world.snapshots[0]
    assert (head["seq"], head["digest"], head["journal_offset"]) == (1, digest, STRIDE)
    assert orjson.loads(world.journal[head["journal_offset"] // STRIDE])["digest"] == digest
    assert then != state_digest(live.processor.core.state)
    _, load = next(iter(world.deps.open_store(0).load()))
    assert state_digest(load()["state"]) == then


def test_a_snapshot_of_a_batch_that_failed_is_not_saved(world: World) -> None:
    """What was never committed must not be what a restart begins with."""
    pool = Held()
    live = taking(world, pool)
    world.down = True
    pool.let_go()
    with pytest.raises(ShardFailed):
        live.turn()
    live.close()
    assert not world.snapshots
    world.down = False
    again = world.shard({**FINGERPRINT}).live
    assert again is not None
    assert again.processor.core.state.counters.events == 0


def test_a_snapshot_that_becomes_due_while_nothing_comes_is_taken(world: World) -> None:
    """A shard that rests after a burst is saved once the time has come, though no batch is on its way."""
    live = world.shard().live
    assert live is not None
    world.offer(live, EVENT, {"event_id": "e0", "features": {"x": 0}})
    live.turn()
    live.turn()
    assert live.drained
    assert not world.snapshots
    live.snapshotter.worked(0.001, 1)
    live.turn()
    assert world.snapshots[0][0]["seq"] == 1


def test_a_shard_that_leaves_takes_no_snapshot_with_its_last_batch(world: World) -> None:
    """It may be too dear for a graceful stop, which asks for that itself."""
    live = world.shard().live
    assert live is not None
    live.pipeline.pool = Held()
    world.offer(live, EVENT, {"event_id": "e0", "features": {"x": 0}})
    live.advance()
    live.snapshotter.worked(0.001, 1)
    live.finish(last_words=False)
    assert live.pipeline.flight is not None
    assert live.snapshotter.taken is None
