"""A learner killed at every point of a swap and of a rollback: the result is old or new, never half."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from kafka import KafkaProducer

from stream_app.client import CommittedReader, EventProducer
from stream_app.definition.load import load
from stream_app.embedded.services import Endpoints
from stream_app.flow.core import Core
from stream_app.learner.batch.emit import FIRST_DIGEST
from stream_app.learner.batch.processor import BatchProcessor
from stream_app.state.shard import ShardState
from tests.faults.dying import POINTS
from tests.faults.learners import ROOT, Run, running
from tests.lengths import length
from tests.warm import WarmProcess
from topics.envelope import COMMAND, EVENT, Record

DEATHS = int(
    os.environ.get("FAULTS_SWAP_DEATHS", length(1, 1, 10))
)  # of each point, swaps and rollbacks in turn
SEGMENT = 500  # events until the concept turns over: time for a swap by evidence
ORDERS = 125  # events between an operator's orders: promote the challenger, roll back, and so on
STEP_MS = 2
START_MS = 1_700_000_000_000
LONGEST_S = 60.0 * (DEATHS + 2)
SMALL_BATCHES: dict[str, Any] = {"STREAM_APP_LEARNER__BATCH_RECORDS": "100"}  # a swap in each, at most
# Alerts that no record caused: no run repeats them.
OF_THE_RUN = (b"snapshot-", b"view-", b"input-", b"shard-failing")


AT_EVERY_CHANGE = {"in-step", "after-first-send", "after-offsets", "after-snapshot"}


def soak_at(point: str) -> pytest.MarkDecorator:
    """`scripts/test` tries the points at which all that changes is on its way, `scripts/soak` the others."""
    always = point in AT_EVERY_CHANGE
    return pytest.mark.soak(only=not always, long=always)


def write(run: Run, n: int) -> list[Record]:
    """Write n events with their labels, and the orders between them; gives them in the order of the log."""
    dice = random.Random(5)
    kafka = {"bootstrap_servers": [run.servers]}
    with EventProducer(run.name, kafka) as producer, plain_producer(run) as orders:
        for i in range(n):
            x, y, turned = dice.random(), dice.random(), i // SEGMENT % 2 == 1
            at_ms = START_MS + STEP_MS * i
            producer.send("e", {"x": x, "y": y}, str(i), (x > 0.5) != turned, at_ms)
            if i % ORDERS == ORDERS - 1:
                promote = i // ORDERS % 2 == 0
                order = {"v": 1, "command_id": str(i), "actor": "test", "reason": "to and fro"}
                order |= {"command": "promote", "slot": "bayes"} if promote else {"command": "rollback"}
                orders.send(f"{run.name}.commands", orjson.dumps(order), b"o", timestamp_ms=at_ms + 1)
    records = [
        Record(rank, r.offset, r.timestamp, r.key, r.value, None)
        for rank, topic in ((COMMAND, "commands"), (EVENT, "events"))
        for r in read(run, topic)
    ]
    return sorted(records, key=lambda record: (record.time_ms, record.rank, record.offset))


def plain_producer(run: Run) -> closing[KafkaProducer]:
    """For orders at a time of their own."""
    return closing(KafkaProducer(bootstrap_servers=run.servers))


def uninterrupted(run: Run, records: list[Record]) -> dict[str, list[bytes]]:
    """What a run without any fault writes."""
    os.environ.update({name: run.environment[name] for name in ("FAULTS_RUN", "FAULTS_SHARDS")})
    sys.modules.pop(Path(run.target.rpartition(":")[0]).stem, None)  # its name is that of another run
    app = load(run.target)
    topics = tuple(f"{run.name}.{name}" for name in ("commands", "events", "labels"))
    machine = BatchProcessor(
        Core(app, ShardState(app, 0)), topics, epoch=0, seq=0, digest=FIRST_DIGEST, positions=[0, 0, 0]
    )
    machine.apply([(record.rank, [record]) for record in records])
    commit = machine.seal().commit
    told: dict[str, list[bytes]] = {"predictions": [value for value, _, _ in commit.predictions]}
    for topic in ("models", "alerts"):
        told[topic] = [plain(send.value or b"") for send in commit.others if send.topic == topic]
    return told


def plain(value: bytes) -> bytes:
    """A record without the batch that carried it: where batches are cut is no part of the promise."""
    record = orjson.loads(value)
    record.pop("fingerprint", None)
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)


def read(run: Run, topic: str) -> list[Any]:
    """Every committed record of a topic, by another client."""
    kafka = {"bootstrap_servers": [run.servers]}
    with CommittedReader(kafka, f"{run.name}.{topic}", until_end=True) as reader:
        return list(reader)


def committed(run: Run, topic: str) -> list[bytes]:
    """Their values."""
    return [record.value for record in read(run, topic)]


def learn(run: Run, point: str, memory: Path) -> None:
    """Learners that die at this point of each swap, one after the other, until one reaches the end."""
    flags = ("--no-supervise", "--no-admission", "--exit-when-idle", "0.3", "--instance-id", "dying")
    command = ("tests.faults.dying", point, str(memory), "learn", run.target, *flags)
    environment: dict[str, Any] = {**run.environment, "PYTHONHASHSEED": "0"}
    with WarmProcess(*command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as lives:
        try:
            told = lives.communicate(timeout=LONGEST_S)[1]
        except BaseException:
            os.killpg(lives.pid, signal.SIGKILL)
            raise
    assert lives.returncode == 0, told[-3_000:]


@pytest.mark.parametrize("point", [pytest.param(name, marks=soak_at(name)) for name in POINTS])
def test_a_swap_cut_off_anywhere_happens_once_and_whole(
    services: Endpoints, tmp_path: Path, point: str
) -> None:
    """Predictions, receipts and alerts are those of an uninterrupted run, each exactly once."""
    with running(services, tmp_path, "turning", shards=1, **SMALL_BATCHES) as run:
        expected = uninterrupted(run, write(run, 2 * ORDERS * (DEATHS + 2)))
        memory = tmp_path / "died"
        learn(run, point, memory)
        died = memory.read_text().split() if memory.exists() else []
        wanted = 1 if "snapshot" in point else DEATHS  # not each swap is followed by a snapshot
        assert len(died) >= wanted, f"only {len(died)} swaps were met at {point}"
        assert committed(run, "predictions") == expected["predictions"]
        assert [plain(value) for value in committed(run, "models")] == expected["models"]
        told = [plain(value) for value in committed(run, "alerts")]
        caused = [value for value in told if not any(b'"type":"' + kind in value for kind in OF_THE_RUN)]
        assert caused == expected["alerts"]
        kinds = Counter(orjson.loads(value)["type"] for value in expected["alerts"])
        assert kinds["swap"] >= DEATHS
        assert kinds["rollback"] >= DEATHS
