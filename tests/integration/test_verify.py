"""`verify` over inputs that go on beyond what the journal has read."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import orjson
import pytest

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.kafka_replay import KafkaReplay
from stream_app.cli.context import load_app
from stream_app.embedded.services import Endpoints
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
        found = verify_shard(definition, 0, source, store, SystemClock(), fingerprint, inputs)
    finally:
        source.close()
    assert [(one.source, one.equal, one.why) for one in found] == [
        ("earliest", True, ""),
        ("snapshot", True, ""),
    ]


def replayed(learners: Learners, *words: str) -> subprocess.CompletedProcess[str]:
    """One call, in a process of its own: it pins the order of sets."""
    command = [sys.executable, "-m", "stream_app", "replay", *words]
    environment = {**os.environ, **learners.environment()}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


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
    for words, said in {
        ("--to", "soon"): "is neither an offset nor a time",
        ("--to", "5", "--shard", "7"): "there is no shard 7",
    }.items():
        wrong = replayed(learners, app.target, *words)
        assert (wrong.returncode, said in wrong.stderr) == (2, True), wrong.stderr
