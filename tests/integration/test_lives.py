"""Topics deleted and created again under their old names, while snapshots and Redis keep the earlier life."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from stream_app.adapters.kafka_log import KafkaLog
from stream_app.embedded.services import Endpoints
from tests.integration.command_line import CommandLine, Done
from tests.integration.learners import Defined, Learners

FLAGS = ("--no-admission", "--no-supervise", "--exit-when-idle", "0.3")
WITHIN_S = 60  # a learner that never ends is the fault that these tests are about
TOPICS = (
    "events",
    "labels",
    "commands",
    "predictions",
    "alerts",
    "models",
    "stats",
    "dead-letters",
    "journal",
)


class Lives(Learners):
    """One application whose topics a test deletes."""

    def __init__(self, services: Endpoints, directory: Path) -> None:
        super().__init__(services, directory)
        self.app: Defined = self.define({"it": ("bayes", 1)})["it"]
        self.redis = redis.Redis.from_url(services.redis_url)
        self.admin = KafkaAdminClient(bootstrap_servers=[self.servers])

    def close(self) -> None:
        self.admin.close()
        self.redis.close()

    def learner(self) -> Done:
        """One, until all is learned."""
        return self.run("learn", self.app.target, *FLAGS)

    def run(self, *arguments: str) -> Done:
        """A command as a process of its own."""
        pipe = subprocess.PIPE
        with self.spawn("stream_app", *arguments, stdout=pipe, stderr=pipe) as process:
            try:
                out, err = process.communicate(timeout=WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
        return Done(process.returncode, out.decode(), err.decode())

    def lives(self, runs: int, rows: int, name: str) -> None:
        """So many learners, one after the other, each with rows of its own."""
        for run in range(runs):
            sent = [({"x": float(n)}, n % 2 == 0) for n in range(rows)]
            self.produce(self.app, sent, f"{name}{run}", "--label", "label")
            done = self.learner()
            assert done.code == 0, done.err

    def delete(self, *topics: str) -> None:
        """Delete topics of the application and wait until the broker knows none of them."""
        names = [f"{self.app.name}.{topic}" for topic in topics]
        self.admin.delete_topics(names)
        self.until(lambda: not set(names) & set(self.admin.list_topics()))

    def create(self) -> None:
        done = self.call("topics", "create", self.app.target)
        assert done.code == 0, done.err

    def until(self, holds: Any) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    @property
    def folder(self) -> Path:
        return self.directory / "snapshots" / self.app.name / "0"

    def snapshots(self) -> set[str]:
        return {path.name for path in self.folder.glob("*.snapshot")}

    def status(self) -> dict[str, Any]:
        (shard,) = self.call("status", self.app.target, "--json").lines()
        return dict(shard)

    def alerts(self, kind: str) -> list[dict[str, Any]]:
        return [alert for alert in self.committed(self.app, "alerts") if alert["type"] == kind]


@pytest.fixture
def lives(services: Endpoints, stream_app: CommandLine) -> Iterator[Lives]:
    """An application without a past."""
    made = Lives(services, stream_app.directory)
    yield made
    made.close()


def test_a_new_life_of_a_name_works_beside_what_the_earlier_one_left(lives: Lives) -> None:
    """All topics deleted and created again, snapshots and Redis kept: learners come live, predict, save and
    end; what was left is said once and stays as it was.
    """
    lives.lives(4, 30, "first")
    before = lives.snapshots()
    old_stamp = lives.redis.get(f"{{{lives.app.name}:0}}:s")
    assert before
    lives.redis.set(f"{{{lives.app.name}:0}}:f:gone", b"[1,2,[]]")
    lives.delete(*TOPICS)
    lives.create()
    shown = lives.status()
    assert (shown["seq"], shown["view_stamp"], shown["view_caught_up"]) == (None, None, False)

    lives.lives(2, 10, "second")
    assert len(lives.committed(lives.app, "predictions")) == 20
    (alert,) = lives.alerts("earlier-life")
    assert set(alert["evidence"]["snapshots"]) == before
    assert alert["evidence"]["redis"] is True
    ours = lives.snapshots() - before
    assert before < lives.snapshots()
    assert ours, "a snapshot of the new life is not pruned for those with larger names"

    found = lives.status()
    assert (found["lag"], found["learned"], found["halted"], found["view_caught_up"]) == (0, 20, None, True)
    assert found["snapshot_seq"] == found["seq"]
    new_stamp = lives.redis.get(f"{{{lives.app.name}:0}}:s")
    assert isinstance(old_stamp, bytes)
    assert isinstance(new_stamp, bytes)
    assert old_stamp.split(b":")[2] != new_stamp.split(b":")[2]
    assert not lives.redis.exists(f"{{{lives.app.name}:0}}:f:gone")
    published = lives.redis.hget(f"{{{lives.app.name}:0}}:m", "stamp")
    assert isinstance(published, bytes)
    assert published.split(b":")[2] == new_stamp.split(b":")[2], "predictors see the new life"
    restored = lives.learner()
    assert f'"snapshot": {found["seq"]}' in restored.err
    verified = lives.run("verify", lives.app.target)
    assert (verified.code, verified.out.count(" equal")) == (0, 2), verified.out + verified.err


def test_a_lost_journal_beside_its_own_snapshots_is_refused_once(lives: Lives) -> None:
    """The inputs are the same topics, the group forgot its offsets, and the predictions are gone too: a first
    epoch would predict all of it once more. The remedy works.
    """
    lives.lives(1, 10, "rows")
    lives.delete("journal", "predictions")
    lives.create()
    lives.admin.delete_groups([lives.app.name])
    refused = lives.learner()
    assert refused.code == 3, refused.err
    remedy = re.search("`(mv .*del)`", refused.err)
    assert remedy is not None, refused.err
    assert lives.committed(lives.app, "predictions") == []
    (shard,) = lives.call("status", lives.app.target, "--json").lines()
    assert "its journal is empty" in shard["halted"]
    lives.folder.rename(f"{lives.folder}.old")
    again = lives.learner()
    assert (again.code, remedy.group(1) in again.err) == (3, True), "Redis tells of that history as well"
    pattern = re.search("--pattern '(.*)'", remedy.group(1))
    assert pattern is not None
    lives.redis.delete(*lives.redis.scan_iter(match=pattern.group(1)))
    again = lives.learner()
    assert again.code == 0, again.err


def test_a_topic_that_was_created_again_has_another_id(lives: Lives) -> None:
    """The loop's client and the start's client say the same ids, so that a running learner finds out."""
    names = tuple(f"{lives.app.name}.{name}" for name in ("commands", "events", "labels"))
    log = KafkaLog({"bootstrap.servers": lives.servers}, lives.app.name, names)
    try:
        first = log.topic_ids()
        described = lives.admin.describe_topics(list(names))
        assert first == {str(topic["name"]): str(topic["topic_id"]) for topic in described}
        lives.delete("labels")
        lives.until(lambda: set(log.topic_ids()) == set(names) - {names[2]})
        lives.create()
        lives.until(lambda: len(log.topic_ids()) == len(names))
        second = log.topic_ids()
        assert [name for name in names if second[name] != first[name]] == [names[2]]
    finally:
        log.close()


def test_a_learner_ends_when_its_topics_become_others(lives: Lives) -> None:
    """Deleted and created again under it, grown past where it reads: it leaves with a code that a supervisor
    restarts after, and the next learner begins the new life.
    """
    lives.lives(1, 10, "rows")
    arguments = ("learn", lives.app.target, "--no-admission", "--no-supervise")
    with lives.spawn("stream_app", *arguments, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            while b'"now": "live"' not in process.stderr.readline():
                pass
            lives.delete(*TOPICS)
            lives.create()
            producer = KafkaProducer(bootstrap_servers=[lives.servers])
            for _ in range(100):
                producer.send(f"{lives.app.name}.events", b"{", b"k", partition=0)
            producer.flush(20)
            producer.close()
            _, err = process.communicate(timeout=WITHIN_S)
        finally:
            process.kill()
    assert process.returncode == 70, err.decode()
    assert b"deleted and created again" in err
    done = lives.learner()
    assert done.code == 0, done.err
    assert sum(lives.status()["dead_letters"].values()) == 100
