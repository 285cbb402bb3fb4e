"""Committed predictions as their readers want them: JSON as it is, or after the id of a registered schema."""

from __future__ import annotations

import io
from typing import Any, Final, NamedTuple, Protocol

import fastavro
import orjson

from stream_app.inputs.schemas import RegistryAway
from stream_app.outputs import Output
from topics.envelope import Headers, Record
from topics.records import Prediction
from topics.schemas import schema

CONTENT_TYPE: Final = "content-type"  # the header
CONTENT: Final = {"json": "application/json", "json-schema": "application/json", "avro": "application/avro"}
KINDS: Final = {"json-schema": "JSON", "avro": "AVRO"}
BY_CLASS: Final = {"type": "map", "values": "double"}
ANSWER: Final = ["null", "boolean", "long", "double", "string"]
CONTRIBUTION: Final = {
    "type": "record",
    "name": "Contribution",
    "fields": [
        {"name": "feature", "type": "string"},
        {"name": "value", "type": ANSWER},
        {"name": "contribution", "type": "double"},
    ],
}
EXPLANATION: Final = {
    "type": "record",
    "name": "Explanation",
    "fields": [
        {"name": "method", "type": "string"},
        {"name": "exact", "type": "boolean"},
        {"name": "unit", "type": "string"},
        {"name": "base", "type": "double"},
        {"name": "contributions", "type": {"type": "array", "items": CONTRIBUTION}},
        {"name": "rest", "type": "double"},
        {"name": "sum", "type": "double"},
        {"name": "about", "type": ANSWER, "default": None},
        {"name": "against", "type": ANSWER, "default": None},
    ],
}
AVRO: Final = {
    "type": "record",
    "name": "Prediction",
    "namespace": "stream_app",
    "doc": " ".join((Prediction.__doc__ or "").split()),
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "key", "type": "string"},
        {"name": "time_ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "prediction", "type": ANSWER},
        {
            "name": "model",
            "type": {
                "type": "record",
                "name": "Model",
                "fields": [{"name": "name", "type": "string"}, {"name": "version", "type": "long"}],
            },
        },
        {"name": "learned", "type": "long"},
        {"name": "cold", "type": "boolean"},
        {"name": "shard", "type": "int"},
        {"name": "offset", "type": "long"},
        {"name": "probabilities", "type": ["null", BY_CLASS], "default": None},
        {"name": "prior", "type": ["null", "double", BY_CLASS], "default": None},
        {"name": "v", "type": "int", "default": 1},
        {"name": "weights", "type": ["null", BY_CLASS], "default": None},
        {"name": "explanation", "type": ["null", EXPLANATION], "default": None},
    ],
}


class Copied(NamedTuple):
    """A prediction as it is written to the user's topic."""

    value: bytes
    headers: Headers
    time: int | None = None


class Registrar(Protocol):
    """Where schemas are registered."""

    def register(self, subject: str, kind: str, text: str) -> int:
        """The id of a schema, known or new.

        Raises:
            RegistryAway: nobody can be asked now.
            Refused: the registry does not take it.
        """


class Copies:
    """Encodes committed predictions for one topic; the schema is registered with the first."""

    def __init__(self, output: Output, registrar: Registrar | None) -> None:
        self.output, self.registrar = output, registrar
        self.headers: Headers = [(CONTENT_TYPE, CONTENT[output.format].encode())]
        self.parsed: Any = fastavro.parse_schema(AVRO) if output.format == "avro" else None
        self.frame: bytes | None = None

    def copy(self, record: Record) -> Copied:
        """A prediction in the output's form.

        Raises:
            RegistryAway: its schema is not registered yet, and nobody can be asked now.
            Refused: the registry does not take the schema.
        """
        value = record.value or b""
        if self.output.has_schema:
            frame = self.frame or self.framed()
            value = frame + (value if self.parsed is None else self.binary(value))
        return Copied(value, self.headers)

    def binary(self, value: bytes) -> bytes:
        """A prediction in Avro."""
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, self.parsed, orjson.loads(value))
        return stream.getvalue()

    def framed(self) -> bytes:
        """The header of every value: a zero and the schema's id."""
        if self.registrar is None:
            raise RegistryAway("no schema registry is set")
        text: Any = AVRO if self.output.format == "avro" else schema(Prediction, "predictions")
        number = self.registrar.register(
            f"{self.output.name}-value", KINDS[self.output.format], orjson.dumps(text).decode()
        )
        self.frame = b"\x00" + number.to_bytes(4, "big")
        return self.frame
