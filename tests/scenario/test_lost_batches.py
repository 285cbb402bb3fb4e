"""Batches that a broker called committed and lost: what was shown of them goes, and they are made again."""

from __future__ import annotations

import orjson

from stream_app import features as f
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT, LABEL, RANKS


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
    assert world.predictions == []
    assert "journal" not in world.left_open, "it failed, and has begun again there"
    assert shard.live is not None
    shard.live.offer(EVENT, world.inputs[EVENT])
    for rank in RANKS:
        shard.live.merge.end(rank, world.end(rank))
    world.settle(shard)
    assert [orjson.loads(value)["event_id"] for value in world.predictions] == ["one"]


def test_a_batch_of_labels_alone_does_not_tear_the_one_before() -> None:
    """Its marker would end the journal's part of what was left open, and not that of the predictions."""
    world = World(application())
    shard = world.shard()
    world.feed(shard, EVENT, event("one"))
    world.markers_lost = 1
    assert shard.live is not None
    world.offer(shard.live, EVENT, event("two"))
    for _ in range(3):
        shard.turn()
    assert "predictions" in world.left_open
    world.offer(shard.live, LABEL, {"event_id": "one", "label": True})
    for _ in range(5):
        world.settle(shard)
    assert shard.live is not None
    assert shard.live.replayed > 0, "it failed, and has begun again"
    for rank in RANKS:
        shard.live.offer(rank, world.inputs[rank])
        shard.live.merge.end(rank, world.end(rank))
    for _ in range(5):
        world.settle(shard)
    assert [orjson.loads(value)["event_id"] for value in world.predictions] == ["one", "two"]
    assert shard.live.processor.core.state.counters.labels_learned == 1
