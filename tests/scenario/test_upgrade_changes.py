"""Each kind of change × how learner and upgrade ended: nothing is lost, answered twice or forgotten."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import orjson
import pytest
from river import linear_model, preprocessing

from drift.detectors import Detect
from stream_app import features as f
from stream_app.application import Application, Blend, Labels, Limits, SwapPolicy
from stream_app.definition.digest import definition_hashes
from stream_app.learner.history import upgrade as upgrades
from stream_app.learner.history.starts import Wish
from stream_app.learner.history.upgrade import Plan, upgrade_shard
from stream_app.learner.history.verify import drain, verify_shard
from stream_app.learner.shard import Shard
from stream_app.models.digest import structural_digest
from tests.bayes import bayes
from tests.scenario.fake_kafka import Writer
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import TOPICS, application
from topics.envelope import EVENT, LABEL

BEFORE, AFTER, LATE, SNAPSHOT = 14, 22, 3, 7


def scaled(_seed: int) -> Any:
    """A model of two parts."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def perceptron(_seed: int) -> Any:
    """Another model."""
    return linear_model.Perceptron()


BASE: dict[str, Any] = {
    "champion": scaled,
    "challengers": {"bayes": bayes},
    "labels": Labels(horizon="1h"),
    "swap": SwapPolicy(policy="never"),
}
# What is changed, and whether the champion goes on as if nothing had happened.
CHANGES: dict[str, tuple[dict[str, Any], bool]] = {
    "another champion": ({"champion": perceptron}, False),
    "one more challenger": ({"challengers": {"bayes": bayes, "new": perceptron}}, True),
    "no challenger": ({"challengers": {}}, True),
    "another challenger": ({"challengers": {"bayes": perceptron}}, True),
    "features of entities": ({"features": [f.count(window="1h")]}, False),
    "other detectors": ({"drift": (Detect("ddm"),)}, True),
    "another swap policy": ({"swap": SwapPolicy(min_labels=100_000)}, True),
    "a blend serves": ({"serve": Blend()}, True),
    "another horizon": ({"labels": Labels(horizon="2h")}, True),
    "other limits": ({"limits": Limits(max_pending=50)}, True),
    "another class of label": ({"labels": Labels(horizon="1h", classes=(True, False))}, True),
    "another library": ({}, True),
}
ENDS = ("stopped", "killed", "killed in a batch")


class Defined(NamedTuple):
    """A definition, and who may replay it."""

    app: Application
    prints: dict[str, Any]


@cache
def defined(change: str) -> Defined:
    """The definition after a change, or without one."""
    app = application(**{**BASE, **CHANGES.get(change, ({}, True))[0]})
    python = "3.12" if change == "another library" else "3.11"
    topics = dict.fromkeys(TOPICS, "id")
    return Defined(app, {"definition": definition_hashes(app), "topics": topics, "python": python})


def feed(world: World, shard: Shard, numbers: range) -> None:
    """Events of two entities, each with its label three events later."""
    for n in numbers:
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": (n * 7) % 11}}, b"ab"[n % 2 :][:1])
        if n >= LATE:
            late = n - LATE
            label = {"event_id": f"e{late}", "label": (late * 7) % 11 > 4}
            world.feed(shard, LABEL, label, b"ab"[late % 2 :][:1])
        if n == SNAPSHOT:
            assert shard.live is not None
            shard.live.leave()


def lived(end: str) -> World:
    """An application that ended in one of the ways."""
    before = defined("")
    world = World(before.app)
    shard = world.quiet(before.prints)
    feed(world, shard, range(BEFORE))
    if end == "stopped":
        assert shard.live is not None
        shard.live.leave()
    elif end == "killed in a batch":
        world.down = True
        world.record(EVENT, world.clock.now_ms(), {"event_id": f"e{BEFORE}", "features": {"x": 1}}, b"a")
        assert shard.live is not None
        shard.live.offer(EVENT, world.inputs[EVENT][-1:])
        world.settle(shard)
        world.down = False
    shard.drop()
    return world


class Killed(Exception):
    """A SIGKILL between the epoch's record and its snapshot."""


def die(*_: Any) -> None:
    """Be killed."""
    raise Killed


def upgrade(world: World, after: Defined) -> Plan:
    """As the command does it, whatever it gives up."""
    past = world.past(after.prints, after.app)
    plan = drain(upgrade_shard(past, Writer(world), lambda _plan: None, Wish()))
    assert plan is not None
    return plan


def read_on(world: World, fingerprint: dict[str, Any], until: int) -> Shard:
    """A learner that reads what its inputs still hold, and then more."""
    shard = world.quiet(fingerprint)
    world.catch_up(shard)
    feed(world, shard, range(len(world.inputs[EVENT]), until))
    return shard


def champion(shard: Shard) -> str:
    """What the champion has become."""
    assert shard.live is not None
    return structural_digest(shard.live.processor.core.state.slots[0].model)


@cache
def uninterrupted(end: str) -> str:
    """What the champion becomes without an upgrade."""
    return champion(read_on(lived(end), defined("").prints, AFTER))


@pytest.mark.parametrize("cut", [False, True], ids=["at once", "cut off once"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_loses_nothing_however_learner_and_upgrade_ended(
    change: str, end: str, cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each event has one prediction, replays are equal, and what did not change goes on to the bit."""
    after, world = defined(change), lived(end)
    if cut:
        with monkeypatch.context() as patch:
            patch.setattr(upgrades, "save_entry", die)
            with pytest.raises(Killed):
                upgrade(world, after)
    plan = upgrade(world, after)
    assert plan.changed
    assert plan.epoch == 1 + cut
    world.app, world.deps = after.app, replace(world.deps, app=after.app)
    shard = read_on(world, after.prints, AFTER)
    answers = Counter(orjson.loads(value)["event_id"] for value in world.predictions)
    assert answers == {f"e{n}": 1 for n in range(AFTER)}
    replays = verify_shard(world.past(after.prints, after.app))
    assert [one.why for one in replays] == [""] * len(replays)
    _, goes_on = CHANGES[change]
    if goes_on:
        assert champion(shard) == uninterrupted(end)
