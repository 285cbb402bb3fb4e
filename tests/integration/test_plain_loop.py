"""What the README says of a plain consumer loop is so."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from math import isnan
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from stream_app.embedded.services import Endpoints

pytestmark = pytest.mark.soak(only=True)
ROOT = Path(__file__).parents[2]
EVENTS, NAN_AT = 150, 120
COMMITTED = 100  # it commits after every hundredth event
WITHIN_S = 60


class Loop:
    """The example on topics of its own, one process at a time."""

    def __init__(self, services: Endpoints) -> None:
        self.servers = services.bootstrap_servers
        self.topic = f"plain-{uuid4().hex[:8]}"
        self.out = f"{self.topic}-out"
        admin = KafkaAdminClient(bootstrap_servers=[self.servers])
        for topic in (self.topic, self.out):
            admin.create_topics(
                {topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True
            )
        admin.close()
        producer = KafkaProducer(bootstrap_servers=self.servers)
        for n in range(EVENTS):
            x = float("nan") if n == NAN_AT else n % 7 - 3.0
            producer.send(self.topic, json.dumps({"id": n, "x": {"a": x}, "y": n % 2 == 0}).encode())
        producer.flush(20)
        producer.close()

    def answers(self) -> list[dict[str, Any]]:
        """All that was predicted so far."""
        consumer = KafkaConsumer(bootstrap_servers=self.servers, consumer_timeout_ms=2_000)
        place = TopicPartition(self.out, 0)
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        found = [json.loads(message.value) for message in consumer]
        consumer.close()
        return found

    def killed_after(self, n: int) -> None:
        """Start one, wait until so many answers are there, and kill it."""
        command = [sys.executable, "-m", "examples.plain_loop", self.servers, self.topic, self.out]
        with subprocess.Popen(command, cwd=ROOT) as process:
            deadline_s = time.monotonic() + WITHIN_S
            while len(self.answers()) < n:
                assert time.monotonic() < deadline_s
            process.kill()


def test_a_kill_doubles_predictions_and_a_nan_stays(services: Endpoints) -> None:
    """What came after the last commit is predicted again, by an empty model; after a NaN all are NaN."""
    loop = Loop(services)
    loop.killed_after(EVENTS)
    first = loop.answers()
    assert all(isnan(answer["p"]) for answer in first[NAN_AT + 1 :])
    loop.killed_after(EVENTS + EVENTS - COMMITTED)
    times = Counter(answer["id"] for answer in loop.answers())
    assert [times[n] for n in range(EVENTS)] == [1] * COMMITTED + [2] * (EVENTS - COMMITTED)
