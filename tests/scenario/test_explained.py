"""An explanation by replay comes to the prediction that was served, to the bit."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import fastavro
import orjson
import pytest

from drift.blend import Blend
from stream_app import features as f
from stream_app.application import Application
from stream_app.bridge.copies import AVRO, Copies
from stream_app.errors import Refused
from stream_app.labels import Labels
from stream_app.learner.history.explained import Explained, explain_event
from stream_app.outputs import Output
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import ShardDriver, application, logistic
from tests.simulation.test_lives_replayed import MODELS
from topics.envelope import EVENT, LABEL, Record

EVENTS = 120
WINDOWS = [f.count(window="1m"), f.mean("x", window="1h")]


def lived(app: Application, *, inline: bool = False) -> World:
    """A world in which 120 events were served, with late labels or their own, and a snapshot on the way."""
    world = World(app)
    shard = world.shard()
    assert shard.live is not None
    dice = random.Random(1)
    for n in range(EVENTS):
        x, y = dice.gauss(0, 1), dice.gauss(0, 1)
        value = {"event_id": f"e{n}", "features": {"x": x, "y": y}}
        world.feed(shard, EVENT, value | {"label": x + y > 0} if inline else value, key=b"ab"[n % 2 :][:1])
        if n >= 4 and not inline and n % 5:
            old = orjson.loads(world.inputs[EVENT][n - 4].value or b"")
            truth = old["features"]["x"] + old["features"]["y"] > 0
            world.feed(shard, LABEL, {"event_id": f"e{n - 4}", "label": truth}, key=b"ab"[n % 2 :][:1])
        if n == 60:
            shard.live.leave()
    return world


class Numbered:
    """A registry that knows every schema."""

    def register(self, subject: str, kind: str, text: str) -> int:
        """The same number for all."""
        return 7


def explained(world: World, offset: int) -> Explained:
    """The explanation of the event at an offset."""
    return explain_event(world.past(), offset, 10)


DEFINITIONS = {
    "late labels": application(features=WINDOWS),
    "default labels": application(
        features=WINDOWS, labels=Labels(horizon="10ms", on_timeout="label", default=False)
    ),
    "blend": application(features=WINDOWS, serve=Blend(), challengers={"other": logistic, "third": logistic}),
}


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_every_served_prediction_is_reproduced_and_its_terms_add_up(kind: str) -> None:
    """Also where the step learns a default label before it predicts, and where models answer as one."""
    world = lived(DEFINITIONS[kind])
    served = {one["offset"]: one for one in map(orjson.loads, world.predictions)}
    explanations = 0
    for offset in random.Random(2).sample(range(EVENTS), 30):
        made, row, explanation = explained(world, offset)
        due = served[offset]
        probabilities = made.probabilities or {}
        assert [made.event_id, made.prediction, made.model, made.version] == [
            due["event_id"],
            due["prediction"],
            due["model"]["name"],
            due["model"]["version"],
        ]
        assert {str(label).lower(): p for label, p in probabilities.items()} == due.get("probabilities", {})
        assert (explanation is None) == due["cold"]
        assert row["count_1m"] >= 0
        if explanation is None:
            continue
        explanations += 1
        total = explanation["base"] + explanation["rest"]
        total += sum(one["contribution"] for one in explanation["contributions"])
        assert total == pytest.approx(explanation["sum"], abs=1e-9)
        if kind == "blend":
            assert explanation["sum"] == pytest.approx(probabilities[True], abs=1e-9)
        assert {one["feature"] for one in explanation["contributions"]} <= row.keys()
    assert explanations > 20


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_a_prediction_in_the_topic_says_what_an_explanation_by_replay_says(kind: str) -> None:
    """Where the definition asks for it; sentences are left to those who ask."""
    world = lived(replace(DEFINITIONS[kind], explain=3))
    served = {one["offset"]: one for one in map(orjson.loads, world.predictions)}
    for offset in random.Random(3).sample(range(EVENTS), 10):
        _, _, due = explain_event(world.past(), offset, 3)
        if due is None:
            assert "explanation" not in served[offset]
            continue
        for part in due["contributions"]:
            del part["reason"]
        assert served[offset]["explanation"] == due


AS_READ: dict[str, Callable[[bytes], Any]] = {
    "avro": lambda value: fastavro.schemaless_reader(io.BytesIO(value), fastavro.parse_schema(AVRO), None),
    "json-schema": orjson.loads,
}


@pytest.mark.parametrize("form", AS_READ)
def test_a_prediction_is_copied_with_its_explanation_and_weights(form: str) -> None:
    """In every form that a user's topic may have."""
    world = lived(replace(DEFINITIONS["blend"], explain=2))
    copies = Copies(Output("scores", format=form), Numbered())
    for value in world.predictions[-5:]:
        copied = copies.copy(Record(EVENT, 0, 0, b"k", value, None)).value[5:]
        read: Any = AS_READ[form](copied)
        due = orjson.loads(value)
        assert read["weights"] == due["weights"]
        said = {name: part for name, part in read["explanation"].items() if part is not None}
        assert said == due["explanation"]


def test_an_event_that_carried_its_label_is_explained_before_it_is_learned() -> None:
    """The model that answers has not learned the row yet."""
    world = lived(application(features=WINDOWS), inline=True)
    served = [orjson.loads(one) for one in world.predictions]
    assert explained(world, 90).made.probabilities == {
        label == "true": p for label, p in served[90]["probabilities"].items()
    }


def test_what_was_not_predicted_is_refused_with_a_reason() -> None:
    """No such event, and one that was a dead letter."""
    world = World(application())
    shard = world.shard()
    world.feed(shard, EVENT, {"event_id": "e0", "features": {"x": 1.0}})
    world.feed(shard, EVENT, {"event_id": "e1", "features": {"x": [1]}})
    world.feed(shard, EVENT, {"event_id": "e2", "features": {"x": 1.0}})
    with pytest.raises(Refused, match="was not predicted"):
        explained(world, 1)
    with pytest.raises(Refused, match="no event at offset 7"):
        explained(world, 7)


def answers(app: Application) -> list[dict[str, Any]]:
    """Predictions of a stream whose features come and go, without their explanations."""
    shard, dice = ShardDriver(app), random.Random(5)
    for n in range(80):
        features: dict[str, Any] = {"x": dice.gauss(0, 1)}
        features |= {name: round(dice.uniform(0, 5)) for name in "abc" if dice.random() < 0.5}
        label = features["x"] > 0.2
        inline = {} if app.labels is None else {"label": label if app.task == "binary" else 2.0 * label}
        shard.event(f"e{n}", features, **inline)
    made = shard.predictions()
    explanations = [one.pop("explanation") for one in made if "explanation" in one]
    assert len(explanations) == (sum(not one["cold"] for one in made) if app.explain else 0)
    return made


@pytest.mark.parametrize(("name", "task", "factory"), MODELS, ids=[model[0] for model in MODELS])
def test_no_model_answers_otherwise_because_it_is_asked_why(
    name: str, task: str, factory: Callable[[int], Any]
) -> None:
    """To the bit: an explanation asks the live model again."""
    labels = None if task == "anomaly" else Labels(horizon="1d")
    app = Application(name="a", task=task, champion=factory, labels=labels)
    assert answers(replace(app, explain=2)) == answers(app)
