"""A taxi company's topics: trips and their durations, in a form and with keys of their own."""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream_app.client import CommittedReader
from stream_app.embedded.services import Endpoints
from tests.integration.learners import Learners
from tests.integration.registries import Registry

PARTITIONS, SHARDS = 6, 3
LATE = 40  # trips between one and its label
PICKUP = {
    "type": "record",
    "name": "Pickup",
    "fields": [{"name": name, "type": "double"} for name in ("ts", "lat")],
}
TRIP_ID = {"name": "tripId", "type": "string"}
OTHERS = [
    {"name": "vendor", "type": "int"},
    {"name": "pickup", "type": PICKUP},
    {"name": "passengers", "type": "int"},
]
SCHEMAS: dict[int, Any] = {
    1: {"type": "record", "name": "Trip", "fields": [TRIP_ID, *OTHERS]},
    2: {"type": "record", "name": "Trip", "fields": [TRIP_ID]},
}
DEFINITION = """
from river import linear_model, preprocessing
from stream_app import Application, Inputs, Labels, SwapPolicy, Topic

app = Application(
    name={name!r}, task="regression", shards={shards},
    inputs=Inputs(
        events=Topic({trips!r}, id="tripId", key="vendor", time="pickup.ts", time_in="s",
                     features={{"lat": "pickup.lat", "passengers": "passengers"}}, format={form!r}),
        labels=Topic({durations!r}, id="trip_id", label="seconds"),
    ),
    labels=Labels(horizon="60s"),
    champion=lambda seed: preprocessing.StandardScaler() | linear_model.LinearRegression(),
    swap=SwapPolicy(policy="never"),  # so that one model of River, in a plain loop, is what must come out
)
"""


class Taxi:
    """An application whose events and labels are two topics of another form; labels are keyed by id alone.

    Trips are JSON, or Avro whose schemas `registry` knows.
    """

    def __init__(
        self, services: Endpoints, directory: Path, dice: random.Random, registry: Registry | None = None
    ) -> None:
        self.learners, self.dice, self.is_avro = Learners(services, directory), dice, registry is not None
        if registry is not None:
            self.learners.call.environment["STREAM_APP_REGISTRY__URL"] = registry.url
            for number, schema in SCHEMAS.items():
                registry.register(number, schema)
        self.parsed = {number: fastavro.parse_schema(schema) for number, schema in SCHEMAS.items()}
        self.name = f"{self.learners.call.name}-taxi"
        self.trips, self.durations = f"{self.name}.trips.v1", f"{self.name}.durations.v1"
        file, self.log = directory / "taxi.py", directory / "bridge.log"
        names: dict[str, Any] = {
            "name": self.name,
            "trips": self.trips,
            "durations": self.durations,
            "shards": SHARDS,
        }
        names["form"] = "avro" if self.is_avro else "json"
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
        value = self.avro(row) if self.is_avro and topic == self.trips else json.dumps(row).encode()
        self.producer.produce(topic, value, key.encode(), timestamp=at_ms)
        self.producer.poll(0)

    def avro(self, row: dict[str, Any]) -> bytes:
        """A trip as Confluent's serializer writes it; one without its parts by a schema that lacks them."""
        number, stream = 1 if "vendor" in row else 2, io.BytesIO()
        fastavro.schemaless_writer(stream, self.parsed[number], row)
        return b"\x00" + number.to_bytes(4, "big") + stream.getvalue()

    def bridge(self, *how: str) -> Any:
        """A bridge under its supervisor; what it logs is kept."""
        with self.log.open("ab") as out:
            return self.learners.spawn("stream_app", "bridge", self.target, *how, stderr=out)

    def learner(self, *how: str) -> Any:
        """A learner under its supervisor."""
        with (self.log.parent / "learner.log").open("ab") as out:
            return self.learners.spawn("stream_app", "learn", self.target, "--no-admission", *how, stderr=out)

    def begun(self) -> int:
        """How many of them have begun to bridge."""
        return self.log.read_text().count('"bridging"')

    def read(self, topic: str) -> Iterator[Any]:
        """What is committed in a topic."""
        with CommittedReader(self.learners.servers, topic, until_end=True) as reader:
            yield from reader


def kill_children(process: Any) -> int:
    """SIGKILL what does a supervisor's work; how many that were."""
    children = psutil.Process(process.pid).children()
    for child in children:
        child.kill()
    return len(children)
