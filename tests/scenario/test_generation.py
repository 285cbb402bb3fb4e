"""Under which generation of the group a batch is committed."""

from __future__ import annotations

from stream_app.learner.active_shard import ActiveShard
from tests.scenario.fake_outside import GROUP, World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT

NEXT = b"generation 2"


def fed() -> tuple[World, ActiveShard]:
    """A live shard that was handed one event and has not turned yet."""
    world = World(application())
    live = world.shard().live
    assert live is not None
    world.offer(live, EVENT, {"event_id": "e0", "features": {"x": 1}})
    return world, live


def turns(live: ActiveShard, n: int = 5) -> None:
    """A few."""
    for _ in range(n):
        live.turn()


def test_a_batch_that_an_old_generation_cannot_commit_is_sent_again_as_it_is() -> None:
    """It waits while the member has no generation, and is committed once under the next one."""
    world, live = fed()
    world.generation, before = NEXT, len(world.journal)
    turns(live)
    assert (world.predictions, len(world.journal)) == ([], before)
    sealed = live.pipeline.sealed
    assert sealed is not None
    world.group = None
    turns(live)
    assert live.pipeline.sealed is sealed
    world.group = NEXT
    turns(live)
    assert (len(world.predictions), world.journal[before:]) == (1, [sealed.commit.journal])
    assert live.drained


def test_without_a_generation_nothing_is_passed_over() -> None:
    """Control records behind the last batch are passed, and said to be, once there is one."""
    world, live = fed()
    turns(live)
    live.merge.end(EVENT, 3)
    world.group, before = None, len(world.journal)
    turns(live)
    assert (live.processor.positions[EVENT], len(world.journal)) == (1, before)
    world.group = GROUP
    turns(live)
    assert (live.processor.positions[EVENT], len(world.journal)) == (3, before + 1)


def test_the_group_is_asked_for_once_a_commit_and_not_once_a_turn() -> None:
    """The client answers from another thread, which takes a turn of a fast model."""
    world, live = fed()
    turns(live)
    assert (world.asked, len(world.predictions)) == (1, 1)
    turns(live, 100)
    assert world.asked == 1
