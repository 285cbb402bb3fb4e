"""Predictions in the forms that their readers want, copied exactly once."""

from __future__ import annotations

import io
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import fastavro
import jsonschema  # type: ignore[import-untyped]
import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from stream_app.client import CommittedReader
from stream_app.embedded.services import Endpoints
from tests.integration.learners import Learners
from tests.integration.registries import Registry, registry
from topics.placement import partition_for

PARTITIONS = 3
DEFINITION = """
from river import linear_model
from stream_app import Application, Output, Outputs

app = Application(
    name={name!r}, task={task!r}, shards=2, outputs=Outputs(predictions=Output({topic!r}, format={form!r})),
    champion=lambda seed: linear_model.{model}(),
)
"""


class Scores:
    """An application whose predictions go to a topic of the user's own."""

    def __init__(self, services: Endpoints, directory: Path, form: str, task: str = "binary") -> None:
        self.learners = Learners(services, directory)
        self.name, self.topic = self.learners.call.name, f"{self.learners.call.name}.scores.v1"
        model = "LogisticRegression" if task == "binary" else "LinearRegression"
        file = directory / "scores.py"
        file.write_text(
            DEFINITION.format(name=self.name, topic=self.topic, form=form, task=task, model=model)
        )
        self.target = f"{file}:app"
        admin = AdminClient({"bootstrap.servers": services.bootstrap_servers})
        admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic].result()
        assert self.learners.call("topics", "create", self.target).code == 0
        self.regression, self.sent = task == "regression", 0

    def predict(self, n: int) -> None:
        """Learn n more events with their labels."""
        producer = Producer({"bootstrap.servers": self.learners.servers, "partitioner": "murmur2_random"})
        for _ in range(n):
            i = self.sent = self.sent + 1
            label = i / 2 if self.regression else i % 3 == 0
            value = {"event_id": f"e{i}", "features": {"x": i % 7, "y": 0.5}, "label": label}
            producer.produce(f"{self.name}.events", orjson.dumps(value), f"k{i % 5}".encode())
        producer.flush(20)
        arguments = ("--no-admission", "--exit-when-idle", "0.5")
        self.learners.finish(self.learners.spawn("stream_app", "learn", self.target, *arguments))

    def bridge(self) -> None:
        """Copy what is there."""
        self.learners.finish(
            self.learners.spawn("stream_app", "bridge", self.target, "--exit-when-idle", "0.001")
        )

    def read(self, topic: str) -> list[Any]:
        """The committed records of a topic."""
        with CommittedReader(self.learners.servers, topic, until_end=True) as reader:
            return list(reader)

    def committed(self) -> dict[str, dict[str, Any]]:
        """The predictions of the application's own topic, by event."""
        values = [orjson.loads(record.value) for record in self.read(f"{self.name}.predictions")]
        return {value["event_id"]: value for value in values}


def with_registry(scores: Scores, at: Registry) -> None:
    """Name the registry in the settings."""
    scores.learners.call.environment["STREAM_APP_REGISTRY__URL"] = at.url


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_avro_is_read_by_its_registered_schema_alone(services: Endpoints, tmp_path: Path, task: str) -> None:
    """Every prediction once, cold ones too, after restarts as well; by key, as Java's producer places it."""
    scores = Scores(services, tmp_path, "avro", task)
    with registry() as schemas:
        with_registry(scores, schemas)
        for n in (20, 15) if task == "binary" else (35,):
            scores.predict(n)
            scores.bridge()
    (subject, sent), *_ = schemas.registered
    assert (subject, sent["schemaType"]) == (f"{scores.topic}-value", "AVRO")
    parsed = fastavro.parse_schema(orjson.loads(sent["schema"]))
    found = {}
    for record in scores.read(scores.topic):
        assert record.value[:5] == b"\x00\x00\x00\x00\x07"
        assert dict(record.headers)["content-type"] == b"application/avro"
        assert record.partition == partition_for(record.key, PARTITIONS)
        row: Any = fastavro.schemaless_reader(io.BytesIO(record.value[5:]), parsed, None)
        assert record.timestamp == row["time_ms"].timestamp() * 1000
        given = {name: value for name, value in row.items() if value is not None}
        assert row["event_id"] not in found
        found[row["event_id"]] = {**given, "time_ms": record.timestamp}
    (shard, *_) = scores.learners.call("status", scores.target, "--json").lines()
    assert shard["bridge"]["members"] == 0
    assert set(shard["bridge"]["behind"].values()) == {0}, shard["bridge"]
    assert "nobody runs it; all is copied" in scores.learners.call("status", scores.target).out
    committed = scores.committed()
    assert len(found) == 35
    without_null = {
        name: {field: value for field, value in one.items() if value is not None}
        for name, one in committed.items()
    }
    assert found == without_null


def test_json_behind_a_schema_is_what_the_schema_says(services: Endpoints, tmp_path: Path) -> None:
    """The registered JSON Schema judges each value, which is the prediction's own bytes."""
    scores = Scores(services, tmp_path, "json-schema")
    scores.predict(10)
    with registry() as schemas:
        with_registry(scores, schemas)
        scores.bridge()
    ((_, sent),) = schemas.registered
    assert sent["schemaType"] == "JSON"
    own = {record.value for record in scores.read(f"{scores.name}.predictions")}
    records = scores.read(scores.topic)
    assert {record.value[5:] for record in records} == own
    for record in records:
        jsonschema.validate(orjson.loads(record.value[5:]), orjson.loads(sent["schema"]))


def test_json_needs_no_registry(services: Endpoints, tmp_path: Path) -> None:
    """The prediction as it is, with the type of its content."""
    scores = Scores(services, tmp_path, "json")
    scores.predict(10)
    scores.bridge()
    records = scores.read(scores.topic)
    assert {r.value for r in records} == {r.value for r in scores.read(f"{scores.name}.predictions")}
    assert {tuple(record.headers) for record in records} == {(("content-type", b"application/json"),)}


def test_what_is_missing_is_said_before_anything_is_copied(services: Endpoints, tmp_path: Path) -> None:
    """No registry in the settings; a topic that does not exist; each with its remedy."""
    scores, file = Scores(services, tmp_path, "avro"), tmp_path / "scores.py"
    assert (
        f"ok      {scores.topic} (written by the bridge)"
        in scores.learners.call("topics", "check", scores.target).out
    )
    for code, remedy in ((2, b"STREAM_APP_REGISTRY__URL"), (3, b"outputs=")):
        bridge = scores.learners.spawn(
            "stream_app", "bridge", scores.target, "--no-supervise", stderr=subprocess.PIPE
        )
        _, err = bridge.communicate(timeout=60)
        assert (bridge.returncode, remedy in err) == (code, True), err
        file.write_text(file.read_text().replace("scores.v1", "nowhere").replace("'avro'", "'json'"))


def test_doctor_names_an_output_that_is_missing(services: Endpoints, tmp_path: Path) -> None:
    """Before a bridge refuses to start for it; the application's own topics are there."""
    scores = Scores(services, tmp_path, "json")
    assert "topics: 11 as declared" in scores.learners.call("doctor", scores.target).out
    admin = AdminClient({"bootstrap.servers": scores.learners.servers})
    admin.delete_topics([scores.topic])[scores.topic].result()
    done = scores.learners.call("doctor", scores.target)
    assert done.code == 1
    assert f"fail  topics: {scores.topic}" in done.out


def test_an_output_that_takes_no_prediction_is_named(services: Endpoints, tmp_path: Path) -> None:
    """Its bound is below a prediction's size: the bridge ends with what to do, and is not started again."""
    scores = Scores(services, tmp_path, "json")
    with closing(KafkaAdminClient(bootstrap_servers=scores.learners.servers)) as admin:
        small = {"max.message.bytes": "100"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, scores.topic, configs=small)])
    scores.predict(3)
    bridge = scores.learners.spawn("stream_app", "bridge", scores.target, stderr=subprocess.PIPE)
    said = bridge.communicate(timeout=60)[1].decode()
    assert bridge.returncode == 3, said
    assert f"topic {scores.topic} does not take a prediction" in said
    assert "Raise its max.message.bytes" in said
