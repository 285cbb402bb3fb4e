"""Models that hold sets of many strings, through real Kafka: killed, replayed and upgraded to the bit."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_app.client import CommittedReader
from stream_app.client.producer import EventProducer
from stream_app.embedded.services import Endpoints
from tests import warm
from tests.integration.command_line import CommandLine

PART, PARTS = 350, 2
SOON_S = 90.0
DEFINITION = '''
"""The champion's answers hang on the order of a set that also loses members."""
from river import base, linear_model, preprocessing
from stream_app.application import Application, Snapshots

class Newest(base.Transformer):
    def __init__(self):
        self.seen, self.order = set(), []
    def learn_one(self, x):
        for value in x.values():
            if value not in self.seen:
                self.seen.add(value)
                self.order.append(value)
        while len(self.order) > 300:
            self.seen.discard(self.order.pop(0))
    def transform_one(self, x):
        return {{"sum": sum(hash(value) % 7 / (3.7 + n) for n, value in enumerate(self.seen)), "x": x["x"]}}

app = Application(
    name={name!r}, task="binary", champion=lambda seed: Newest() | linear_model.LogisticRegression(),
    challengers={{"encoder": lambda seed: preprocessing.OneHotEncoder() | {other}}},
    snapshot=Snapshots(max_cost=1.0, max_recovery="150ms"),
)
'''


class Running:
    """One application, its learner's process, and what it committed."""

    def __init__(self, services: Endpoints, directory: Path) -> None:
        self.call = CommandLine(
            services,
            directory,
            STREAM_APP_SNAPSHOTS__URL=str(directory / "snapshots"),
            STREAM_APP_SIGNING__KEYS="5a" * 32,
            STREAM_APP_LEARNER__PUBLISH_S="0.05",
        )
        self.servers, self.name, self.sent = services.bootstrap_servers, self.call.name, 0
        self.file = directory / f"{self.name}.py"
        self.target, self.edited_s = f"{self.file}:app", int(time.time())
        self.define("linear_model.LogisticRegression()")
        assert self.run("topics", "create", self.target).returncode == 0

    def define(self, other: str) -> None:
        """The definition with this model behind the challenger's encoder."""
        self.file.write_text(DEFINITION.format(name=self.name, other=other))
        self.edited_s += 2  # Python's cache sees whole seconds
        os.utime(self.file, (self.edited_s, self.edited_s))

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.call.environment, "PYTHONHASHSEED": "0"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return warm.run("stream_app", *arguments, env=self.environment, text=True, timeout=SOON_S)

    def produce(self) -> None:
        """A part of the events, each with a string that never came before, and its label."""
        with EventProducer(self.name, {"bootstrap_servers": self.servers}) as producer:
            for n in range(self.sent, self.sent + PART):
                row = {"id": f"{n * 7_919_999:x}", "n": n * 104_729 % 99_991, "x": (n % 9 - 4) / 3}
                producer.send(f"k{n % 7}", row, str(n))
                producer.label(f"k{n % 7}", str(n), n % 3 == 0)
        self.sent += PART

    def committed(self, topic: str) -> list[dict[str, Any]]:
        with CommittedReader(self.servers, f"{self.name}.{topic}", until_end=True) as reader:
            return [orjson.loads(record.value) for record in reader]

    def killed(self, predictions: int) -> None:
        """A learner runs until so much is committed, and is shot."""
        arguments = ("learn", self.target, "--no-supervise", "--no-admission")
        learner = warm.WarmProcess("stream_app", *arguments, env=self.environment, stderr=subprocess.DEVNULL)
        try:
            deadline_s = time.monotonic() + SOON_S
            while len(self.committed("predictions")) < predictions:
                assert time.monotonic() < deadline_s, "it does not come on"
                time.sleep(0.05)
        finally:
            learner.kill()
            learner.wait()

    def learned(self) -> None:
        """A learner runs to the end of its inputs."""
        done = self.run("learn", self.target, "--exit-when-idle", "0.3", "--no-supervise", "--no-admission")
        assert done.returncode == 0, done.stderr[-3_000:]

    def verified(self) -> list[tuple[str, bool]]:
        done = self.run("verify", self.target, "--json")
        lines = [orjson.loads(line) for line in done.stdout.splitlines()]
        return [(line["source"], line["equal"]) for line in lines if line["to"]]


@pytest.mark.timeout(400)
def test_models_with_large_sets_survive_kills_and_an_upgrade(services: Endpoints, tmp_path: Path) -> None:
    """Killed while snapshots and publications are made, then stopped and upgraded: every event is predicted
    once, and the replays from the beginning and from the newest snapshot are equal, in both epochs.
    """
    running = Running(services, tmp_path)
    for part in range(PARTS):
        running.produce()
        running.killed(part * PART + PART // 2)
    running.learned()
    told = {entry.get("settled") for entry in running.committed("journal")}
    assert told == {"champion", "models", None}
    answers = running.committed("predictions")
    assert sorted(int(answer["event_id"]) for answer in answers) == list(range(PART * PARTS))
    odds = {answer["probabilities"]["true"] for answer in answers if not answer["cold"]}
    assert len(odds) > 50, "x alone, of nine values, decides the answers"
    both = [("earliest", True), ("snapshot", True)]
    assert running.verified() == both
    running.define("linear_model.Perceptron()")
    done = running.run("upgrade", running.target, "--json", "--no-admission")
    assert done.returncode == 0, done.stderr
    running.produce()
    running.learned()
    assert all(equal for _, equal in running.verified())
    assert not running.committed("dead-letters")
