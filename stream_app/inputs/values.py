"""Values of foreign topics, decoded: JSON of any form, plain or behind a Confluent header."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from topics import reasons
from topics.codec import FRAME_BYTES, Rejected, decode, python_reads

BOM: Final = b"\xef\xbb\xbf"
FORMATS: Final = ("json", "json-schema")
strict: Final = msgspec.json.Decoder().decode


def parse(value: bytes) -> Any:
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


def parse_json(value: bytes | None) -> Any:
    """The value of a record; None for a tombstone. A byte order mark is passed over."""
    return None if value is None else decode(value.removeprefix(BOM), parse)


def parse_framed(value: bytes | None) -> Any:
    """JSON behind a Confluent header, whose schema is not needed to read it."""
    if value is None:
        return None
    if len(value) < FRAME_BYTES or value[0]:
        text = "the value does not begin with a Confluent schema id; leave format='json-schema' out"
        return Rejected(reasons.MALFORMED, text)
    return parse_json(value[FRAME_BYTES:])


PARSERS: Final = {"json": parse_json, "json-schema": parse_framed}
