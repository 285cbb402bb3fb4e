"""stream_app/inputs: values in Avro and Protobuf become what JSON would carry; damaged ones are refused."""

from __future__ import annotations

import io
import random
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import UsageError
from stream_app.inputs.formats import Avro, Protobuf
from stream_app.inputs.schemas import RegistryAway, Schema
from stream_app.inputs.values import parser_of
from topics.codec import Rejected

TRIP: dict[str, Any] = {
    "type": "record",
    "name": "Trip",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "passengers", "type": ["null", "int"], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "fare", "type": {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}},
        {"name": "raw", "type": "bytes"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["CAB", "SHARED"]}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "who", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "stops", "type": {"type": "array", "items": "double"}},
    ],
}
ROW = {
    "id": "t1",
    "passengers": 2,
    "at": datetime(2026, 11, 29, 2, 50, tzinfo=UTC),
    "fare": Decimal("12.50"),
    "raw": b"\x00\xff",
    "kind": "CAB",
    "day": date(2026, 11, 29),
    "who": UUID(int=7),
    "stops": [1.5, 2.5],
}
MEANT = {
    "id": "t1",
    "passengers": 2,
    "at": 1_795_920_600_000,
    "fare": 12.5,
    "raw": "AP8=",
    "kind": "CAB",
    "day": 1_795_910_400_000,
    "who": "00000000-0000-0000-0000-000000000007",
    "stops": [1.5, 2.5],
}


class Kept:
    """Schemas by their ids; an id over 100 asks a registry that is away."""

    def __init__(self, **schemas: Any) -> None:
        self.schemas = {
            int(name[1:]): Schema("AVRO", orjson.dumps(text).decode()) for name, text in schemas.items()
        }
        self.asked: list[int] = []

    def schema(self, number: int) -> Schema | Rejected:
        self.asked.append(number)
        if number > 100:
            raise RegistryAway("nobody answers")
        return self.schemas.get(number) or Rejected("malformed", f"unknown {number}")


def written(row: dict[str, Any], schema: dict[str, Any] = TRIP) -> bytes:
    """Bare Avro."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(dict(schema)), row)
    return stream.getvalue()


def framed(number: int, body: bytes) -> bytes:
    """As Confluent's serializers write it."""
    return b"\x00" + number.to_bytes(4, "big") + body


def test_avro_becomes_what_json_would_carry() -> None:
    """Behind a header by the schema of its id, asked for once; bare by the schema of the definition."""
    kept = Kept(n7=TRIP)
    parse = parser_of("avro", kept)
    assert [parse(framed(7, written(ROW))) for _ in range(3)] == [MEANT] * 3
    assert kept.asked == [7]
    for schema in (TRIP, orjson.dumps(TRIP).decode()):
        assert parser_of(Avro(schema), kept)(written(ROW)) == MEANT
    assert parse(None) is None


def test_each_record_is_read_with_the_schema_that_it_was_written_with() -> None:
    """A field was added, another one removed, a type widened: each record has what it was written with."""
    fields = TRIP["fields"]
    newer = {**TRIP, "fields": [fields[0], {"name": "tip", "type": "double"}]}
    wider = {**TRIP, "fields": [fields[0], {"name": "passengers", "type": "long"}]}
    parse = parser_of("avro", Kept(n1=TRIP, n2=newer, n3=wider))
    assert parse(framed(2, written({"id": "a", "tip": 1.5}, newer))) == {"id": "a", "tip": 1.5}
    assert parse(framed(3, written({"id": "b", "passengers": 1 << 40}, wider))) == {
        "id": "b",
        "passengers": 1 << 40,
    }
    assert parse(framed(1, written(ROW))) == MEANT


def test_a_schema_that_cannot_be_asked_for_is_waited_for() -> None:
    """It is not the record's fault."""
    with pytest.raises(RegistryAway):
        parser_of("avro", Kept())(framed(101, b""))


def recursive(name: str) -> dict[str, Any]:
    """A list of itself."""
    return {"type": "record", "name": name, "fields": [{"name": "next", "type": ["null", name]}]}


def doubled(times: int) -> dict[str, Any]:
    """A record of two records of two records and so on, of nulls alone."""
    schema: dict[str, Any] = {"type": "record", "name": "A0", "fields": [{"name": "x", "type": "null"}]}
    for n in range(1, times + 1):
        fields = [{"name": "l", "type": schema}, {"name": "r", "type": f"A{n - 1}"}]
        schema = {"type": "record", "name": f"A{n}", "fields": fields}
    return schema


def chained(times: int, kind: str) -> Any:
    """A record within a record and so on, or a union of records that each name the one before."""
    records = [{"type": "record", "name": "R0", "fields": [{"name": "x", "type": "int"}]}]
    for n in range(1, times):
        inner: Any = f"R{n - 1}" if kind == "union" else records[-1]
        records.append({"type": "record", "name": f"R{n}", "fields": [{"name": "x", "type": inner}]})
    return records if kind == "union" else records[-1]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (doubled(40), "holds more than 1,000 values that take no bytes"),
        (chained(80, "nested"), "is nested deeper than 64"),
        (chained(1_200, "union"), "the Avro schema"),
        ({"type": "array", "items": doubled(5)}, "an array of what takes no bytes"),
        (recursive("Node"), "contains itself"),
        ({"type": "array", "items": "null"}, "an array of what takes no bytes"),
        ({"type": "array", "items": {"type": "record", "name": "E", "fields": []}}, "takes no bytes"),
        ({"type": "record", "name": "A", "fields": [{"name": "x", "type": "Missing"}]}, "cannot be read"),
        ({"type": "nonsense"}, "cannot be read"),
    ],
)
def test_a_schema_that_could_harm_is_refused(schema: Any, why: str) -> None:
    """Few bytes may not become much memory, nor a deep stack."""
    found = parser_of("avro", Kept(n1=schema))(framed(1, b"\x02" * 20))
    assert isinstance(found, Rejected)
    assert why in found.message


def test_damaged_avro_is_refused() -> None:
    """Cut anywhere, with bytes behind it, without a header, or of an unknown schema."""
    parse, body = parser_of("avro", Kept(n7=TRIP)), written(ROW)
    for end in range(len(body)):
        assert isinstance(parse(framed(7, body[:end])), Rejected), end
    for value in (framed(7, body + b"x"), framed(8, body), body, b"", b"\x00", b'{"id": 1}'):
        assert isinstance(parse(value), Rejected), value


@given(st.binary(max_size=200))
def test_random_bytes_never_raise(value: bytes) -> None:
    """They are refused, or happen to be a value."""
    parser_of("avro", Kept(n7=TRIP))(framed(7, value))
    parser_of("json-schema", Kept())(framed(7, value))
    parser_of(Avro(TRIP), Kept())(value)


def test_protobuf_becomes_its_fields(trips: str) -> None:
    """Enums by name, bytes in base64, what is not set and has presence is absent; framed or bare."""
    kind: Any = sys.modules[trips.partition(":")[0]]
    message = kind.Trip(id="t1", n=0, kind=1, raw=b"\x00\xff", stops=[1.5])
    meant = {"id": "t1", "n": 0, "kind": "SHARED", "raw": "AP8=", "stops": [1.5]}
    body = message.SerializeToString()
    assert parser_of(Protobuf(trips, framed=False), Kept())(body) == meant
    message.pickup.lat = 52.5
    body = message.SerializeToString()
    for indexes in (b"\x00", b"\x02\x00", b"\x04\x02\x00"):
        found = parser_of(Protobuf(trips), Kept())(framed(7, indexes + body))
        assert found == {**meant, "pickup": {"lat": 52.5}}


def test_damaged_protobuf_is_refused(trips: str) -> None:
    """Random bytes never raise; a class that is none is refused with the definition."""
    parse, dice = parser_of(Protobuf(trips), Kept()), random.Random(1)
    for n in range(500):
        parse(dice.randbytes(n % 40))
        parse(framed(7, dice.randbytes(n % 40)))
    assert isinstance(parse(framed(7, b"\xff")), Rejected)
    for path in ("no_such:Trip", "json:loads", "json"):
        with pytest.raises(UsageError, match="trips_pb2:Trip"):
            parser_of(Protobuf(path), Kept())
