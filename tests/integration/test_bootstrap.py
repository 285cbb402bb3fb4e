"""A history that is learned from files before the first event is as one that came through Kafka."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson

from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine
from tests.integration.learners import Defined, Learners

OLD, NEW, SHARDS = 120, 80, 2
COMPARED = ("event_id", "prediction", "probabilities", "learned", "model", "cold")


def rows(n: int, seed: int) -> list[tuple[dict[Any, Any], Any]]:
    """Two numbers and a rule."""
    dice = random.Random(seed)
    found = []
    for _ in range(n):
        row = {"x": dice.gauss(0, 1), "y": dice.gauss(0, 1)}
        found.append((row, row["x"] > row["y"]))
    return found


def predicted(learners: Learners, app: Defined, file: str) -> list[dict[str, Any]]:
    """What was predicted of the events of one file."""
    found = learners.committed(app, "predictions")
    return [{name: one.get(name) for name in COMPARED} for one in found if one["event_id"].startswith(file)]


def test_predictions_go_on_as_if_the_history_had_come_through_kafka(
    services: Endpoints, stream_app: CommandLine
) -> None:
    """To the bit, with late labels; events of the history are known, and a second call changes nothing."""
    learners = Learners(services, stream_app.directory)
    apps = learners.define({"streamed": ("logistic", SHARDS), "bootstrapped": ("logistic", SHARDS)})
    streamed, bootstrapped = apps["streamed"], apps["bootstrapped"]
    late = ("--label", "label", "--label-delay", "5")
    old, new = rows(OLD, 1), rows(NEW, 2)
    learners.produce(streamed, old, "old", *late)
    history = str(Path(learners.directory) / "old.jsonl")
    read = (bootstrapped.target, history, "--key", "entity", *late)
    first = learners.pinned("bootstrap", *read)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("begins in epoch 1, behind a history of") == SHARDS
    assert "refused" not in first.stdout
    for app in (streamed, bootstrapped):
        learners.produce(app, new, "new", *late)
    learners.learn([streamed, bootstrapped])
    due = predicted(learners, streamed, "new")
    assert len(due) == NEW
    assert predicted(learners, bootstrapped, "new") == due
    assert not predicted(learners, bootstrapped, "old")
    assert not any(one["cold"] for one in due)

    again = learners.pinned("bootstrap", *read)
    assert again.stdout.count("had begun before") == SHARDS, again.stderr
    learners.produce(bootstrapped, old, "old", *late)
    learners.learn([bootstrapped])
    assert not predicted(learners, bootstrapped, "old"), "they are repeats of the history"
    proofs = learners.pinned("verify", bootstrapped.target, "--json")
    assert all(orjson.loads(line)["equal"] for line in proofs.stdout.splitlines()), proofs.stderr
    assert len(proofs.stdout.splitlines()) >= SHARDS

    other = learners.directory / "other.jsonl"
    other.write_bytes((learners.directory / "new.jsonl").read_bytes())
    refused = learners.pinned("bootstrap", bootstrapped.target, str(other), "--key", "entity", *late)
    assert refused.returncode == 3
    assert "that are not of this backup" in refused.stderr
    started = learners.pinned("bootstrap", streamed.target, history, "--key", "entity", *late)
    assert started.returncode == 3, "it has events of its own"
    unnamed = learners.pinned("bootstrap", *read[:4])
    assert (unnamed.returncode, "Name it: --label COL" in unnamed.stderr) == (2, True)
