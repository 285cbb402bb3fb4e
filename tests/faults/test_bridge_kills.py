"""A bridge killed at random instants: every record of the user's topics comes out once, in one place."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream_app.bridge.translation import SOURCE
from stream_app.client import CommittedReader
from stream_app.embedded.services import Endpoints
from stream_app.inspect.dead_letters import letter_of
from tests.faults.learners import until
from tests.integration.learners import Learners
from tests.lengths import length

TRIPS = length(3_000, 3_000, 100_000)
KILLS = length(3, 3, 100)
RATE = 300  # trips a second
PARTITIONS, SHARDS = 6, 3
LATE = 40  # trips between one and its label
SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
DEFINITION = """
from river import linear_model
from stream_app import Application, Inputs, Labels, Topic

app = Application(
    name={name!r}, task="regression", shards={shards},
    inputs=Inputs(
        events=Topic({trips!r}, id="tripId", key="vendor", time="pickup.ts", time_in="s",
                     features={{"lat": "pickup.lat", "passengers": "passengers"}}),
        labels=Topic({durations!r}, id="trip_id", label="seconds"),
    ),
    labels=Labels(horizon="60s"),
    champion=lambda seed: linear_model.LinearRegression(),
)
"""


class Taxi:
    """An application whose events and labels are two topics of another form; labels are keyed by id alone."""

    def __init__(self, services: Endpoints, directory: Path, dice: random.Random) -> None:
        self.learners, self.dice = Learners(services, directory), dice
        self.name = f"{self.learners.call.name}-taxi"
        self.trips, self.durations = f"{self.name}.trips.v1", f"{self.name}.durations.v1"
        file, self.log = directory / "taxi.py", directory / "bridge.log"
        names = {"name": self.name, "trips": self.trips, "durations": self.durations, "shards": SHARDS}
        file.write_text(DEFINITION.format(**names))
        self.target = f"{file}:app"
        admin = AdminClient({"bootstrap.servers": services.bootstrap_servers})
        made = admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in (self.trips, self.durations)])
        for future in made.values():
            future.result()
        done = self.learners.call("topics", "create", self.target)
        assert done.code == 0, done.err
        self.producer = Producer({"bootstrap.servers": services.bootstrap_servers, "linger.ms": 5})
        self.start_ms = time.time_ns() // 1_000_000 - 600_000
        self.vendors: dict[str, str] = {}

    def write(self, n: int, rate: float) -> None:
        """Write n trips and their durations; some come before their trip, twice, or for none."""
        begun_s = time.monotonic()
        for i in range(n):
            at_ms, trip = self.start_ms + 10 * i, f"t{i}"
            self.vendors[trip] = str(self.dice.randrange(40))
            ride = {"ts": at_ms / 1000, "lat": self.dice.uniform(50, 53)}
            row = {"tripId": trip, "vendor": int(self.vendors[trip]), "pickup": ride, "passengers": 1 + i % 4}
            self.send(self.trips, row if self.dice.random() > 0.01 else {"tripId": trip}, str(i), at_ms)
            odd = self.dice.random()
            about = i + 20 if odd < 0.05 else i - LATE  # some labels come before their trip
            for _ in range(2 if odd > 0.97 else 1):
                told = f"t{about}" if odd < 0.93 else f"none{i}" if odd < 0.94 else f"t{max(0, i - LATE)}"
                self.send(self.durations, {"trip_id": told, "seconds": 60 + i % 900}, told, at_ms + 1)
            time.sleep(max(0.0, begun_s + i / rate - time.monotonic()))
        self.producer.flush(30)

    def send(self, topic: str, row: dict[str, Any], key: str, at_ms: int) -> None:
        """Write one record, placed by librdkafka's own partitioner."""
        self.producer.produce(topic, json.dumps(row).encode(), key.encode(), timestamp=at_ms)
        self.producer.poll(0)

    def bridge(self, *how: str) -> Any:
        """A bridge under its supervisor; what it logs is kept."""
        with self.log.open("ab") as out:
            return self.learners.spawn("stream_app", "bridge", self.target, *how, stderr=out)

    def begun(self) -> int:
        """How many of them have begun to bridge."""
        return self.log.read_text().count('"bridging"')

    def read(self, topic: str) -> Iterator[Any]:
        """What is committed in a topic."""
        with CommittedReader(self.learners.servers, topic, until_end=True) as reader:
            yield from reader


def source(record: Any) -> str:
    """Where a bridged record came from."""
    return str(dict(record.headers)[SOURCE], "utf-8")


def kept(taxi: Taxi, counts: Counter[str], vendors: dict[str, str]) -> None:
    """Every record came out once, in the right form, for the right entity."""
    events, labels = list(taxi.read(f"{taxi.name}.events")), list(taxi.read(f"{taxi.name}.labels"))
    letters = [letter_of(record) for record in taxi.read(f"{taxi.name}.dead-letters")]
    out = Counter(map(source, [*events, *labels]))
    out.update(f"{one.source_topic}/{one.source_partition}/{one.source_offset}" for one in letters)
    written = {
        f"{record.topic}/{record.partition}/{record.offset}"
        for topic in (taxi.trips, taxi.durations)
        for record in taxi.read(topic)
    }
    assert [place for place, n in out.items() if n > 1] == []
    assert set(out) <= written
    missing = written - set(out)
    assert len(missing) == counts["waiting"], sorted(missing)[:5]
    by_shard: dict[int, set[str]] = defaultdict(set)
    for record in events:
        value = orjson.loads(record.value)
        assert record.key.decode() == vendors[value["event_id"]]
        assert set(value["features"]) == {"lat", "passengers"}
        assert record.timestamp == taxi.start_ms + 10 * int(value["event_id"][1:])
        by_shard[record.partition].add(value["event_id"])
    for record in labels:
        value = orjson.loads(record.value)
        assert record.key.decode() == vendors[value["event_id"]]
        assert value["event_id"] in by_shard[record.partition]
    assert {letter.reason for letter in letters} <= {"unmapped", "label-orphan"}


def waiting(taxi: Taxi) -> int:
    """Labels that wait for a trip that has not come, as the bridge's own topic says in the end."""
    known: dict[str, int] = {}
    for record in taxi.read(f"{taxi.name}.bridge"):
        name = record.key.decode()
        is_label = any(header == "waiting" for header, _ in record.headers)
        known[name] = known.get(name, 0) + 1 if is_label else 0
    return sum(known.values())


@pytest.mark.soak(long=True)
def test_no_kill_of_a_bridge_loses_or_doubles_a_record(services: Endpoints, tmp_path: Path) -> None:
    """Each is an event, a label of its event's entity, a dead letter, or a label that waits."""
    sys.stderr.write(f"FAULTS_SEED={SEED}\n")
    dice = random.Random(SEED)
    taxi = Taxi(services, tmp_path, random.Random(SEED + 1))
    feed = threading.Thread(target=taxi.write, args=(TRIPS, RATE), daemon=True)
    bridge = taxi.bridge()
    try:
        until(lambda: taxi.begun() > 0, 60.0, taxi.log.read_text)
        feed.start()
        for kill in range(KILLS):
            until(lambda kill=kill: taxi.begun() > kill, 60.0, taxi.log.read_text)  # type: ignore[misc]
            time.sleep(dice.uniform(0.0, 1.0))
            for child in psutil.Process(bridge.pid).children():
                child.kill()
        feed.join()
        bridge.terminate()
        assert bridge.wait(30) in (0, 137)  # it may just have been killed
    finally:
        bridge.kill()
    last = taxi.bridge("--exit-when-idle", "1")
    assert last.wait(120) == 0, taxi.log.read_text()[-2_000:]
    kept(taxi, Counter(waiting=waiting(taxi)), taxi.vendors)
