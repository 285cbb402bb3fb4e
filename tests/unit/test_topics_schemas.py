"""The contract on paper is the contract in code, and what the learner writes keeps it.

After a change of `topics/records.py` run this file with STREAM_APP_UPDATE_SCHEMAS=1, and commit docs/schemas.
"""

from __future__ import annotations

import doctest
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from river import linear_model

import topics.journal
from stream_app.application import Application
from stream_app.flow.core import Core
from stream_app.flow.outputs import AlertRaised, CommandDone, ReceiptWritten
from stream_app.flow.served import PredictionMade
from stream_app.learner.batch import journal
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.models.explanations.explanation import LOG_ODDS, Explanation
from stream_app.models.explanations.report import in_numbers
from stream_app.state.shard import ShardState
from topics import records
from topics.codec import JSON_OPTIONS
from topics.journal import BatchRecord, EpochRecord
from topics.schemas import TYPES, json_schemas

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
CHECKER = Path(sys.executable).parent / "check-jsonschema"


def as_text(schema: dict[str, Any]) -> str:
    """As it lies in the tree."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def test_the_committed_schemas_are_the_types() -> None:
    """docs/schemas holds exactly what the types say."""
    wanted = {f"{name}.json": as_text(schema) for name, schema in json_schemas().items()}
    if os.environ.get("STREAM_APP_UPDATE_SCHEMAS"):
        for name, text in wanted.items():
            (SCHEMAS / name).write_text(text)
    assert {path.name: path.read_text() for path in SCHEMAS.iterdir()} == wanted


def test_the_committed_schemas_are_json_schemas() -> None:
    """Each is valid under its own dialect, so that any language's tools can read it."""
    command = [str(CHECKER), "--check-metaschema", *map(str, sorted(SCHEMAS.iterdir()))]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_schema_judges_events_as_the_codec_does(tmp_path: Path) -> None:
    """A good event passes the schema; a nested feature and a missing id do not."""
    good = {"event_id": "a", "features": {"x": 1, "y": "b", "z": True}, "label": 1, "more": None}
    bad = [
        {**good, "features": {"x": [1]}},
        {"features": {"x": 1}},
        {**good, "v": 2},
        {**good, "event_id": ""},
    ]
    codes = []
    for i, value in enumerate([good, *bad]):
        path = tmp_path / f"{i}.json"
        path.write_text(json.dumps(value))
        command = [str(CHECKER), "--schemafile", str(SCHEMAS / "event.json"), str(path)]
        codes.append(subprocess.run(command, capture_output=True, check=False, timeout=60).returncode)
    assert codes == [0, 1, 1, 1, 1]


@pytest.fixture
def machine() -> BatchProcessor:
    """A shard's deterministic part at its start."""
    app = Application(name="a", task="binary", champion=lambda seed: linear_model.LogisticRegression())
    core = Core(app, ShardState(app, 0))
    return BatchProcessor(
        core, ("a.commands", "a.events", "a.labels"), epoch=1, seq=0, digest="00" * 16, positions=[0, 0, 0]
    )


def reads_whole(value: bytes, kind: type[Any]) -> None:
    """The bytes read as the type, and the type has a field for each of theirs."""
    read = msgspec.json.decode(value, type=kind)
    written, known = json.loads(value), json.loads(msgspec.json.encode(read))
    assert {name: known.get(name) for name in written} == written
    assert set(known) >= set(written)


EXPLANATION = Explanation("linear", True, "value", 0.5, {"x": 1.0, "city": -0.25, "z": 0.0})
EXPLAINED = PredictionMade("e", "k", 5, 1.25, None, "champion", 1, 3, 9)
EXPLAINED.explanation = in_numbers(EXPLANATION, {"x": 2, "city": "Faro", "z": 0.0}, 1)
EXPLAINED_OF_TWO = PredictionMade("e", "k", 5, True, {True: 0.75, False: 0.25}, "champion", 1, 3, 9)
EXPLAINED_OF_TWO.explanation = in_numbers(
    EXPLANATION._replace(unit=LOG_ODDS, about=True, against=False), {"x": 2, "city": "Faro"}, 5
)


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (
            PredictionMade("e", "k", 5, True, {True: 0.75, False: 0.25}, "champion", 1, 3, 9),
            records.Prediction,
        ),
        (PredictionMade("e", "k", 5, "red", {"red": 1.0}, "champion", 1, 3, 9), records.Prediction),
        (PredictionMade("e", "k", 5, 1.5, None, "champion", 1, 3, 9), records.Prediction),
        (PredictionMade("e", "k", 5, None, None, "champion", 1, 3, 9, {True: 1.0}), records.Prediction),
        (PredictionMade("e", "k", 5, None, None, "champion", 1, 3, 9, 2.5), records.Prediction),
        (PredictionMade("e", "k", 5, None, None, "champion", 1, 0, 9), records.Prediction),
        (EXPLAINED, records.Prediction),
        (EXPLAINED_OF_TWO, records.Prediction),
        (AlertRaised("i", "drift", "warning", 5, "text", {"before": 0.5}), records.Alert),
        (CommandDone("c", "refused", "why"), records.CommandOutcome),
        (ReceiptWritten("champion", 1, True, "start", 5), records.ModelReceipt),
    ],
)
def test_what_the_learner_writes_is_of_the_type(
    machine: BatchProcessor, output: Any, kind: type[Any]
) -> None:
    """Every output record reads as its type, and no field of it is missing from the schema."""
    machine.emitter.encode_all([output])
    commit = machine.seal().commit
    values = [value for value, _, _ in commit.predictions] + [send.value for send in commit.others]
    assert values
    for value in values:
        assert value is not None
        reads_whole(value, kind)


@pytest.mark.parametrize(
    ("probabilities", "names"),
    [
        ({True: 0.75, False: 0.25}, ["false", "true"]),
        ({True: 1}, ["true"]),
        ({"a": 1, "b": 0}, ["a", "b"]),
        ({1: 0.75, 0: 0.25}, ["0", "1"]),
        ({"b": 0.5, "a": 0.5}, ["a", "b"]),
        ({10: 0.5, 9: 0.25, "x": 0.25}, ["10", "9", "x"]),
    ],
)
def test_a_prediction_names_everything_in_order(
    machine: BatchProcessor, probabilities: dict[Any, float], names: list[str]
) -> None:
    """Its bytes are those of a sorted record, and each class is named by its JSON text: 1 is not true."""
    machine.emitter.encode_all([PredictionMade("e", "k", 5, None, probabilities, "champion", 1, 3, 9, 0.5)])
    ((value, _, _),) = machine.seal().commit.predictions
    assert value == orjson.dumps(orjson.loads(value), option=JSON_OPTIONS)
    told = orjson.loads(value)["probabilities"]
    assert list(told) == names
    assert {type(p) for p in told.values()} == {float}


@pytest.mark.parametrize("made", [EXPLAINED, EXPLAINED_OF_TWO])
def test_an_explained_prediction_is_written_in_order(machine: BatchProcessor, made: PredictionMade) -> None:
    """Names are sorted, so that compiled and interpreted learners write the same bytes; terms add up."""
    machine.emitter.encode_all([made])
    ((value, _, _),) = machine.seal().commit.predictions
    assert value == orjson.dumps(orjson.loads(value), option=JSON_OPTIONS)
    said = orjson.loads(value)["explanation"]
    assert said["base"] + said["rest"] + sum(one["contribution"] for one in said["contributions"]) == 1.25


def test_the_journal_is_of_the_type(machine: BatchProcessor) -> None:
    """Batches and epochs as the learner writes them read as the published types."""
    for batch in (machine.seal().commit.journal, machine.seal("champion").commit.journal):
        assert batch is not None
        reads_whole(batch, BatchRecord)
    epoch = EpochRecord(
        epoch=1,
        seq=0,
        fingerprint={"python": "3"},
        positions={"events": 0},
        digest="00",
        carried=["champion"],
    )
    reads_whole(journal.encode(epoch), EpochRecord)


def test_every_type_is_published() -> None:
    """No record type is left without a schema; parts of records stand inside theirs."""
    parts = {
        records.Model,
        records.SlotStats,
        records.ViewStats,
        records.SnapshotStats,
        records.HistogramStats,
        records.DriftStats,
        records.Explanation,
        records.Contribution,
    }
    defined = {
        kind
        for module in (records, topics.journal)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }
    assert {kind for kind, _ in TYPES.values()} == defined - parts


@pytest.mark.parametrize("name", sorted(module.name for module in pkgutil.iter_modules(topics.__path__)))
def test_examples_in_docstrings(name: str) -> None:
    """What the docstrings show comes out."""
    assert doctest.testmod(importlib.import_module(f"topics.{name}")).failed == 0


@pytest.mark.parametrize(
    "probabilities", [{True: 1, False: 0}, {False: 0.25, True: 0.75}, {1: 0.75, 0: 0.25}]
)
def test_the_short_way_of_a_binary_prediction_writes_the_same_bytes(
    machine: BatchProcessor, probabilities: dict[Any, float]
) -> None:
    """One after the other, and classes 1 and 0 do not take it: they are not true and false."""
    likeliest = max(probabilities, key=lambda label: probabilities[label])
    made = [PredictionMade(f"e{i}", "k", i, likeliest, probabilities, "champion", 1, i, i) for i in (5, 6)]
    machine.emitter.encode_all([*made])
    written = [value for value, _, _ in machine.seal().commit.predictions]
    assert written == [machine.emitter.encode(one) for one in made]
