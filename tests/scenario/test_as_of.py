"""A shard as it was at a moment equals the one that stood there."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from stream_app import features as f
from stream_app.errors import Refused
from stream_app.learner.history.as_of import Moment, state_as_of
from stream_app.learner.recovery.snapshots import state_digest
from tests.scenario.fake_kafka import Source
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import application
from topics.envelope import EVENT, LABEL

EVENTS = 60


class Life(NamedTuple):
    """A world, and by event offset the state before and behind it, and its time."""

    world: World
    before: dict[int, str]
    behind: dict[int, str]
    times: dict[int, int]


@pytest.fixture(scope="module")
def lived() -> Life:
    """With late labels, and a snapshot on the way."""
    world = World(application(features=[f.count(window="1m")]))
    shard = world.shard()
    assert shard.live is not None
    life = Life(world, {}, {}, {})
    for n in range(EVENTS):
        life.before[n] = state_digest(shard.live.processor.core.state)
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": float(n % 7)}})
        life.behind[n] = state_digest(shard.live.processor.core.state)
        life.times[n] = world.inputs[EVENT][-1].time_ms
        if n >= 4:
            world.feed(shard, LABEL, {"event_id": f"e{n - 4}", "label": n % 7 > 3})
        if n == 30:
            shard.live.leave()
    return life


def as_of(world: World, moment: Moment) -> str:
    """The digest of the state then."""
    return state_digest(state_as_of(world.past(), moment).processor.core.state)


def test_twenty_offsets_and_moments_are_as_they_were(
    lived: Life,
) -> None:
    """Before and after the snapshot, in the middle of batches, and at the end."""
    world = lived.world
    for n in random.Random(5).sample(range(EVENTS), 20):
        assert as_of(world, Moment(offset=n)) == lived.before[n], n
        assert as_of(world, Moment(time_ms=lived.times[n])) == lived.behind[n], n
    later = lived.times[EVENTS - 1] + 10**9
    assert as_of(world, Moment(offset=10_000)) == as_of(world, Moment(time_ms=later))


def test_a_moment_before_what_is_retained_is_refused(lived: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inputs before the snapshot are gone."""
    world = lived.world
    monkeypatch.setattr(Source, "earliest", lambda _self: [0, 20, 0])
    assert as_of(world, Moment(offset=40)) == lived.before[40]
    with pytest.raises(Refused, match="begins after that moment"):
        as_of(world, Moment(offset=10))
