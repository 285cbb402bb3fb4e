"""Another definition beside the live shard: it serves what it would have served alone."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from river import base, linear_model, preprocessing, tree

from drift.detectors import Detect
from stream_app import features as f
from stream_app.application import Application, Blend, Inputs, Labels, SwapPolicy, Topic
from stream_app.cli.whatif import exclusion_of, line, show, storage_of
from stream_app.errors import UsageError
from stream_app.learner.history.backtest import ALONE, Account
from stream_app.learner.history.breakdown import Breakdown
from stream_app.learner.history.other_definition import (
    CARRIED,
    FRESH,
    SERVED,
    Compared,
    Exclusion,
    check_comparable,
    replay_definitions,
)
from stream_app.learner.history.variant import Outcome
from stream_app.learner.history.whatif import replay_variants
from tests.bayes import bayes
from tests.scenario.fake_kafka import Source
from tests.scenario.fake_outside import World
from tests.scenario.shard_driver import application
from topics.envelope import COMMAND, EVENT, LABEL, Record

TURN, END, LATE, SNAPSHOT = 250, 500, 5, 350
RULE = SwapPolicy(min_labels=50, probation=100)
NOTHING = Exclusion()
INPUTS = Inputs(events=Topic("trips", id="trip", format="avro"), labels=[Topic("ends", read=print)])
KEYS = ("a", "b", "c")


def definition(**changes: Any) -> Application:
    """The live definition, changed by keyword."""
    return application(**{"champion": bayes, "swap": RULE, **changes})


def another(**changes: Any) -> Application:
    """Other models and features under another name, with a challenger."""
    parts: dict[str, Any] = {
        "name": "b",
        "champion": lambda seed: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        "challengers": {"own": lambda seed: Own()},
        "features": [f.count(window="1m")],
        "swap": RULE,
    }
    return application(**{**parts, **changes})


class Own(tree.HoeffdingTreeClassifier):
    """A model of the user's own, which only snapshots of its definition may hold."""


class Moody(base.Classifier):
    """It fails at large values, in the way that it was made for."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def predict_one(self, x: Any, **_: Any) -> bool:
        return True

    def learn_one(self, x: Any, y: Any) -> None:
        if x["x"] > 0.9:
            raise self.error("too large")


@pytest.fixture(scope="module")
def world() -> World:
    """One for all tests that change nothing of it."""
    return lived(definition())


@pytest.fixture(scope="module")
def bridged() -> World:
    """One whose records the bridge wrote, and whose models are of another module than these."""
    return lived(application(inputs=INPUTS, swap=RULE))


def lived(app: Application) -> World:
    """A shard's past: what was above zero is below it from `TURN` on; labels are late, some are missing."""
    world, dice = World(app), random.Random(3)
    shard = world.quiet()
    assert shard.live is not None
    labels: list[bool] = []
    for n in range(END):
        x = dice.uniform(-1, 1)
        labels.append((x > 0) == (n < TURN))
        world.feed(shard, EVENT, {"event_id": f"e{n}", "features": {"x": x}}, key_of(n))
        if n >= LATE and n % 10:
            label = {"event_id": f"e{n - LATE}", "label": labels[n - LATE]}
            world.feed(shard, LABEL, label, key_of(n - LATE))
        if n in {100, 110}:
            order = {"command_id": f"c{n}", "command": "pause" if n == 100 else "resume"}
            world.feed(shard, COMMAND, {**order, "actor": "a test", "reason": "some labels are lost"})
        if n == SNAPSHOT:
            shard.live.leave()
    shard.drop()
    return world


def key_of(n: int) -> bytes:
    """The entity of an event."""
    return KEYS[n % len(KEYS)].encode()


def played(world: World, exclusion: Exclusion = NOTHING, **others: Application) -> list[Compared]:
    """The live row and those of other definitions."""
    return replay_definitions(world.past(), others, exclusion, storage_of)


def alone(app: Application, records: list[Record]) -> tuple[Outcome, dict[str, int]]:
    """What a definition serves of records by itself, and its dead letters by reason."""
    account = Account(app, 0, storage_of(app), Breakdown(app, ()), ALONE)
    for record in records:
        account.step(record)
    return account.outcome("earliest"), account.processor.core.state.dead_by_reason


def records(world: World) -> list[Record]:
    """All inputs in the order in which the shard applied them, one at a time."""
    return sorted((record for inputs in world.inputs for record in inputs), key=lambda record: record.time_ms)


def named(outcome: Outcome, variant: str) -> Outcome:
    """The same outcome under another name."""
    return msgspec.structs.replace(outcome, variant=variant)


def test_the_same_definition_under_another_name_fares_as_the_live_one(world: World) -> None:
    """Scores, alarms, hunts and changes are the same to the bit; the live row says that it was served."""
    live, same = played(world, same=definition(name="b"))
    assert named(same.outcome, "live") == live.outcome
    assert live.outcome.swaps > 0
    assert (live.begins, same.begins) == (SERVED, FRESH)
    assert same.compared == live.outcome.scored
    assert same.gained == same.gained_last == {"accuracy": 0.0}


def test_another_definition_fares_as_it_would_have_alone(world: World) -> None:
    """Models of its own module, features, a challenger and swaps: as a backtest over the same records."""
    live, other, blend = played(world, other=another(), blend=another(serve=Blend()))
    for row, app in ((other, another()), (blend, another(serve=Blend()))):
        expected, dead = alone(app, records(world))
        assert named(row.outcome, expected.variant) == expected
        assert row.dead_letters == dead == {}
        assert row.begins == FRESH
    assert other.outcome.swaps > 0
    assert other.outcome.scores != live.outcome.scores
    assert other.compared == other.outcome.scored == live.outcome.scored
    gained = other.outcome.scores["accuracy"] - live.outcome.scores["accuracy"]
    assert other.gained == {"accuracy": pytest.approx(gained)}
    newest = other.outcome.last["accuracy"] - live.outcome.last["accuracy"]
    assert other.gained_last == {"accuracy": pytest.approx(newest)}


def test_where_the_beginning_is_cut_live_models_go_on_if_they_fit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another policy, detector or loss. Others start fresh, without the labels of earlier events."""
    monkeypatch.setattr(Source, "earliest", lambda _self: [0, 50, 0])
    app = definition()
    never = replace(app, swap=replace(RULE, policy="never"), name="b")
    others = {"detector": replace(app, drift=(Detect("page_hinkley"),)), "loss": replace(app, loss="brier")}
    soon = another(labels=Labels(horizon="5m"))  # labels without an event are dead letters while it runs
    live, carried, *more, fresh = played(world, NOTHING, carried=never, **others, fresh=soon)
    assert [row.begins for row in (live, carried, *more, fresh)] == [SERVED, CARRIED, CARRIED, CARRIED, FRESH]
    past = world.past(app=app)
    assert [live.outcome, carried.outcome] == replay_variants(past, {"carried": never})
    assert live.outcome.predictions == fresh.outcome.predictions == END - SNAPSHOT - 1
    assert fresh.dead_letters == {}
    assert 0 < fresh.compared < live.outcome.scored


def test_what_is_excluded_is_left_out_for_the_others_alone(world: World) -> None:
    """A key, or a stretch of time with the labels of its events: as if these records had never been there."""
    all_records = records(world)
    events = world.inputs[EVENT]
    start, end = events[200].time_ms, events[220].time_ms
    gone = {f"e{n}".encode() for n in range(200, 220)}
    live, *_ = played(world, same=definition())
    stretch = [
        record
        for record in all_records
        if record.rank == COMMAND
        or not (start <= record.time_ms < end or (record.value or b"").split(b'"')[5] in gone)
    ]
    others = [record for record in all_records if record.rank == COMMAND or record.key != b"b"]
    cases = [
        (Exclusion(keys={b"b": "b", b"nobody": "nobody"}), others),
        (Exclusion(spans={(start, end): "a stretch"}), stretch),
    ]
    for exclusion, kept in cases:
        same_live, row = played(world, exclusion, same=definition())
        expected, dead = alone(definition(), kept)
        assert same_live == live
        assert named(row.outcome, expected.variant) == expected
        assert row.skipped == len(all_records) - len(kept) > 0
        assert row.skipped_by.pop("nobody", 0) == 0
        (by_name,) = row.skipped_by.values()
        assert 0 < by_name <= row.skipped
        assert row.dead_letters == dead == {}
        assert row.compared == row.outcome.scored < live.outcome.scored


def test_a_model_that_raises_in_learning_makes_dead_letters_as_live(world: World) -> None:
    """They are counted by reason; what no shard outlives ends the command with the record's place."""
    live, moody = played(world, moody=definition(champion=lambda seed: Moody(ValueError)))
    assert live.dead_letters == {}
    assert moody.dead_letters["model-error"] > 0
    assert moody.outcome.predictions == END
    with pytest.raises(UsageError, match=r"deep raised RecursionError at labels offset \d+: too large"):
        played(world, deep=definition(champion=lambda seed: Moody(RecursionError)))


def test_a_definition_that_makes_no_model_is_refused_before_the_replay(world: World) -> None:
    """The error names it, and what its factory raised."""
    with pytest.raises(UsageError, match="broken: the model factory raised ZeroDivisionError"):
        played(world, broken=definition(challengers={"none": lambda seed: 1 / 0}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "multiclass"}, "other has task='multiclass', a has task='binary'"),
        ({"shards": 2}, "other has shards=2, a has shards=1"),
        ({"inputs": Inputs(events=Topic("trips", id="trip"))}, "other has other inputs= than a"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_remedy(changes: dict[str, Any], said: str) -> None:
    """Task, shards and inputs must agree, and there must be labels to score with."""
    with pytest.raises(UsageError, match=said) as caught:
        check_comparable(definition(), {"other": definition(**changes)})
    assert caught.value.remedy
    unlabelled = definition(task="anomaly", labels=None)
    with pytest.raises(UsageError, match="learns without labels"):
        check_comparable(unlabelled, {"same": unlabelled})
    check_comparable(definition(), {"other": another(labels=Labels(horizon="2h"))})


def test_a_bridged_application_is_read_as_its_own_topics_hold_it(bridged: World) -> None:
    """The bridge wrote the product's JSON there, whatever the users' topics hold."""
    other = another(inputs=INPUTS)
    check_comparable(bridged.app, {"other": other})
    live, row = played(bridged, other=other)
    assert live.outcome.scored == row.outcome.scored > 0
    assert named(row.outcome, "served") == alone(other, records(bridged))[0]


def test_models_of_a_module_that_only_the_other_definition_has_can_take_over(bridged: World) -> None:
    """The gate before a swap stores them as snapshots of the other definition would."""
    other = definition(inputs=INPUTS, champion=lambda seed: Own(), drift=(Detect("ddm"),))
    assert not set(other.modules) & set(bridged.app.modules)
    _, row = played(bridged, other=other)
    assert row.outcome.swaps > 0


def test_nothing_retained_gives_no_row() -> None:
    """The command then says so; here no journal is no error."""
    assert played(World(definition()), other=another()) == []


def test_a_person_reads_a_table_and_a_program_json(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Scores, the difference, how it begins, how much was left out, and each change."""
    rows = played(world, exclusion_of(["b"], []), **{"other.py:app": another()})
    show(rows)
    text = capsys.readouterr().out
    assert f"{rows[1].gained['accuracy']:+.4f}" in text
    assert f"other.py:app: from the beginning; {rows[1].outcome.predictions:,} predictions" in text
    assert f"{rows[1].skipped:,} records excluded" in text
    assert f"kappa {rows[1].outcome.further['kappa']:.4f}" in text
    assert "live: swap v1 → v" in text
    document = line(rows[1])
    assert document["variant"] == "other.py:app"
    assert document["begins"] == FRESH
    assert document["skipped"] == rows[1].skipped > 0
    assert document["gained"] == rows[1].gained
    assert document["changes"][0]["type"] == "swap"
