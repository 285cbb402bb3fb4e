"""A backup of one cluster, restored into an empty one: it serves what the first would have served."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from kafka.admin import KafkaAdminClient
from river import datasets

from stream_app.client import CommittedReader
from stream_app.client.producer import EventProducer
from stream_app.embedded import services as embedded
from stream_app.embedded.services import Endpoints
from tests import warm
from tests.integration.command_line import CommandLine

ROWS = list(datasets.Phishing())[:400]
READ, WRITTEN, DELAY, SHARDS = 200, 240, 20, 2
FLAGS = ("--no-supervise", "--no-admission")
IDLE = ("--exit-when-idle", "0.3")
WITHIN_S = 100.0
DEFINITION = """
from river import linear_model, preprocessing, tree
from stream_app.application import Application
from stream_app import features as f
def scaled(seed): return preprocessing.StandardScaler() | linear_model.LogisticRegression()
def trees(seed): return tree.HoeffdingTreeClassifier(grace_period={grace})
app = Application(
    name={name!r}, task="binary", shards={shards}, champion=scaled, challengers={{"tree": trees}},
    features=[f.count(window="10m")],
)
"""


class Place:
    """One cluster with its snapshot store, and calls against it."""

    def __init__(self, services: Endpoints, directory: Path, name: str) -> None:
        self.servers, self.name = services.bootstrap_servers, name
        directory.mkdir()
        self.call = CommandLine(
            services,
            directory,
            STREAM_APP_SNAPSHOTS__URL=str(directory / "snapshots"),
            STREAM_APP_SIGNING__KEYS="5a" * 32,
        )

    def environment(self) -> dict[str, str]:
        """What its processes run under."""
        return {**os.environ, **self.call.environment, "PYTHONHASHSEED": "0"}

    def run(self, *arguments: str, module: str = "stream_app") -> subprocess.CompletedProcess[str]:
        """A command as a process of its own."""
        return warm.run(module, *arguments, env=self.environment(), text=True, timeout=WITHIN_S)

    def done(self, *arguments: str) -> list[dict[str, Any]]:
        """The JSON lines of a command that must succeed."""
        found = self.run(*arguments)
        assert found.returncode == 0, found.stderr
        return [orjson.loads(line) for line in found.stdout.splitlines()]

    def refused(self, said: str, *arguments: str) -> None:
        """Assert that a command is refused with these words."""
        found = self.run(*arguments)
        assert (found.returncode, said in found.stderr) == (3, True), found.stderr

    def produce(self, start: int, end: int) -> None:
        """Rows [start, end), each label `DELAY` events late; the same records wherever they are sent."""
        with EventProducer(self.name, {"bootstrap_servers": self.servers}) as producer:
            for i in range(start, end):
                at = 1_700_000_000_000 + 2 * i
                producer.send(f"k{i % 7}", ROWS[i][0], str(i), time=at)
                if i >= DELAY:
                    late = i - DELAY
                    producer.label(f"k{late % 7}", str(late), ROWS[late][1], time=at - 1)

    def read(self, topic: str) -> list[tuple[bytes, dict[str, Any]]]:
        """What is committed in a topic."""
        reader = CommittedReader(
            {"bootstrap_servers": self.servers}, f"{self.name}.{topic}", until_end=True, timeout_s=20
        )
        try:
            return [(record.key, orjson.loads(record.value)) for record in reader]
        finally:
            reader.close()

    def served(self) -> dict[str, list[dict[str, Any]]]:
        """Predictions by event, without what names a place in a topic."""
        found: dict[str, list[dict[str, Any]]] = {}
        for _, prediction in self.read("predictions"):
            found.setdefault(prediction["event_id"], []).append({**prediction, "offset": None})
        return found

    def topics(self) -> list[str]:
        """The application's topics that exist."""
        admin = KafkaAdminClient(bootstrap_servers=[self.servers])
        try:
            return sorted(name for name in admin.list_topics() if name.startswith(f"{self.name}."))
        finally:
            admin.close()


@pytest.fixture(scope="module")
def empty_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """A second Kafka and Valkey."""
    directory = tmp_path_factory.mktemp("elsewhere")
    try:
        yield embedded.up(directory)
    finally:
        embedded.down(directory)


@pytest.fixture
def places(services: Endpoints, empty_servers: Endpoints, tmp_path: Path) -> tuple[Place, Place, str]:
    """The old place, the new one, and the TARGET of the application."""
    old = Place(services, tmp_path / "old", f"backup-{tmp_path.name[-8:].replace('_', '-')}-{os.getpid()}")
    file = tmp_path / "moving.py"
    file.write_text(DEFINITION.format(name=old.name, shards=SHARDS, grace=50))
    return old, Place(empty_servers, tmp_path / "new", old.name), f"{file}:app"


def back_up_a_running_and_a_killed_learner(old: Place, target: str, tmp_path: Path) -> list[dict[str, Any]]:
    """Make one backup of each, `running` and `b`; gives what the second call says."""
    old.done("topics", "create", target, "--json")
    old.produce(0, READ)
    with warm.WarmProcess("stream_app", "learn", target, *FLAGS, env=old.environment()) as learner:
        try:
            deadline_s = time.monotonic() + WITHIN_S
            while len(old.read("predictions")) < READ:
                assert time.monotonic() < deadline_s
                time.sleep(0.2)
            running = old.done("backup", target, str(tmp_path / "running"), "--json")
            assert learner.poll() is None, "it runs on"
        finally:
            learner.send_signal(signal.SIGKILL)
    assert [sum(one["unread"].values()) for one in running] == [0] * SHARDS
    old.produce(READ, WRITTEN)
    return old.done("backup", target, str(tmp_path / "b"), "--json")


def test_an_application_goes_on_in_another_cluster(places: tuple[Place, Place, str], tmp_path: Path) -> None:
    """Backed up while a learner runs and after a SIGKILL; restored by calls that die between snapshots,
    records and epochs. Later predictions equal those of the old place; each event has one, and repeats none.
    """
    old, new, target = places
    told = back_up_a_running_and_a_killed_learner(old, target, tmp_path)
    folder = str(tmp_path / "b")
    assert sum(one["unread"]["events"] for one in told) == WRITTEN - READ
    assert sum(one["counts"]["events"] for one in told) == READ
    old.refused("exists and is not an empty folder", "backup", target, folder)
    assert not list(tmp_path.glob(".*.tmp"))
    dying = "tests.integration.dying_restore"
    for point, number in (("snapshot", "1"), ("record", "30"), ("epoch", "1")):
        dead = new.run(point, number, "restore", target, folder, module=dying)
        assert dead.returncode == -signal.SIGKILL, dead.stderr
        halted = new.run("learn", target, *FLAGS, *IDLE) if point == "record" else None
        assert halted is None or (halted.returncode, "`stream-app restore`" in halted.stderr) == (3, True)
    first, second = new.done("restore", target, folder, "--json")
    assert (first["entered"], second["entered"]) == (True, False)
    assert (first["epoch"], second["epoch"]) == (1, 1)
    assert len(new.read("models")) == len(old.read("models")) == 2 * SHARDS + SHARDS
    assert dict(new.read("models")) == dict(old.read("models"))
    assert [one["entered"] for one in new.done("restore", target, folder, "--json")] == [True, True]
    new.refused("not of this backup", "restore", target, str(tmp_path / "running"))

    for place in (old, new):
        place.produce(WRITTEN, len(ROWS))
        done = place.run("learn", target, *FLAGS, *IDLE)
        assert done.returncode == 0, done.stderr
    before, after = old.served(), new.served()
    old.refused("has snapshots of these topics", "restore", target, folder)
    assert sorted(map(int, after)) == list(range(READ, len(ROWS)))
    assert {len(found) for found in (*before.values(), *after.values())} == {1}
    assert after == {event: found for event, found in before.items() if int(event) >= READ}

    new.produce(DELAY, WRITTEN)  # as a client sends again what it is not sure of
    done = new.run("learn", target, *FLAGS, *IDLE)
    assert done.returncode == 0, done.stderr
    assert new.served() == after
    assert new.read("dead-letters") == []
    proof = new.run("verify", target)
    assert (proof.returncode, proof.stdout.count(" equal")) == (0, 2 * SHARDS), proof.stdout + proof.stderr
    assert "tree" in new.run("models", "ls", target).stdout


def test_what_cannot_be_restored_is_refused_and_changes_nothing(
    places: tuple[Place, Place, str], tmp_path: Path
) -> None:
    """A wrong folder, a flipped byte, another key, another definition, a cluster that is not empty."""
    old, new, target = places
    old.done("topics", "create", target, "--json")
    old.produce(0, 40)
    assert old.run("learn", target, *FLAGS, *IDLE).returncode == 0
    folder, bent = tmp_path / "b", tmp_path / "bent"
    old.done("backup", target, str(folder), "--json")
    shutil.copytree(folder, bent)
    receipts = bent / "shard-1" / "models.jsonl"
    whole = receipts.read_bytes()
    receipts.write_bytes(whole[:9] + bytes([whole[9] ^ 1]) + whole[10:])
    new.refused("holds no backup", "restore", target, str(tmp_path))
    new.refused("is damaged: shard-1/models.jsonl", "restore", target, str(bent))
    file = tmp_path / "moving.py"
    written = file.read_text()
    file.write_text(DEFINITION.format(name=old.name, shards=SHARDS, grace=20))
    new.refused("slot tree changed", "restore", target, str(folder))
    old.refused("slot tree changed", "backup", target, str(tmp_path / "other"))
    file.write_text(written)
    new.call.environment["STREAM_APP_SIGNING__KEYS"] = "5b" * 32
    new.refused("not by any of our keys", "restore", target, str(folder))
    new.call.environment["STREAM_APP_SIGNING__KEYS"] = "5a" * 32
    assert new.topics() == []
    assert not (tmp_path / "new" / "snapshots").exists()
    assert not (tmp_path / "other").exists()

    new.done("topics", "create", target, "--json")
    new.produce(0, 1)
    new.refused(f"the topic {new.name}.events holds records", "restore", target, str(folder))
    assert new.read("journal") == []
    assert not list((tmp_path / "new").rglob("*.snapshot"))
