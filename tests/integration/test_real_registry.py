"""Avro in and out, with the schemas in a registry that others run too: Apicurio, by Confluent's API."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.schema_registry import SchemaRegistry
from stream_app.client import CommittedReader
from stream_app.embedded.services import Endpoints
from tests.faults.learners import until
from tests.integration.apicurio import apicurio
from tests.integration.learners import Learners
from tests.integration.test_registry import framed, schema

pytestmark = [pytest.mark.soak(only=True), pytest.mark.timeout(600)]
DEFINITION = """
from river import linear_model
from stream_app import Application, Inputs, Output, Outputs, Topic

app = Application(
    name={name!r}, task="regression", shards=2,
    inputs=Inputs(events=Topic({trips!r}, format="avro", id="id", key="vendor", label="fare")),
    outputs=Outputs(predictions=Output({scores!r}, format="avro")),
    champion=lambda seed: linear_model.LinearRegression(),
)
"""
# Added with a default, widened, removed: each as a producer of the next version registers it.
VERSIONS: list[dict[str, Any]] = [
    schema(id="string", vendor="int", fare="double", passengers="int"),
    schema(id="string", vendor="int", fare="double", passengers="int", tip=["null", "double"]),
    schema(id="string", vendor="int", fare="double", passengers="long", tip=["null", "double"]),
    schema(id="string", vendor="int", fare="double", tip=["null", "double"]),
]
MEANT: list[dict[str, Any]] = [
    {"passengers": 2},
    {"passengers": 2, "tip": 0.5},
    {"passengers": 2, "tip": None},
    {"tip": 0.5},
]


def test_schemas_evolve_while_the_registry_is_stopped_and_started(
    services: Endpoints, tmp_path: Path
) -> None:
    """Each record is read by the schema that it was written with, predictions by the registered one."""
    learners = Learners(services, tmp_path)
    name, log = learners.call.name, tmp_path / "bridge.log"
    trips, scores, file = f"{name}.trips", f"{name}.scores", tmp_path / "trips.py"
    file.write_text(DEFINITION.format(name=name, trips=trips, scores=scores))
    admin = AdminClient({"bootstrap.servers": learners.servers})
    for future in admin.create_topics([NewTopic(topic, 3, 1) for topic in (trips, scores)]).values():
        future.result()
    target = f"{file}:app"
    assert learners.call("topics", "create", target).code == 0
    producer = Producer({"bootstrap.servers": learners.servers})
    meant: dict[str, dict[str, Any]] = {}

    def write(version: int, number: int) -> None:
        for _ in range(10):
            trip = f"t{len(meant)}"
            row = {"id": trip, "vendor": len(meant) % 5, "fare": 2.5, **MEANT[version]}
            producer.produce(trips, framed(number, VERSIONS[version], row), trip.encode())
            meant[trip] = MEANT[version]
        producer.flush(20)

    def bridged(topic: str) -> list[Any]:
        with CommittedReader(learners.servers, topic, until_end=True) as reader:
            return list(reader)

    with apicurio(tmp_path) as registry:
        learners.call.environment["STREAM_APP_REGISTRY__URL"] = registry.url
        client = SchemaRegistry(registry.url, SystemClock(), timeout=20.0)
        numbers = [client.register(f"{trips}-{n}", "AVRO", json.dumps(one)) for n, one in enumerate(VERSIONS)]
        assert client.register(f"{trips}-0", "AVRO", json.dumps(VERSIONS[0])) == numbers[0]
        with log.open("wb") as out:
            bridge = learners.spawn("stream_app", "bridge", target, "--no-supervise", stderr=out)
        try:
            for version, number in enumerate(numbers):
                if version == 2:
                    registry.stop()
                write(version, number)
                if version == 2:
                    until(lambda: "waiting for a schema" in log.read_text(), 60.0, log.read_text)
                    registry.start()
                until(lambda: len(bridged(f"{name}.events")) == len(meant), 60.0, log.read_text)
            learn = ("learn", target, "--no-admission", "--exit-when-idle", "0.5")
            learners.finish(learners.spawn("stream_app", *learn))
            until(lambda: len(bridged(scores)) == len(meant), 60.0, log.read_text)
        finally:
            bridge.terminate()
            assert bridge.wait(30) == 0, log.read_text()
        events = {
            json.loads(one.value)["event_id"]: json.loads(one.value) for one in bridged(f"{name}.events")
        }
        assert {event_id: value["features"] for event_id, value in events.items()} == meant
        found = httpx.get(f"{registry.url}/subjects/{scores}-value/versions/latest").json()
        parsed = fastavro.parse_schema(json.loads(found["schema"]))
        for record in bridged(scores):
            assert int.from_bytes(record.value[1:5], "big") == found["id"]
            row: Any = fastavro.schemaless_reader(io.BytesIO(record.value[5:]), parsed, None)
            assert row["event_id"] in meant
        client.close()
