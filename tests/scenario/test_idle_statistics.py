"""Statistics of a shard without input: by them an idle shard is told from one that no learner has."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from stream_app.learner.active_shard import IDLE_STATS_EVERY_S, ActiveShard
from stream_app.learner.loop import Learner
from stream_app.learner.stats import definition_of
from tests.scenario.fake_outside import FINGERPRINT, Held, World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT, RANKS
from topics.records import Stats


def sent(world: World) -> list[Stats]:
    """All statistics that were committed."""
    return [msgspec.json.decode(s.value or b"", type=Stats) for s in world.written if s.topic == "stats"]


def idled(world: World, live: ActiveShard, seconds: float) -> None:
    """A second and a turn after the other; nothing comes."""
    for _ in range(round(seconds)):
        world.clock.now_s += 1
        live.turn()


@pytest.mark.parametrize("events", [0, 3])
def test_an_idle_shard_sends_statistics_every_ten_seconds(events: int) -> None:
    """Also one that never had a key; they move neither the journal nor the chain, and are of now."""
    world = World(application())
    shard = world.shard()
    assert shard.live is not None
    for n in range(events):
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": n}})
    idled(world, shard.live, 12)
    before = (
        len(sent(world)),
        len(world.journal),
        shard.live.processor.digest,
        list(shard.live.processor.positions),
    )
    idled(world, shard.live, 60)
    processor = shard.live.processor
    found = sent(world)[before[0] :]
    assert 5 <= len(found) <= 7
    assert (len(world.journal), processor.digest, processor.positions) == before[1:]
    times_ms = [stats.time_ms for stats in found]
    assert max(b - a for a, b in pairwise(times_ms)) <= 1000 * (IDLE_STATS_EVERY_S + 1)
    assert {stats.definition for stats in found} == {definition_of(FINGERPRINT)} != {""}


def test_a_recovery_after_idle_statistics_is_as_without_them() -> None:
    """The shard goes on from the journal; the statistics' transactions leave no trace in it."""
    world = World(application())
    shard = world.shard()
    world.feed(shard, EVENT, {"event_id": "e0", "features": {"x": 1}})
    assert shard.live is not None
    idled(world, shard.live, 40)
    stamp, digest = shard.live.processor.stamp, shard.live.processor.digest
    other = world.shard()
    assert other.live is not None
    assert (other.live.processor.stamp, other.live.processor.digest) == (stamp, digest)


def test_statistics_on_their_way_do_not_keep_an_idle_learner_from_ending() -> None:
    """`--exit-when-idle` may ask for more seconds than there are between two statistics."""
    world, pool = World(application()), Held()
    learner = Learner(world.deps, FINGERPRINT, exit_when_idle_s=3 * IDLE_STATS_EVERY_S)
    learner.assigned([0])
    shard = learner.shards[0]
    while shard.live is None:
        shard.turn()
    live = shard.live
    for rank in RANKS:
        live.merge.end(rank, 0)
    live.pipeline.pool = pool
    began_s = world.clock.now_s
    while not learner.stopping.is_set() and world.clock.now_s < began_s + 100:
        world.clock.now_s += 1
        shard.turn()
        learner.check_end()
        if pool.held:
            assert not live.drained
            shard.turn()
            pool.let_go()
    assert world.clock.now_s - began_s <= 3 * IDLE_STATS_EVERY_S + 5
    assert len(sent(world)) >= 3


def test_a_learner_leaves_while_statistics_are_on_their_way() -> None:
    """They are waited for; the last ones follow, and nothing is sent beside them."""
    world, pool = World(application()), Held()
    shard = world.shard()
    live = shard.live
    assert live is not None
    live.pipeline.pool = pool
    idled(world, live, 11)
    assert len(pool.held) == 1
    assert not live.finish(last_words=True)
    assert len(pool.held) == 1
    pool.let_go()
    assert live.finish(last_words=True)
