"""Bytes to typed records and back; what JSON or the contract cannot carry is rejected with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import orjson

from topics import reasons
from topics.records import Command, Event, Label

LARGEST_VALUE_BYTES = 65_536  # judged before parsing, so that a bomb costs nothing
LARGEST_HEADERS_BYTES = 16_384
MOST_HEADERS = 64
LONGEST_KEY_BYTES = 256
JSON_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY
T = TypeVar("T")


class Rejected(NamedTuple):
    """Why a record cannot be taken: a code of `topics.reasons`, and a sentence for a person."""

    reason: str
    message: str


def decoder(kind: type[T]) -> Callable[[bytes | None], T | Rejected]:
    """A decoder of one record type, its msgspec decoder made once."""
    parse = msgspec.json.Decoder(kind).decode

    def decode(value: bytes | None) -> T | Rejected:
        if not value:
            return Rejected(reasons.MALFORMED, "the value is empty")
        if len(value) > LARGEST_VALUE_BYTES:
            return Rejected(reasons.TOO_LARGE, f"the value has {len(value)} bytes, {LARGEST_VALUE_BYTES} are allowed")
        try:
            record = parse(value)
            if b"\\u" in value or b"\\U" in value:
                # msgspec joins surrogate pairs but lets a lone one through; such text has no UTF-8 form.
                msgspec.json.encode(record)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            return Rejected(reasons.MALFORMED, f"the value does not fit: {error}")
        return record

    return decode


decode_event = decoder(Event)
decode_label = decoder(Label)
decode_command = decoder(Command)


def decode_key(key: bytes | None) -> str | Rejected:
    """The entity's name."""
    if key is None:
        return Rejected(reasons.NO_KEY, "the record has no key; set it to the entity's name")
    if not key or len(key) > LONGEST_KEY_BYTES or b"\x00" in key:
        return Rejected(reasons.BAD_KEY, f"a key has 1 to {LONGEST_KEY_BYTES} bytes and no NUL")
    try:
        return key.decode()
    except UnicodeDecodeError:
        return Rejected(reasons.BAD_KEY, "the key is not UTF-8")


def check_headers(headers: Sequence[tuple[str, bytes | None]] | None) -> Rejected | None:
    """None when there are few and small headers, or none."""
    if not headers:
        return None
    if len(headers) > MOST_HEADERS:
        return Rejected(reasons.TOO_LARGE, f"{len(headers)} headers, {MOST_HEADERS} are allowed")
    size = sum(len(name) + len(value or b"") for name, value in headers)
    if size > LARGEST_HEADERS_BYTES:
        return Rejected(reasons.TOO_LARGE, f"the headers have {size} bytes, {LARGEST_HEADERS_BYTES} are allowed")
    return None


def dumps(value: Any) -> bytes:
    """JSON with sorted keys.

    >>> dumps({"b": 1, True: 0.5})
    b'{"b":1,"true":0.5}'
    """
    return orjson.dumps(value, option=JSON_OPTIONS)


def class_text(label: Any) -> str:
    """A class as a key of `probabilities`: its JSON text, a string without its quotes.

    >>> class_text(True), class_text(1), class_text("true")
    ('true', '1', 'true')
    """
    return label if isinstance(label, str) else orjson.dumps(label).decode()


def texts_collide(classes: Iterable[Any]) -> bool:
    """True for a set whose members share a key (true and "true") or are equal in Python (true and 1)."""
    classes = list(classes)
    return len({class_text(c) for c in classes}) < len(classes) or len(set(classes)) < len(classes)
