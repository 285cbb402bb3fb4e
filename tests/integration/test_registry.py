"""Inputs in Avro on real Kafka, their schemas from a registry that is away now and then."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pydantic import ValidationError

from stream_app.adapters.clock import SystemClock
from stream_app.adapters.schema_registry import SchemaRegistry
from stream_app.client import CommittedReader
from stream_app.embedded.services import Endpoints
from stream_app.inputs.schemas import RegistryAway, Schema
from stream_app.settings.parts import Registry as RegistrySettings
from tests.faults.learners import until
from tests.integration.learners import Learners
from tests.integration.registries import Registry, registry
from topics.codec import Rejected

DEFINITION = """
from river import linear_model
from stream_app import Application, Inputs, Topic

app = Application(
    name={name!r}, task="regression", shards=2,
    inputs=Inputs(events=Topic({topic!r}, format="avro", id="id", key="vendor", label="fare")),
    champion=lambda seed: linear_model.LinearRegression(),
)
"""


def schema(**fields: Any) -> dict[str, Any]:
    """A record of these fields."""
    return {"type": "record", "name": "Trip", "fields": [{"name": n, "type": t} for n, t in fields.items()]}


FIRST = schema(id="string", vendor="int", fare=["null", "double"], passengers="int")
SECOND = schema(id="string", vendor="int", fare=["null", "double"], passengers="long", tip=["null", "double"])


def framed(number: int, of: dict[str, Any], row: dict[str, Any]) -> bytes:
    """As Confluent's serializer writes it."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(dict(of)), row)
    return b"\x00" + number.to_bytes(4, "big") + stream.getvalue()


class Trips:
    """A topic of trips in Avro, and the application that reads it."""

    def __init__(self, services: Endpoints, directory: Path, at: Registry) -> None:
        self.learners = Learners(services, directory)
        self.learners.call.environment["STREAM_APP_REGISTRY__URL"] = at.url
        self.name, self.topic = f"{self.learners.call.name}-a", f"{self.learners.call.name}.trips"
        (directory / "trips.py").write_text(DEFINITION.format(name=self.name, topic=self.topic))
        self.target, self.log = f"{directory / 'trips.py'}:app", directory / "bridge.log"
        admin = AdminClient({"bootstrap.servers": services.bootstrap_servers})
        for future in admin.create_topics([NewTopic(self.topic, 2, 1)]).values():
            future.result()
        assert self.learners.call("topics", "create", self.target).code == 0
        self.producer = Producer({"bootstrap.servers": services.bootstrap_servers})
        self.written = 0

    def write(self, n: int, number: int, of: dict[str, Any], **row: Any) -> None:
        """Write n more trips."""
        for _ in range(n):
            trip = {"id": f"t{self.written}", "vendor": self.written % 5, "fare": 2.5, "passengers": 1, **row}
            self.producer.produce(self.topic, framed(number, of, trip), str(self.written).encode())
            self.written += 1
        self.producer.flush(20)

    def events(self) -> dict[str, dict[str, Any]]:
        """Features by id, as the bridge has written them."""
        with CommittedReader(self.learners.servers, f"{self.name}.events", until_end=True) as reader:
            values = [orjson.loads(record.value) for record in reader]
        assert len({value["event_id"] for value in values}) == len(values)
        return {value["event_id"]: value["features"] for value in values}


def test_a_registry_that_is_away_costs_nothing_and_schemas_may_change(
    services: Endpoints, tmp_path: Path
) -> None:
    """Known schemas go on without it; for a new one the bridge waits, says so, and goes on afterwards."""
    with registry() as schemas:
        schemas.register(1, FIRST)
        trips = Trips(services, tmp_path, schemas)
        trips.write(20, 1, FIRST)
        with trips.log.open("wb") as out:
            bridge = trips.learners.spawn("stream_app", "bridge", trips.target, "--no-supervise", stderr=out)
        try:
            until(lambda: len(trips.events()) == 20, 60.0, trips.log.read_text)
            schemas.stop()
            trips.write(20, 1, FIRST)
            until(lambda: len(trips.events()) == 40, 60.0, trips.log.read_text)
            trips.write(20, 2, SECOND, tip=1.0)
            until(lambda: "waiting for a schema" in trips.log.read_text(), 60.0, trips.log.read_text)
            assert len(trips.events()) == 40
            schemas.register(2, SECOND)
            schemas.start()
            until(lambda: len(trips.events()) == 60, 60.0, trips.log.read_text)
            trips.write(1, 9, FIRST)
            trips.write(1, 2, SECOND, tip=None)
            until(lambda: len(trips.events()) == 61, 60.0, trips.log.read_text)
        finally:
            bridge.terminate()
            assert bridge.wait(30) == 0, trips.log.read_text()
    events = trips.events()
    assert events["t0"] == {"passengers": 1}
    assert events["t40"] == {"passengers": 1, "tip": 1.0}
    (letter,) = trips.learners.call("consume", trips.target, "dead-letters", "--json").lines()
    assert "does not know schema 9" in str(letter["headers"])
    assert schemas.asked.count("/schemas/ids/1") == 1, "each is asked for once"


def test_a_registry_asks_for_its_login_and_gives_references() -> None:
    """Basic auth; a wrong one is as if nobody answered; what a schema refers to comes with it."""
    place = schema(lat="double")
    with registry("me:secret") as schemas:
        schemas.register(1, FIRST, references=[{"name": "Place", "subject": "place/v", "version": 3}])
        schemas.answers["/subjects/place%2Fv/versions/3"] = {"schema": orjson.dumps(place).decode()}
        schemas.register(2, FIRST, "PROTOBUF")
        client = SchemaRegistry(schemas.url, SystemClock(), auth=("me", "secret"))
        found = client.schema(1)
        assert isinstance(found, Schema)
        assert (found.kind, [name for name, _ in found.references]) == ("AVRO", ["Place"])
        second = client.schema(2)
        assert isinstance(second, Schema)
        assert second.kind == "PROTOBUF"
        assert isinstance(client.schema(3), Rejected)
        client.close()
        stranger = SchemaRegistry(schemas.url, SystemClock(), auth=("me", "guess"))
        with pytest.raises(RegistryAway, match="401"):
            stranger.schema(1)
        stranger.close()


def test_a_reference_that_is_not_known_yet_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema without it is not kept: it would make every record unreadable until a restart."""
    with registry("") as schemas:
        schemas.register(1, FIRST, references=[{"name": "Place", "subject": "place", "version": 3}])
        client = SchemaRegistry(schemas.url, SystemClock())
        assert isinstance(client.schema(1), Rejected)
        schemas.answers["/subjects/place/versions/3"] = {
            "schema": orjson.dumps(schema(lat="double")).decode()
        }
        monkeypatch.setattr("stream_app.adapters.schema_registry.UNKNOWN_S", 0.0)
        assert isinstance(client.schema(1), Schema)
        client.close()


@pytest.mark.parametrize("answer", [{"message": "hello"}, [], "schema", {"schema": 3}])
def test_what_is_no_registry_s_answer_is_as_if_nobody_answered(answer: Any) -> None:
    """The bridge waits, and says what was wrong."""
    with registry("") as schemas:
        schemas.answers["/schemas/ids/1"] = answer
        client = SchemaRegistry(schemas.url, SystemClock())
        with pytest.raises(RegistryAway, match="holds no schema"):
            client.schema(1)
        client.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:port", "http://[::1", "nowhere:8081", "https://"])
def test_a_registry_s_address_that_is_no_url_is_a_wrong_setting(url: str) -> None:
    """It would never answer, and the bridge would wait for it."""
    with pytest.raises(ValidationError, match="is not a URL"):
        RegistrySettings(url=url)
