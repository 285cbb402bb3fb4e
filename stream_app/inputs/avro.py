"""fastavro: records in Avro become objects of numbers, texts and booleans.

A schema that lets few bytes become much memory, or a deep stack, is refused before anything is read with it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from typing import Any, Final, NamedTuple

import fastavro
import orjson
from fastavro.schema import SchemaParseException, UnknownType

from stream_app.inputs.schemas import Schema
from topics import reasons
from topics.codec import LARGEST_VALUE_BYTES, Rejected

PRIMITIVE: Final = {"boolean", "int", "long", "float", "double", "bytes", "string"}
KEPT: Final = 1_000  # parsed schemas
MOST_FREE: Final = 1_000  # values of no bytes in a record
MOST_FREE_ITEMS: Final = 16  # in each item of an array, of which there may be one for each byte
DEEPEST: Final = 64


class AvroReader:
    """Reads what was written with one schema; `fault` says why nothing may be read with it."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.fault: Rejected | None = None
        self.parsed: Any = None
        try:
            named: dict[str, Any] = {}
            for _, text in schema.references:
                fastavro.parse_schema(orjson.loads(text), named_schemas=named)
            self.parsed = fastavro.parse_schema(orjson.loads(schema.text), named_schemas=named)
            doubt = unsafe(self.parsed, named)
        except (
            SchemaParseException,
            UnknownType,
            orjson.JSONDecodeError,
            ValueError,
            KeyError,
            TypeError,
            RecursionError,
        ) as error:
            doubt = f"cannot be read ({type(error).__name__}: {error})"
        if doubt:
            self.fault = Rejected(reasons.MALFORMED, f"the Avro schema {doubt}"[:500])

    def read(self, body: bytes) -> Any:
        """The object, or why there is none."""
        if self.fault is not None:
            return self.fault
        if len(body) > LARGEST_VALUE_BYTES:
            text = f"the value has {len(body)} bytes, {LARGEST_VALUE_BYTES} are allowed"
            return Rejected(reasons.TOO_LARGE, text)
        stream = io.BytesIO(body)
        try:
            found = fastavro.schemaless_reader(stream, self.parsed, None)
        except Exception as error:  # noqa: BLE001  # on damaged bytes fastavro raises what its parts raise
            return Rejected(
                reasons.MALFORMED, f"the value does not fit its Avro schema ({type(error).__name__})"
            )
        if stream.read(1):
            return Rejected(reasons.MALFORMED, "the value goes on behind what its Avro schema describes")
        return plain(found)


class Look(NamedTuple):
    """What a part of a schema may lead to: a fault, whether such a value always takes a byte, how many values
    in it take none, and how deep it is.
    """

    fault: str = ""
    takes: bool = True
    free: int = 0
    deep: int = 0


def unsafe(schema: Any, named: Mapping[str, Any]) -> str:
    """Why a schema may not be read with, or nothing: few bytes would become a deep stack or much memory."""
    looked: dict[str, Look] = {}

    def look(part: Any, above: tuple[str, ...]) -> Look:
        if isinstance(part, list):  # a union writes its branch, which pays for one value
            inner = [look(one, above) for one in part]
            return joined(inner, takes=True, free=max((0, *(one.free - 1 for one in inner))))
        if isinstance(part, str):
            if part not in named:
                return Look() if part in PRIMITIVE else Look(takes=False, free=1)
            if part in above:
                return Look("contains itself")
            if part not in looked:
                looked[part] = look(named[part], above)
            return looked[part]
        kind = part["type"]
        if kind in ("array", "map"):
            items = look(part["items" if kind == "array" else "values"], above)
            if not items.fault and (items.free > MOST_FREE_ITEMS or not (items.takes or kind == "map")):
                return Look("has an array of what takes no bytes")
            return joined([items], takes=True, free=0)
        if kind in ("record", "error"):
            name = part["name"]
            if name in above:
                return Look("contains itself")
            inner = [look(field["type"], (*above, name)) for field in part["fields"]]
            takes = any(one.takes for one in inner)
            return joined(inner, takes=takes, free=sum(one.free for one in inner) + (not takes))
        if kind in ("enum", "fixed"):
            return Look(takes=kind == "enum" or part["size"] > 0)
        return look(kind, above)

    return look(schema, ()).fault


def joined(inner: list[Look], *, takes: bool, free: int) -> Look:
    """What parts come to together."""
    deep = 1 + max((one.deep for one in inner), default=0)
    fault = next((one.fault for one in inner if one.fault), "")
    if not fault and free > MOST_FREE:
        fault = f"holds more than {MOST_FREE:,} values that take no bytes"
    if not fault and deep > DEEPEST:
        fault = f"is nested deeper than {DEEPEST}"
    return Look(fault, takes, free, deep)


def plain(value: Any) -> Any:
    """What JSON would carry: moments in epoch ms, decimals as floats, bytes in base64."""
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return PLAIN.get(type(value), str)(value)  # a UUID as its text


def since_epoch(moment: datetime) -> int:
    """Epoch milliseconds; a local timestamp counts as UTC."""
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


PLAIN: Final[dict[type, Callable[[Any], Any]]] = {
    datetime: since_epoch,
    date: lambda day: since_epoch(datetime(day.year, day.month, day.day, tzinfo=UTC)),
    clock_time: lambda moment: (
        (moment.hour * 60 + moment.minute) * 60_000 + moment.second * 1000 + moment.microsecond // 1000
    ),
    timedelta: lambda span: round(span.total_seconds() * 1000),
    Decimal: float,
    bytes: lambda part: base64.b64encode(part).decode(),
}
