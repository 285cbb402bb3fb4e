"""Batches that a broker called committed and lost: what was shown of them goes, and they are made again."""

from __future__ import annotations

import orjson

from stream_app import features as f
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT, RANKS


def event(name: str) -> dict[str, object]:
    """The value of one."""
    return {"event_id": name, "features": {"x": 1}}


def test_a_view_that_shows_a_lost_batch_is_rebuilt() -> None:
    """Its stamp is newer than the journal, or says other outputs under a number that was given again."""
    world = World(application(features=[f.count(window="1m")]))
    first = world.shard()
    world.feed(first, EVENT, event("one"), b"one")
    world.markers_lost = 1
    world.feed(first, EVENT, event("two"), b"two")
    assert "two" in world.view_keys
    world.inputs[1].pop()  # so that the same number is given to something else
    second = world.shard()
    for _ in range(5):
        world.settle(second)
    assert second.live is not None
    assert second.live.view_writer.caught_up
    assert world.view_keys == ["one"]
    assert world.alerts("view-fenced") == []


def test_what_statistics_find_left_open_is_made_again() -> None:
    """An idle shard does not leave its newest predictions unseen until the next event."""
    world = World(application())
    shard = world.shard()
    world.markers_lost = 1
    world.feed(shard, EVENT, event("one"))
    for _ in range(10):
        world.settle(shard)
    assert (world.predictions, world.left_open) == ([], []), "it failed, and has begun again at the journal"
    assert shard.live is not None
    shard.live.offer(EVENT, world.inputs[EVENT])
    for rank in RANKS:
        shard.live.merge.end(rank, world.end(rank))
    world.settle(shard)
    assert [orjson.loads(value)["event_id"] for value in world.predictions] == ["one"]
