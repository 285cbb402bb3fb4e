"""A slot that learns the log again is what it would be had it been there from the beginning."""

from __future__ import annotations

import random
from typing import Any

import pytest
from river import linear_model, preprocessing

from stream_app import features as f
from stream_app.application import Application
from stream_app.definition.digest import definition_hashes
from stream_app.labels import Labels
from stream_app.learner.history.starts import Wish
from stream_app.learner.history.upgrade import Plan, upgrade_shard
from stream_app.learner.history.verify import drain, verify_shard
from stream_app.models.digest import structural_digest
from stream_app.state.slot import Slot
from tests.scenario.fake_kafka import Writer
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import TOPICS, application
from topics.envelope import EVENT, LABEL

EVENTS = 80
WINDOWS = [f.count(window="10m"), f.mean("x", window="10m")]


def other(seed: int) -> Any:
    """Another model than the champion."""
    return preprocessing.StandardScaler() | linear_model.Perceptron()


def definition(**parts: Any) -> Application:
    """With features of entities, and default labels."""
    labels = Labels(horizon="2m", on_timeout="label", default=False)
    return application(features=WINDOWS, labels=labels, **parts)


def prints(app: Application) -> dict[str, Any]:
    """Who may replay it."""
    return {"definition": definition_hashes(app), "topics": dict.fromkeys(TOPICS, "id"), "python": "3.11"}


def lived(app: Application) -> World:
    """Late labels, some never, and a snapshot in the middle and at the end."""
    world = World(app)
    shard = world.shard(prints(app))
    assert shard.live is not None
    dice = random.Random(4)
    truth = []
    for n in range(EVENTS):
        x = dice.gauss(0, 1)
        truth.append(x > 0.2)
        key = b"ab"[n % 2 :][:1]
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": x}}, key=key)
        if n >= 4 and n % 5:
            old_key = b"ab"[(n - 4) % 2 :][:1]
            world.feed(shard, LABEL, {"event_id": f"e{n - 4}", "label": truth[n - 4]}, key=old_key)
        if n in (40, EVENTS - 1):
            shard.live.leave()
    shard.drop()
    return world


def upgraded(world: World, app: Application, *relearn: tuple[str, int | None]) -> tuple[Plan, Slot]:
    """The plan, and the slot `other` of the learner that goes on."""
    past, wish = world.past(prints(app), app), Wish(relearn=relearn)
    plan = drain(upgrade_shard(past, Writer(world), lambda _plan: None, wish))
    assert plan is not None
    world.app = app
    shard = world.shard(prints(app))
    assert shard.live is not None, shard.refusal
    found = next(slot for slot in shard.live.processor.core.state.slots if slot.name == "other")
    shard.drop()
    return plan, found


def there_from_the_beginning(app: Application) -> Slot:
    """The slot `other` of an application that had it."""
    world = lived(app)
    shard = world.shard(prints(app))
    assert shard.live is not None
    return next(slot for slot in shard.live.processor.core.state.slots if slot.name == "other")


def test_a_new_challenger_learns_the_whole_log() -> None:
    """To the bit, with the features that the entities had then; the other slots go on."""
    world = lived(definition())
    app = definition(challengers={"other": other})
    plan, slot = upgraded(world, app, ("other", None))
    due = there_from_the_beginning(app)
    assert slot.learned == due.learned > EVENTS * 3 // 4
    assert structural_digest(slot.model) == structural_digest(due.model)
    assert "champion" in plan.carried
    assert "what other has learned, but for what it learns again from the log" in plan.given_up
    replays = verify_shard(world.past(prints(app), app))
    assert [one.why for one in replays] == [""] * len(replays)


def test_without_it_a_new_challenger_begins_with_nothing() -> None:
    """As before."""
    _, slot = upgraded(lived(definition()), definition(challengers={"other": other}))
    assert slot.learned == 0


def test_a_part_of_the_log_is_learned_where_a_duration_says_so() -> None:
    """Of the newest half about half of the labels."""
    world, app = lived(definition()), definition(challengers={"other": other})
    whole = there_from_the_beginning(app).learned
    times = [record.time_ms for record in world.inputs[EVENT]]
    _, slot = upgraded(world, app, ("other", (times[-1] - times[0]) // 2))
    assert whole // 3 < slot.learned < whole * 2 // 3


def test_a_changed_champion_learns_the_log_again_with_changed_features() -> None:
    """Features of entities are those of the new definition, at each event's time."""
    world = lived(application(labels=definition().labels))
    app = definition(challengers={"other": other})
    _, slot = upgraded(world, app, ("all", None))
    assert structural_digest(slot.model) == structural_digest(there_from_the_beginning(app).model)


@pytest.mark.parametrize("duration_ms", [0, 1])
def test_a_part_without_a_batch_teaches_nothing(duration_ms: int) -> None:
    """The newest batch at most is within a millisecond."""
    world, app = lived(definition()), definition(challengers={"other": other})
    _, slot = upgraded(world, app, ("other", duration_ms))
    assert slot.learned <= 1
