"""`verify` over inputs that go on beyond what the journal has read."""

from __future__ import annotations

import pickle
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pyarrow.dataset  # type: ignore[import-untyped]
import pytest

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.kafka_replay import KafkaReplay
from stream_app.cli.context import load_app
from stream_app.embedded.services import Endpoints
from stream_app.learner.history.past import Past
from stream_app.learner.history.verify import verify_shard
from stream_app.settings import load_settings
from stream_app.wiring import learner as wiring
from stream_app.wiring.topics import catalog_for
from tests.integration.command_line import CommandLine
from tests.integration.learners import Learners

LEARNED, UNREAD, BUFFERED = 100, 1_500, 50


def test_it_ends_however_much_is_unread(
    services: Endpoints, stream_app: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both replays of a shard are equal though each input holds more unread records than a replay buffers."""
    learners = Learners(services, stream_app.directory)
    app = learners.define({"it": ("bayes", 1)})["it"]
    rows = [({"x": n}, n % 2 == 0) for n in range(UNREAD)]
    for life in ("first", "second"):
        learners.produce(app, rows[:LEARNED], life, "--label", "label")
        learners.learn([app])
    # Without the newest snapshot both replays have batches to read.
    max((stream_app.directory / "snapshots").rglob("*.snapshot")).unlink()
    learners.produce(app, rows, "unread", "--label", "label")
    for name, value in learners.environment().items():
        monkeypatch.setenv(name, value)
    definition, settings = load_app(app.target), load_settings()
    catalog = catalog_for(definition, settings)
    inputs = wiring.input_topics(catalog)
    source = KafkaReplay(
        settings.kafka.confluent(),
        app.name,
        0,
        catalog.journal.name,
        catalog.predictions.name,
        inputs,
        buffer_high=BUFFERED,
    )
    store = wiring.store_opener(definition, settings)(0)
    try:
        fingerprint = wiring.fingerprint_for(definition, settings, None)
        found = verify_shard(Past(definition, 0, source, store, SystemClock(), fingerprint, inputs))
    finally:
        source.close()
    assert [(one.source, one.equal, one.why) for one in found] == [
        ("earliest", True, ""),
        ("snapshot", True, ""),
    ]


def replayed(
    learners: Learners, *words: str, command: tuple[str, ...] = ("replay",)
) -> subprocess.CompletedProcess[str]:
    """One call, in a process of its own: it pins the order of sets."""
    return learners.pinned(*command, *words)


def test_a_shard_is_shown_as_it_was(services: Endpoints, stream_app: CommandLine) -> None:
    """Right before an event it knew what the predictions of that event say; its model can be had."""
    learners = Learners(services, stream_app.directory)
    app = learners.define({"it": ("bayes", 1)})["it"]
    learners.produce(app, [({"x": n}, n % 2 == 0) for n in range(LEARNED)], "once", "--label", "label")
    learners.learn([app])
    made = {
        one["value"]["offset"]: one["value"]
        for one in learners.call("consume", app.target, "predictions", "--json").lines()
    }
    file = stream_app.directory / "model.pickle"
    for offset in (10, 60):
        done = replayed(learners, app.target, "--to", str(offset), "--save", str(file), "--json")
        found = orjson.loads(done.stdout)
        assert (found["positions"]["events"], found["models"][0]["learned"]) == (
            offset,
            made[offset]["learned"],
        )
        model = pickle.loads(file.read_bytes())
        assert model.predict_proba_one({"x": offset})[True] == made[offset]["probabilities"]["true"]
    whole = replayed(learners, app.target, "--to", "2099-01-01T00:00:00+00:00")
    assert f"{LEARNED:,} events, {LEARNED:,} labels learned" in whole.stdout
    assert "its journal ends before that" in whole.stderr
    assert "its journal ends" not in done.stderr
    for words, said in {
        ("--to", "soon"): "is neither an offset nor a time",
        ("--to", "5", "--shard", "7"): "there is no shard 7",
    }.items():
        wrong = replayed(learners, app.target, *words)
        assert (wrong.returncode, said in wrong.stderr) == (2, True), wrong.stderr
    answered_as_served(learners, app.target, made, stream_app.directory / "rows.csv")
    explained_as_served(learners, app.target, made)
    exported_as_served(learners, app.target, made, stream_app.directory / "rows")


def answered_as_served(learners: Learners, target: str, made: dict[int, dict[str, Any]], file: Path) -> None:
    """The rows of a file, by the model as it was; a row that no learner would take has an error."""
    file.write_text("x,who\n60,a\n7,b\n")
    done = replayed(learners, target, "--to", "60", "--predict", str(file), "--drop", "who")
    first, second = map(orjson.loads, done.stdout.splitlines())
    assert first["probabilities"] == made[60]["probabilities"]
    assert (first["row"], second["row"], second["cold"]) == (0, 1, False)
    assert "60 events" in done.stderr
    wrong = replayed(learners, target, "--to", "60", "--predict", str(file), "--key", "nobody")
    assert (wrong.returncode, "has no column nobody" in wrong.stderr) == (2, True), wrong.stderr


def explained_as_served(learners: Learners, target: str, made: dict[int, dict[str, Any]]) -> None:
    """By the event's id alone; a person reads why, a program gets what was served."""
    due = made[60]
    done = replayed(learners, target, due["event_id"], "--json", command=("explain",))
    found = orjson.loads(done.stdout)
    assert {name: found[name] for name in due} == due
    assert found["row"] == {"x": 60}
    assert found["explanation"]["sum"] == due["probabilities"]["true"]
    read = replayed(learners, target, due["event_id"], "--key", due["key"], command=("explain",))
    assert "probability of true" in read.stdout
    assert "x is 60" in read.stdout
    cold = replayed(learners, target, made[0]["event_id"], command=("explain",))
    assert "cold: " in cold.stdout
    wrong = replayed(learners, target, "nobody", command=("explain",))
    assert (wrong.returncode, "holds no prediction of event 'nobody'" in wrong.stderr) == (2, True)


def exported_as_served(
    learners: Learners, target: str, made: dict[int, dict[str, Any]], folder: Path
) -> None:
    """As one data set of all days; a second run adds nothing, and says so."""
    export = ("export", "rows")
    done = replayed(learners, target, "--to", str(folder), command=export)
    assert done.stdout == f"shard 0: {LEARNED:,} rows written to {folder}\n", done.stderr
    found = pyarrow.dataset.dataset(folder, partitioning="hive").to_table().sort_by("offset").to_pylist()
    assert [row["offset"] for row in found] == sorted(made)
    for row in found:
        due = made[row["offset"]]
        assert (row["prediction"], row["event_id"], row["learned"]) == (
            due["prediction"],
            due["event_id"],
            due["learned"],
        )
        assert dict(row["probabilities"] or ()) == due.get("probabilities", {})
        assert row["label"] == (row["row.x"] % 2 == 0)
        assert row["day"] == row["time"].date().isoformat()
    again = replayed(learners, target, "--to", str(folder), command=export)
    assert again.stdout.startswith("shard 0: 0 rows written")
    wrong = replayed(learners, target, "--to", str(folder.parent), command=export)
    assert (wrong.returncode, "is not empty and holds no export" in wrong.stderr) == (2, True)
