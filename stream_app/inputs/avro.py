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
from typing import Any, Final

import fastavro
import orjson
from fastavro.schema import SchemaParseException, UnknownType

from stream_app.inputs.schemas import Schema
from topics import reasons
from topics.codec import LARGEST_VALUE_BYTES, Rejected

PRIMITIVE: Final = {"boolean", "int", "long", "float", "double", "bytes", "string"}
KEPT: Final = 1_000  # parsed schemas


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


def unsafe(schema: Any, named: Mapping[str, Any]) -> str:
    """Why a schema may not be read with, or nothing: it contains itself, or arrays of what takes no bytes."""

    def look(part: Any, above: tuple[str, ...]) -> tuple[str, bool]:
        """(fault, whether such a value always takes a byte)."""
        if isinstance(part, list):
            faults = [look(one, above)[0] for one in part]
            return next(filter(None, faults), ""), True  # a union writes its branch
        if isinstance(part, str):
            if part in named:
                return ("contains itself", True) if part in above else look(named[part], above)
            return "", part in PRIMITIVE
        kind = part["type"]
        if kind in ("array", "map"):
            fault, takes = look(part["items" if kind == "array" else "values"], above)
            return fault or ("" if takes or kind == "map" else "has an array of what takes no bytes"), True
        if kind in ("record", "error"):
            name = part["name"]
            if name in above:
                return "contains itself", True
            inner = [look(field["type"], (*above, name)) for field in part["fields"]]
            return next((fault for fault, _ in inner if fault), ""), any(takes for _, takes in inner)
        if kind == "enum":
            return "", True
        if kind == "fixed":
            return "", part["size"] > 0
        return look(kind, above)

    return look(schema, ())[0]


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
