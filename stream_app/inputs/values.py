"""Values of foreign topics, decoded by the format that the definition names."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec
import orjson

from stream_app.inputs.avro import KEPT, AvroReader
from stream_app.inputs.formats import Avro, Format, Protobuf
from stream_app.inputs.protobuf import message_class, past_indexes, read_message
from stream_app.inputs.schemas import Schema, Schemas, unframed
from topics import reasons
from topics.codec import Rejected, decode, python_reads

BOM: Final = b"\xef\xbb\xbf"
Parser = Callable[[bytes], Any]
strict: Final = msgspec.json.Decoder().decode


def parser_of(form: Format, schemas: Schemas) -> Callable[[bytes | None], Any]:
    """Give the function that decodes a value; None, a tombstone, stays None."""
    parse = parsers(form, schemas)
    return lambda value: None if value is None else parse(value)


def parsers(form: Format, schemas: Schemas) -> Parser:
    """The same for a value that is there."""
    if isinstance(form, Protobuf):
        return protobuf(form)
    if isinstance(form, Avro) and form.schema is not None:
        text = form.schema if isinstance(form.schema, str) else orjson.dumps(form.schema).decode()
        return AvroReader(Schema("AVRO", text)).read
    if isinstance(form, Avro) or form == "avro":
        return FramedAvro(schemas).read
    return parse_framed if form == "json-schema" else parse_json


def lenient(value: bytes) -> Any:
    """JSON; NaN and infinities, which Python and others write for what is not known, are null.

    Raises:
        msgspec.MsgspecError: it is not JSON.
    """
    try:
        return strict(value)
    except msgspec.DecodeError:
        if (b"NaN" not in value and b"Infinity" not in value) or not python_reads(value):
            raise
        return json.loads(value, parse_constant=lambda _: None)


def parse_json(value: bytes) -> Any:
    """JSON of any form. A byte order mark is passed over."""
    return decode(value.removeprefix(BOM), lenient)


def parse_framed(value: bytes) -> Any:
    """JSON behind a Confluent header, whose schema is not needed to read it."""
    found = unframed(value)
    return found if isinstance(found, Rejected) else parse_json(found[1])


def protobuf(form: Protobuf) -> Parser:
    """Messages of one class, behind a Confluent header or bare."""
    kind = message_class(form.message)
    if not form.framed:
        return lambda value: read_message(kind, value)

    def parse(value: bytes) -> Any:
        found = unframed(value)
        body = found if isinstance(found, Rejected) else past_indexes(found[1])
        return body if isinstance(body, Rejected) else read_message(kind, body)

    return parse


class FramedAvro:
    """Avro behind a Confluent header: the schema of each id is asked for once."""

    def __init__(self, schemas: Schemas) -> None:
        self.schemas = schemas
        self.readers: dict[int, AvroReader] = {}

    def read(self, value: bytes) -> Any:
        """The object, or why there is none.

        Raises:
            RegistryAway: its schema is not known yet, and nobody can be asked now.
        """
        found = unframed(value)
        if isinstance(found, Rejected):
            return found
        number, body = found
        reader = self.readers.get(number)
        if reader is None:
            schema = self.schemas.schema(number)
            if isinstance(schema, Rejected):
                return schema
            if schema.kind != "AVRO":
                text = f"schema {number} is {schema.kind}, the topic says format='avro'"
                return Rejected(reasons.MALFORMED, text)
            if len(self.readers) >= KEPT:
                self.readers.clear()
            reader = self.readers[number] = AvroReader(schema)
        return reader.read(body)
