"""Trimming a journal changes nothing that a recovery, `verify` or an upgrade from the log can do."""

from __future__ import annotations

import pytest

from stream_app.errors import Refused
from stream_app.learner.batch import journal
from stream_app.learner.history.trim import trim_offset
from stream_app.learner.history.verify import drain
from tests.scenario.fake_kafka import Source
from tests.scenario.fake_outside import Store, World
from tests.scenario.test_upgrade import APP, CHANGED, PRINTS, answered, equal_again, read_on, send, upgrade
from topics.envelope import EVENT

EVENTS = 6  # one batch each


def lived(saved_after: set[int]) -> World:
    """Events in batches of their own; snapshots after some of them."""
    world = World(APP)
    for n in range(EVENTS):
        shard = world.shard(PRINTS)
        send(world, shard, n)
        if n in saved_after and shard.live is not None:
            shard.live.leave()
        shard.drop()
    return world


def cut_of(world: World) -> int:
    """The journal offset before which nothing is needed."""
    return drain(trim_offset(0, Source(world), (header for header, _ in Store(world).load())))


@pytest.mark.parametrize("lost", range(EVENTS + 1))
@pytest.mark.parametrize("saved_after", [{0}, {5}, {1, 3}, {0, 1, 4}, {2, 3, 4, 5}], ids=str)
def test_a_trimmed_journal_serves_like_the_whole_one(saved_after: set[int], lost: int) -> None:
    """With so many of the first events deleted: a learner goes on or halts, verify passes or not, and an
    upgrade from the log comes to the same models, as without the trim.
    """
    ends = []
    for trims in (False, True):
        world = lived(saved_after)
        world.low[EVENT] = lost
        if trims:
            world.journal_low = cut_of(world)
        shard = world.shard(PRINTS)
        if shard.live is not None:
            equal_again(world, PRINTS)
        phase = shard.phase
        shard.drop()
        plan = upgrade(world, CHANGED, from_log=True)
        assert plan is not None
        read_on(world, CHANGED).drop()
        newest = journal.read(world.journal[-1], 0)
        ends.append((phase, plan.seq, answered(world), newest.seq, newest.digest))
    assert ends[0] == ends[1]


def test_what_can_be_replayed_from_the_beginning_is_needed_as_a_whole() -> None:
    """No input is lost: the first epoch record stays, though newer snapshots are there."""
    assert cut_of(lived({2, 4})) == 0


def test_what_is_lost_with_its_inputs_is_not_needed() -> None:
    """Two of three snapshots lead into batches whose inputs are gone; the journal of the rest stays."""
    world = lived({0, 1, 4})
    world.low[EVENT] = 3
    assert 0 < cut_of(world) <= world.snapshots[-1][0]["journal_offset"]


def test_without_a_snapshot_nothing_may_go() -> None:
    """The journal may be all that there is."""
    world = lived(set())
    world.low[EVENT] = 3
    with pytest.raises(Refused, match="confirms no snapshot"):
        cut_of(world)
